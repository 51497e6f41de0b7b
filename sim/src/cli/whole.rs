use std::time::Instant;

use clap::{Args, Subcommand, ValueEnum};
use fau3_sim::hashes;
use fau3_sim::mesh::{self, Above, Outcome, Setup, World};
use fau3_sim::mutants::hunt_router;
use fau3_sim::shrink::shrink;
use fau3_sim::sweep::Plan;

use super::output::{print, say};
use super::runs::{self, Words};
use super::wrong;

/// Whole routers instead of elections alone.
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub(crate) struct Mesh {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One run, one line an event, and a summary
    #[command(after_help = "Example: fau3-sim mesh run --seed 7")]
    Run(Run),
    /// Many runs on all cores
    #[command(after_help = "Example: fau3-sim mesh sweep --seeds 0..10000")]
    Sweep(Sweep),
    /// Sixty clients on three routers below a main server that is gone for 5 to 30 s of each minute
    #[command(after_help = "Example: fau3-sim mesh outages --server fau3 --minutes 60")]
    Outages(Outages),
    /// One run again: what went wrong, with which fewest faults and clients
    #[command(after_help = "Example: fau3-sim mesh replay --seed 7")]
    Replay(Replay),
    /// Trace hashes of a few seeds, as they are checked in
    #[command(after_help = "Example: fau3-sim mesh hashes > sim/tests/mesh_trace_hashes.txt")]
    Hashes(Hashes),
    /// Wrong variants of the router: which rule catches each, and how soon
    #[command(after_help = "Example: fau3-sim mesh mutants --seeds 1000")]
    Mutants(Mutants),
}

#[derive(Debug, Args)]
struct Run {
    /// Where all random numbers of the run come from
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    server: ServerChoice,
}

#[derive(Debug, Args)]
struct ServerChoice {
    /// The main server above the mesh, with faults of its own
    #[arg(long, value_enum, default_value_t = Server::None)]
    server: Server,
    #[command(flatten)]
    words: Words,
}

/// As in [`Above`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Server {
    /// None
    None,
    /// One that speaks FAU3VOM-D only
    Legacy,
    /// One that runs fau3: one more router, elsewhere
    Fau3,
}

impl ServerChoice {
    fn above(&self) -> Above {
        match self.server {
            Server::None => Above::None,
            Server::Legacy => Above::Legacy,
            Server::Fau3 => Above::Node,
        }
    }

    fn setup(&self, seed: u64) -> Setup {
        self.with_words(Setup::from_seed_with(seed, self.above()))
    }

    fn with_words(&self, setup: Setup) -> Setup {
        if self.words.are_said() { setup.with_words() } else { setup }
    }

    /// As it is given to another command.
    fn option(&self) -> String {
        let server = match self.server {
            Server::None => "",
            Server::Legacy => " --server legacy",
            Server::Fau3 => " --server fau3",
        };
        format!("{server}{}", self.words.option())
    }
}

#[derive(Debug, Args)]
struct Sweep {
    /// First seed, and the one after the last
    #[arg(long, value_name = "A..B", value_parser = runs::range)]
    seeds: (u64, u64),
    /// Goes on after a violation and lists them all
    #[arg(long)]
    keep_going: bool,
    /// Threads; 0: one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    server: ServerChoice,
}

#[derive(Debug, Args)]
struct Outages {
    /// For how long
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    minutes: u64,
    /// Where all random numbers of the run come from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    server: ServerChoice,
}

#[derive(Debug, Args)]
struct Mutants {
    /// A variant that survives so many seeds has survived
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

#[derive(Debug, Args)]
struct Replay {
    /// The seed to run again
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    server: ServerChoice,
}

#[derive(Debug, Args)]
struct Hashes {
    /// How many seeds, from 0
    #[arg(long, default_value_t = hashes::SEEDS)]
    count: u64,
}

impl Mesh {
    pub(crate) fn run(&self) -> bool {
        match &self.command {
            Command::Run(run) => run.run(),
            Command::Sweep(sweep) => sweep.run(),
            Command::Outages(outages) => outages.run(),
            Command::Replay(replay) => replay.run(),
            Command::Hashes(Hashes { count }) => {
                print(format_args!("{}", hashes::table(*count, hashes::of_mesh)));
                true
            }
            Command::Mutants(mutants) => wrong::print_caught(&mesh::Mutant::ALL, mutants.seeds, hunt_router),
        }
    }
}

impl Run {
    fn run(&self) -> bool {
        let (world, outcome) = recorded(self.server.setup(self.seed));
        print_timeline(&world);
        print_summary(world.setup(), &outcome, &self.server);
        outcome.violation.is_none()
    }
}

impl Outages {
    fn run(&self) -> bool {
        let mut world =
            World::new(self.server.with_words(Setup::outages(self.seed, self.server.above(), self.minutes)));
        let outcome = world.run();
        print_summary(world.setup(), &outcome, &self.server);
        outcome.violation.is_none()
    }
}

fn recorded(setup: Setup) -> (World, Outcome) {
    let mut world = World::new(setup).with_timeline();
    let outcome = world.run();
    (world, outcome)
}

impl Sweep {
    fn run(&self) -> bool {
        let (from, until) = self.seeds;
        let plan = Plan { from, until, stop: !self.keep_going, threads: self.threads };
        let began = Instant::now();
        let swept =
            runs::with_progress(plan, |progress| mesh::sweep(plan, |seed| self.server.setup(seed), progress));
        runs::print_swept(
            &swept,
            &swept.tally.shown(),
            &swept.tally.missing(),
            &format!("mesh replay{}", self.server.option()),
            began.elapsed(),
        )
    }
}

impl Replay {
    fn run(&self) -> bool {
        let setup = self.server.setup(self.seed);
        let (mut world, mut outcome) = recorded(setup.clone());
        let same = World::new(setup.clone()).run().trace == outcome.trace;
        if let Some((smaller, violation, runs)) = shrink(&setup) {
            say!(
                "{} faults shrunk to {}, {} clients to {} in {runs} runs; they break: {violation}\n",
                setup.faults.len(),
                smaller.faults.len(),
                setup.clients,
                setup.clients - smaller.idle.count_ones() as usize
            );
            (world, outcome) = recorded(smaller);
        }
        print_timeline(&world);
        print_summary(world.setup(), &outcome, &self.server);
        if !same {
            say!("VIOLATION: the same seed gave another trace hash");
        }
        same && outcome.violation.is_none()
    }
}

fn print_timeline(world: &World) {
    for entry in world.timeline() {
        let who = entry.node.map_or_else(String::new, |node| world.setup().name_of(node));
        say!("{:>9} {who:<6} {}", entry.at.to_string(), entry.text);
    }
}

fn print_summary(setup: &Setup, outcome: &Outcome, server: &ServerChoice) {
    say!(
        "\nseed {}: {} routers, {} clients, {} s simulated, trace hash {:016x}",
        setup.seed,
        setup.routers,
        setup.clients,
        outcome.ended,
        outcome.trace
    );
    setup.faults.iter().for_each(|fault| say!("  fault {fault}"));
    setup.server.iter().flat_map(|server| &server.faults).for_each(|fault| say!("  fault {fault}"));
    setup.main.iter().flat_map(|main| &main.faults).for_each(|fault| say!("  fault {fault}"));
    let counts = outcome.tally.shown().into_iter().map(|(name, count)| format!("{name} {count}"));
    say!("  {}", counts.collect::<Vec<_>>().join(", "));
    match &outcome.violation {
        Some(violation) => {
            say!(
                "VIOLATION: {violation}\n  fau3-sim mesh replay{} --seed {} shows why",
                server.option(),
                setup.seed
            )
        }
        None => say!("no rule broken"),
    }
}
