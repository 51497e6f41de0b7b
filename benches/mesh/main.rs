//! Measures meshes of `fau3 node` on networks in namespaces, and beside them Debian's keepalived (VRRP, adverts every
//! second), which answers the same question of who serves, in the same run. Figures of different machines cannot be
//! compared; ratios can.
//!
//! ```text
//! sudo cargo bench --bench mesh                          # all of it, some twenty minutes
//! sudo cargo bench --bench mesh -- --quick               # only whether everything still works
//! sudo cargo bench --bench mesh -- --only killed         # one work, or several: --only killed --only idle
//! sudo cargo bench --bench mesh -- --only loss --minutes 10
//! ```
//!
//! Everything is as delivered but for files and key: routers find each other by mDNS. Who leads is read from what both
//! programs say on standard error, stamped when it arrives. Needs root, iproute2 and nftables.
//!
//! Exit status: 0 measured, 1 something was lost, doubled, out of order or could not be measured, 2 wrong usage.
//! Figures that miss their reach are marked in the table and do not fail the run, since a busy machine can do that.

mod bench;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod idle;
mod latency;
mod leaders;
mod member;
// Tests use more of it, and fail where it fails.
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../tests/common/netns.rs"]
mod netns;
mod program;
mod replication;

use std::{
    env,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use bench::{Amounts, Bench};
use common::{
    arguments::{Arguments, unknown},
    dialect::Result,
    proc::{load_average, raise_file_limit},
    table::{self, Row},
};
use program::Program;

const USAGE: &str = "usage: cargo bench --bench mesh -- [--quick] [--only WORK]... [--rounds N] [--minutes N] \
                     [--fau3 PATH] [--keepalived PATH]";

/// A work: what it is called on the command line, and how it is done.
type Work = (&'static str, fn(&Bench) -> Result<Vec<Row>>);

const WORKS: [Work; 11] = [
    ("killed", Bench::killed),
    ("terminated", Bench::terminated),
    ("isolated", Bench::isolated),
    ("unplugged", Bench::unplugged),
    ("half-deaf", Bench::half_deaf),
    ("hand-back", Bench::hand_back),
    ("loss", Bench::lossy),
    ("records", Bench::records),
    ("streams", Bench::streams),
    ("replication", Bench::replication),
    ("idle", Bench::idle),
];

struct Options {
    fau3: PathBuf,
    keepalived: Option<PathBuf>,
    amounts: Amounts,
    only: Vec<String>,
}

fn main() -> ExitCode {
    match parse(env::args().skip(1)) {
        Ok(options) => run(options),
        Err(reason) => {
            let works = WORKS.map(|(name, _)| name).join(", ");
            eprintln!("{reason}\n{USAGE}\nworks: {works}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> std::result::Result<Options, String> {
    let (mut fau3, mut keepalived) = (PathBuf::from(env!("CARGO_BIN_EXE_fau3")), None);
    let (mut is_quick, mut only) = (false, Vec::new());
    let (mut rounds, mut minutes) = (None, None);
    let mut arguments = Arguments::new(arguments);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => is_quick = true,
            "--fau3" => fau3 = arguments.value(&argument)?.into(),
            "--keepalived" => keepalived = Some(arguments.value(&argument)?.into()),
            "--rounds" => rounds = Some(arguments.number(&argument, 1..=1_000)? as u32),
            "--minutes" => minutes = Some(arguments.number(&argument, 1..=1_000)? as u32),
            "--only" => only.push(arguments.work(&argument, WORKS.iter().map(|(name, _)| *name))?),
            other => return Err(unknown(other)),
        }
    }
    let mut amounts = if is_quick || !arguments.is_bench() { Amounts::QUICK } else { Amounts::FULL };
    amounts.rounds = rounds.unwrap_or(amounts.rounds);
    amounts.loss_minutes = minutes.map_or(amounts.loss_minutes, f64::from);
    Ok(Options { fau3, keepalived, amounts, only })
}

fn run(options: Options) -> ExitCode {
    let begun = Instant::now();
    raise_file_limit();
    let bench = Bench {
        ours: Program::Fau3(options.fau3),
        peer: options.keepalived.map(Program::Keepalived).or_else(Program::find_keepalived),
        amounts: options.amounts,
    };
    eprintln!("ours: {}", bench.ours.version());
    eprintln!("peer: {}", bench.peer.as_ref().map_or(NO_PEER.to_owned(), Program::version));
    if netns::Net::new(1).is_none() {
        println!("Nothing was measured: it takes root, iproute2 and nftables.");
        return ExitCode::SUCCESS;
    }

    let mut rows = Vec::new();
    for (name, work) in WORKS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        eprintln!("{name} (load average {}) ...", load_average());
        match work(&bench) {
            Ok(measured) => rows.extend(measured),
            Err(error) => rows.push(Row::Failed { work: name.to_owned(), reason: error.to_string() }),
        }
    }
    let peer = bench.peer.as_ref().map_or("no peer", Program::name);
    println!("\n{}", table::render(peer, &rows));
    conclude(&bench, begun);
    ExitCode::from(u8::from(rows.iter().any(Row::is_failure)))
}

/// What has to be known to read the table.
fn conclude(bench: &Bench, begun: Instant) {
    if bench.peer.is_none() {
        println!("{NO_PEER}");
    }
    println!("Medians of {} rounds.", bench.amounts.rounds);
    println!("{:.0} s in all; load average at the end: {}", begun.elapsed().as_secs_f64(), load_average());
}

const NO_PEER: &str = "\
*** keepalived was not found: only fau3 is measured. Install it (apt-get install keepalived) or name it with \
--keepalived PATH.";

/// What the network in namespaces says where this machine cannot have one.
fn skipped(lacking: &str) -> bool {
    eprintln!("*** This machine lacks {lacking}.");
    true
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within `span`, naming `what` was waited for.
fn wait_for(what: &str, span: Duration, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < span, "waited {span:?} in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
