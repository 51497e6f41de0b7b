//! The commands. They print and choose exit codes; what they do lies in the library.

mod meshes;
mod output;
mod report;
mod runs;
mod whole;
mod wrong;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "fau3-sim",
    version,
    about = "Runs many elections in virtual time under faults, the same run for the same seed",
    after_help = "Exit status: 0 done, 1 a rule was broken, 2 wrong usage.\n\nExample: fau3-sim sweep --seeds 0..10000"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One run, one line an event, and a summary
    #[command(after_help = "Example: fau3-sim run --seed 7")]
    Run(runs::Run),
    /// Many runs on all cores
    #[command(after_help = "Example: fau3-sim sweep --seeds 0..100000")]
    Sweep(runs::Sweep),
    /// One run again: what went wrong, with which fewest faults, as text and as a picture
    #[command(after_help = "Example: fau3-sim replay --seed 7 --svg run.svg")]
    Replay(runs::Replay),
    /// All 4,096 directed graphs of four routers
    #[command(after_help = "Example: fau3-sim topologies")]
    Topologies(meshes::Topologies),
    /// Three routers, exhaustively: any two crashes, restarts or sets of dropping links
    #[command(after_help = "Example: fau3-sim check")]
    Check(wrong::Check),
    /// Wrong variants of the election: which rule catches each, and how soon
    #[command(after_help = "Example: fau3-sim mutants --seeds 2000")]
    Mutants(wrong::Mutants),
    /// What is reached in the model, beside what is to be reached
    #[command(after_help = "Example: fau3-sim report --seeds 1000")]
    Report(report::Report),
    /// Prints the trace hashes of the first seeds, as kept in tests/trace_hashes.txt
    #[command(after_help = "Example: fau3-sim hashes > sim/tests/trace_hashes.txt")]
    Hashes(runs::Hashes),
    /// Whole routers with clients, instead of elections alone
    #[command(after_help = "Example: fau3-sim mesh sweep --seeds 0..1000")]
    Mesh(whole::Mesh),
}

/// Runs the command of this process's arguments.
pub(crate) fn run() -> ExitCode {
    let good = match Arguments::parse().command {
        Command::Run(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Topologies(command) => command.run(),
        Command::Mutants(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Hashes(command) => command.run(),
        Command::Mesh(command) => command.run(),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
