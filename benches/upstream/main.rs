//! Measures routers below a main server that speaks only FAU3VOM-D, as it exists today: how soon its clients are served
//! without it and with it again, what is lost or doubled in outages, what the way through a router adds. Needs root,
//! iproute2 and nftables: three routers and the server are hosts of their own in network namespaces.
//!
//! ```text
//! sudo cargo bench --bench upstream                          # all but the hour, some ten minutes
//! sudo cargo bench --bench upstream -- --quick               # only whether everything still works
//! sudo cargo bench --bench upstream -- --only outages --minutes 60 --picture outages.svg
//! ```
//!
//! The server is the tests' own (`tests/legacy`), with all its quirks on. The peer of the delay is the same way without a
//! router: both clients at the server itself.
//!
//! Exit status: 0 measured, 1 something was lost, doubled without being counted, or could not be measured, 2 wrong usage.
//! Figures that miss their reach are marked in the table and do not fail the run, since a busy machine can do that.
#![allow(clippy::unwrap_used, reason = "as in tests: what fails here ends the run")]

#[path = "../common/arguments.rs"]
mod arguments;
#[path = "../../tests/common/mod.rs"]
mod common;
mod delay;
mod ledger;
#[path = "../../tests/legacy/mod.rs"]
mod legacy;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/mesh_net/moment.rs"]
mod moment;
mod outages;
mod people;
mod picture;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/mesh_net/routers.rs"]
mod routers;
mod scene;
mod table;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use arguments::{Arguments, unknown};
use scene::Scene;
use table::Row;

/// Routers that start find each other and agree within this.
pub(crate) const START_MAX: Duration = Duration::from_secs(20);

const USAGE: &str = "usage: cargo bench --bench upstream -- [--quick] [--only WORK]... [--rounds N] [--minutes N] \
                     [--seed N] [--picture FILE]";
const WORKS: [&str; 5] = ["killed", "silent", "delay", "loss", "outages"];

pub(crate) struct Options {
    only: Vec<String>,
    pub(crate) rounds: u32,
    pub(crate) minutes: u32,
    pub(crate) records: u32,
    pub(crate) seed: u64,
    pub(crate) picture: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}\nworks: {}", WORKS.join(", "));
            return ExitCode::from(2);
        }
    };
    if common::Net::new(1).is_none() {
        println!("Nothing was measured: it takes root, iproute2 and nftables.");
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    let mut rows = Vec::new();
    for work in WORKS {
        // The hour is asked for by name.
        let is_asked = options.only.iter().any(|only| only == work);
        if is_asked || (options.only.is_empty() && (work != "outages" || options.minutes <= 10)) {
            eprintln!("{:6.1} s: {work}", begun.elapsed().as_secs_f64());
            rows.extend(measure(work, &options));
        }
    }
    print!("{}", table::render(&rows));
    let failed = rows.iter().any(Row::is_failure);
    ExitCode::from(u8::from(failed))
}

fn measure(work: &str, options: &Options) -> Vec<Row> {
    match work {
        "killed" => scene::killed(options),
        "silent" => scene::silent(options),
        "delay" => delay::delay(options),
        "loss" => scene::loss(options),
        _ => outages::outages(options),
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options =
        Options { only: Vec::new(), rounds: 10, minutes: 10, records: 1_000, seed: 1, picture: None };
    let mut is_quick = false;
    let mut arguments = Arguments::new(arguments);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => is_quick = true,
            "--rounds" => options.rounds = arguments.number(&argument, 1..=1_000)? as u32,
            "--minutes" => options.minutes = arguments.number(&argument, 1..=1_000)? as u32,
            "--seed" => options.seed = arguments.number(&argument, 0..=u64::MAX)?,
            "--picture" => options.picture = Some(arguments.value(&argument)?.into()),
            "--only" => options.only.push(arguments.work(&argument, WORKS.into_iter())?),
            other => return Err(unknown(other)),
        }
    }
    if is_quick || !arguments.is_bench() {
        (options.rounds, options.minutes, options.records) = (1, 1, 50);
    }
    Ok(options)
}

/// The middle one, and the largest.
pub(crate) fn median_and_max(mut spans: Vec<Duration>) -> (Duration, Duration) {
    spans.sort_unstable();
    (spans[spans.len() / 2], spans[spans.len() - 1])
}

/// Three routers below a server, once all is as it should be.
pub(crate) fn scene() -> Scene {
    Scene::start()
}
