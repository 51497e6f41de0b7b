use std::time::{Duration, Instant};

use clap::Args;
use fau3_election::{Config, Mutant};
use fau3_sim::mutants::hunt;
use fau3_sim::report::{Row, model, seconds};
use fau3_sim::sweep::Plan;
use fau3_sim::world::Setup;

use super::output::say;
use super::{meshes, runs};

/// Seconds that all of it may take together on two cores.
const CI_S: u64 = 60;
const SEEDS_PER_CORE_S: u64 = 1_000;
const SIMULATED_H_PER_CORE_S: u64 = 180;

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Seeds of the sweep that is timed
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
}

impl Report {
    pub(crate) fn run(&self) -> bool {
        let config = Config::default();
        say!("| {:<62} | {:<32} | {:<32} | |", "", "reach", "measured");
        say!("|{:-<64}|{:-<34}|{:-<34}|-|", "", "", "");
        let mut good = true;
        let mut show = |row: &Row| {
            let mark = if row.good { " " } else { "!" };
            say!("| {:<62} | {:<32} | {:<32} |{mark}|", row.what, row.target, row.measured);
            good &= row.good;
        };
        model(&config, &mut show);
        let (took, rows) = self.timed(&config);
        rows.iter().for_each(&mut show);
        show(&Row {
            what: format!("{} seeds, 4,096 graphs, check, mutants", self.seeds),
            target: format!("under {CI_S} s on two cores"),
            measured: seconds(took),
            good: took < Duration::from_secs(CI_S),
        });
        good
    }

    fn timed(&self, config: &Config) -> (Duration, Vec<Row>) {
        let mut rows = Vec::new();
        let began = Instant::now();
        let plan = Plan { from: 0, until: (self.seeds / 10).max(1), stop: false, threads: 1 };
        let one = runs::swept(plan, |seed| Setup::from_seed(seed, config));
        let one_core = began.elapsed().as_millis().max(1) as u64;
        let began = Instant::now();
        let rest = Plan { from: one.runs, until: self.seeds, stop: false, threads: 0 };
        let swept = runs::swept(rest, |seed| Setup::from_seed(seed, config));
        rows.push(at_least("seeds a second and core", one.runs * 1_000 / one_core, SEEDS_PER_CORE_S));
        let hours = one.simulated_us / 3_600_000_000 * 1_000 / one_core;
        rows.push(at_least("simulated hours a second and core", hours, SIMULATED_H_PER_CORE_S));
        let broken = one.violations.len() + swept.violations.len();
        rows.push(none(format!("rules broken in {} seeds", self.seeds), broken));
        let surveyed = meshes::all(config);
        rows.push(Row {
            what: "leaders in the two-way components of 4,096 graphs".into(),
            target: "exactly one each".into(),
            measured: format!("{} in {}", surveyed.leaders, surveyed.components),
            good: surveyed.leaders == surveyed.components && surveyed.broken.is_empty(),
        });
        let checked = fau3_sim::check::check(0, config, fau3_sim::check::ROUNDS);
        rows.push(none(
            format!("rules broken in {} states of three routers", checked.states),
            checked.broken.len(),
        ));
        let survived = Mutant::ALL.into_iter().filter(|mutant| hunt(*mutant, 2_000).is_none()).count();
        rows.push(none(format!("of {} wrong variants survive", Mutant::ALL.len()), survived));
        (began.elapsed() + Duration::from_millis(one_core), rows)
    }
}

fn at_least(what: &str, measured: u64, target: u64) -> Row {
    Row {
        what: what.into(),
        target: format!("{target}"),
        measured: format!("{measured}"),
        good: measured >= target,
    }
}

fn none(what: String, count: usize) -> Row {
    Row { what, target: "none".into(), measured: format!("{count}"), good: count == 0 }
}
