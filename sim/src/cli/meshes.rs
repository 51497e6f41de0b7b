use std::thread;

use clap::Args;
use fau3_election::Config;
use fau3_sim::topologies::{GRAPHS, Surveyed, run, survey};

use super::output::say;

#[derive(Debug, Args)]
pub(crate) struct Topologies {
    /// Only this graph: bit n stands for the n-th of 0->1 0->2 0->3 1->0 ... 3->2
    #[arg(long)]
    graph: Option<u32>,
}

impl Topologies {
    pub(crate) fn run(&self) -> bool {
        let config = Config::default();
        if let Some(number) = self.graph {
            let (components, leaders, broken) = run(number, &config);
            say!("graph {number}: {components} components, {leaders} leaders");
            broken.iter().for_each(|text| say!("VIOLATION: {text}"));
            return broken.is_none();
        }
        let surveyed = all(&config);
        say!(
            "{} graphs, {} two-way components, {} leaders; VRRP's rule: more masters than components in {} graphs",
            surveyed.graphs,
            surveyed.components,
            surveyed.leaders,
            surveyed.vrrp_more
        );
        for (number, text) in &surveyed.broken {
            say!("VIOLATION in graph {number}: {text}");
        }
        surveyed.broken.is_empty() && surveyed.components == surveyed.leaders
    }
}

/// All graphs on all cores, in a fixed order.
pub(crate) fn all(config: &Config) -> Surveyed {
    let cores = thread::available_parallelism().map_or(1, usize::from) as u32;
    let part = |core: u32| survey((core..GRAPHS).step_by(cores as usize), config);
    let mut total = Surveyed::default();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..cores).map(|core| scope.spawn(move || part(core))).collect();
        for handle in parts {
            if let Ok(surveyed) = handle.join() {
                total.add(surveyed);
            }
        }
    });
    total.broken.sort();
    total
}
