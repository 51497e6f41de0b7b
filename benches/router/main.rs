//! Measures `fau3 node` beside Debian's mosquitto: both serve the same work, from the same load generator, in turn,
//! in one run. Figures of different machines cannot be compared; ratios can.
//!
//! ```text
//! cargo bench --bench router                             # all of it, some two minutes
//! cargo bench --bench router -- --quick                  # only whether everything still works
//! cargo bench --bench router -- --only fan-out           # one work: start, memory, fan-out, streams
//! cargo bench --bench router -- --fau3 target/router/fau3
//! ```
//!
//! A payload of 1,000 bytes is 1,000 bytes for both: mosquitto carries them as they are, fau3 as 1,336 characters of
//! base64 within JSON, as its clients want them. Every delivery is checked byte for byte and acknowledged
//! (`FAU3_STORED`, PUBACK). The servers have a processor of their own where there are two.
//!
//! Exit status: 0 measured, 1 something was lost, doubled, out of order or could not be measured, 2 wrong usage.
//! Figures that miss their reach are marked in the table and do not fail the run, since a busy machine can do that.

#[path = "../common/mod.rs"]
mod common;
mod mqtt;
mod process;
mod works;

use std::{env, path::PathBuf, process::ExitCode, time::Instant};

use common::{
    arguments::{Arguments, unknown},
    dialect::Result,
    proc::{load_average, raise_file_limit},
    table::{self, Row},
};
use process::Program;
use works::{Amounts, Bench};

const USAGE: &str = "usage: cargo bench --bench router -- [--quick] [--only start|memory|fan-out|streams] \
                     [--fau3 PATH] [--mosquitto PATH]";

/// A work: what it is called on the command line, the table's word for it if it fails, and how it is done.
type Work = (&'static str, &'static str, fn(&Bench) -> Result<Vec<Row>>);

/// `start` is first, since pinning the generator comes after it.
const WORKS: [Work; 6] = [
    ("start", "start", Bench::start),
    ("memory", "memory", Bench::memory),
    ("memory", "memory under load", Bench::offered),
    ("fan-out", "fan-out 1 to 100", Bench::fan_out_small),
    ("fan-out", "fan-out 20 rooms of 10", Bench::fan_out_large),
    ("streams", "Streams", Bench::streams),
];

struct Options {
    fau3: PathBuf,
    mosquitto: Option<PathBuf>,
    quick: bool,
    only: Option<String>,
}

fn main() -> ExitCode {
    match parse(env::args().skip(1)) {
        Ok(options) => run(options),
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> std::result::Result<Options, String> {
    let mut options =
        Options { fau3: env!("CARGO_BIN_EXE_fau3").into(), mosquitto: None, quick: false, only: None };
    let mut arguments = Arguments::new(arguments);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--fau3" => options.fau3 = arguments.value(&argument)?.into(),
            "--mosquitto" => options.mosquitto = Some(arguments.value(&argument)?.into()),
            "--only" => {
                options.only = Some(arguments.work(&argument, WORKS.iter().map(|(name, ..)| *name))?);
            }
            other => return Err(unknown(other)),
        }
    }
    options.quick |= !arguments.is_bench();
    Ok(options)
}

fn run(options: Options) -> ExitCode {
    let begun = Instant::now();
    raise_file_limit();
    let mut bench = Bench {
        ours: Program::Fau3(options.fau3),
        peer: options.mosquitto.map(Program::Mosquitto).or_else(Program::find_mosquitto),
        processor: None,
        amounts: if options.quick { Amounts::QUICK } else { Amounts::FULL },
    };
    introduce(&bench);

    let mut rows = Vec::new();
    let mut is_pinned = false;
    for (name, title, work) in WORKS {
        if options.only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        if name != "start" && !is_pinned {
            is_pinned = true;
            bench.processor = process::separate_processors();
            if bench.processor.is_none() {
                eprintln!("*** Server and generator share their processors (one only, or no taskset).");
            }
        }
        eprintln!("{title} ...");
        match work(&bench) {
            Ok(measured) => rows.extend(measured),
            Err(error) => rows.push(Row::Failed { work: title.to_owned(), reason: error.to_string() }),
        }
    }

    let peer = bench.peer.as_ref().map_or("no peer", Program::name);
    println!("\n{}", table::render(peer, &rows));
    conclude(&bench, begun);
    ExitCode::from(u8::from(rows.iter().any(Row::is_failure)))
}

fn introduce(bench: &Bench) {
    eprintln!("ours: {}", bench.ours.version());
    match &bench.peer {
        Some(peer) => eprintln!("peer: {}", peer.version()),
        None => eprintln!("{NO_PEER}"),
    }
}

/// What has to be known to read the table.
fn conclude(bench: &Bench, begun: Instant) {
    if bench.peer.is_none() {
        println!("{NO_PEER}");
    }
    if bench.amounts.rounds < Amounts::FULL.rounds {
        println!("A quick run: its figures say nothing about speed.");
    }
    println!("{:.0} s in all; load average at the end: {}", begun.elapsed().as_secs_f64(), load_average());
}

const NO_PEER: &str = "\
*** mosquitto was not found: only fau3 is measured, and what has to be reached beside it cannot be judged.
*** Install it (apt-get install mosquitto) or name it with --mosquitto PATH.";
