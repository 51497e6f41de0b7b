use clap::{Args, Subcommand};
use fau3_sim::mesh::{Outcome, Setup, World};

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
}

#[derive(Debug, Args)]
struct Run {
    /// Where all random numbers of the run come from
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    healthy: bool,
}

impl Mesh {
    pub(crate) fn run(&self) -> bool {
        match &self.command {
            Command::Run(run) => run.run(),
        }
    }
}

impl Run {
    fn run(&self) -> bool {
        let setup = if self.healthy { Setup::healthy(self.seed, 3, 5) } else { Setup::from_seed(self.seed) };
        let mut world = World::new(setup).with_timeline();
        let outcome = world.run();
        print_timeline(&world);
        print_summary(world.setup(), &outcome);
        outcome.violation.is_none()
    }
}

fn print_timeline(world: &World) {
    for entry in world.timeline() {
        let who = entry.node.map_or_else(String::new, |node| format!("r{node}"));
        println!("{:>9} {who:<6} {}", entry.at.to_string(), entry.text);
    }
}

fn print_summary(setup: &Setup, outcome: &Outcome) {
    println!(
        "\nseed {}: {} routers, {} clients, {} s simulated, trace hash {:016x}",
        setup.seed, setup.routers, setup.clients, outcome.ended, outcome.trace
    );
    setup.faults.iter().for_each(|fault| println!("  fault {fault}"));
    let counts = outcome.tally.fields().into_iter().map(|(name, count)| format!("{name} {count}"));
    println!("  {}", counts.collect::<Vec<_>>().join(", "));
    match &outcome.violation {
        Some(violation) => {
            println!("VIOLATION: {violation}\n  fau3-sim mesh replay --seed {} shows why", setup.seed)
        }
        None => println!("no rule broken"),
    }
}
