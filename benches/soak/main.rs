//! Five routers on hosts of their own, sixty clients that talk, listen and roam, and a fault after the other: what was
//! confirmed and then lost, and what was heard twice. Needs root and the tools for networks in namespaces.
//!
//! ```text
//! cargo bench --bench soak                    # an hour, a fault every 20 s
//! cargo bench --bench soak -- --quick         # a minute, a fault every 6 s
//! cargo bench --bench soak -- --seconds 600 --fault-every 10 --seed 7
//! cargo bench --bench soak -- --quick --set clients.copies=1       # routers that promise less: this loses some
//! ```
//!
//! Clients talk at a rate at which all records of a run fit into what routers store. Half of each interval the fault
//! lasts, in the other half the mesh may mend. The seed decides which faults come, and where clients go; when exactly
//! things happen is the machine's affair.
//!
//! Exit status: 0 nothing was lost or doubled, 1 something was, or could not be tried, 2 wrong usage.
#![allow(clippy::unwrap_used, reason = "as in tests: what fails here ends the run")]

#[allow(dead_code, reason = "other benchmarks need all of it")]
#[path = "../common/arguments.rs"]
mod arguments;
mod chance;
mod client;
#[path = "../../tests/common/mod.rs"]
mod common;
mod faults;
mod history;
mod ledger;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/mesh_net/moment.rs"]
mod moment;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/mesh_net/routers.rs"]
mod routers;
mod summary;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arguments::{Arguments, unknown};
use chance::Chance;
use client::Client;
use faults::Fault;
use ledger::Ledger;
use routers::Mesh;
use summary::Counters;

const USAGE: &str = "usage: cargo bench --bench soak -- [--quick] [--seconds N] [--fault-every N] [--seed N] \
                     [--set SECTION.OPTION=VALUE]...";
/// Routers that start find each other and agree within this.
const START_MAX: Duration = Duration::from_secs(20);
const ROUTERS: usize = 5;
const CLIENTS: usize = 60;
const ROOMS: usize = 6;
/// All that a client says in a run: 60 times that is what routers can store.
const RECORDS_EACH: u32 = 120;
/// Nobody talks more often.
const TALK_EVERY_MIN: Duration = Duration::from_secs(3);
/// After the last fault, until all is heard. Resending takes 5 s a time.
const MEND_MAX: Duration = Duration::from_secs(60);
/// Between two looks at how far things are.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Seconds, and seconds between faults: enough for each kind of fault, on average.
const QUICK: (u64, u64) = (60, 6);

struct Options {
    span: Duration,
    fault_every: Duration,
    seed: u64,
    /// For all routers.
    set: Vec<String>,
}

/// What the faults did to the mesh.
#[derive(Default)]
struct Mending {
    faults: usize,
    /// Until all agreed again, after each fault after which they did in time.
    spans: Vec<Duration>,
}

fn main() -> ExitCode {
    match parse(env::args().skip(1)) {
        Ok(options) => run(&options),
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut seconds, mut fault_every, mut seed, mut set) = (3_600, 20, 1, Vec::new());
    let mut arguments = Arguments::new(arguments);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => (seconds, fault_every) = QUICK,
            "--seconds" => seconds = arguments.number(&argument, 1..=1_000_000)?,
            "--fault-every" => fault_every = arguments.number(&argument, 2..=1_000_000)?,
            "--seed" => seed = arguments.number(&argument, 0..=u64::MAX)?,
            "--set" => set.push(arguments.value(&argument)?),
            other => return Err(unknown(other)),
        }
    }
    if !arguments.is_bench() {
        (seconds, fault_every) = QUICK;
    }
    let (span, fault_every) = (Duration::from_secs(seconds), Duration::from_secs(fault_every));
    Ok(Options { span, fault_every, seed, set })
}

fn run(options: &Options) -> ExitCode {
    let set: Vec<&str> = options.set.iter().map(String::as_str).chain(["node.log=debug"]).collect();
    let Some(mesh) = Mesh::start_with(ROUTERS, ROUTERS, &set) else { return ExitCode::FAILURE };
    let mut chance = Chance(options.seed);
    mesh.settled(&mesh.all());
    let ledger = Arc::new(Ledger::default());
    let talk_every = (options.span / RECORDS_EACH).max(TALK_EVERY_MIN);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| Client::start(&mesh.net, &ledger, number, talk_every, chance.child()))
        .collect();
    ledger.until_all_listen(CLIENTS, START_MAX);
    println!(
        "{ROUTERS} routers, {CLIENTS} clients in {ROOMS} rooms, each talks every {talk_every:?}; seed {}",
        options.seed
    );
    ledger.talk(true);
    let mut counters = Counters::default();
    let mending = suffer(&mesh, &ledger, options, &mut chance, &mut counters);
    ledger.talk(false);
    let is_heard = ledger.until_all_is_heard(MEND_MAX);
    let last: Vec<_> = (0..ROUTERS).map(|number| mesh.router(number).status()).collect();
    last.iter().for_each(|status| counters.add(status));
    // Each client checks what it heard when it ends.
    drop(clients);
    mending.print();
    let held: Vec<_> = last.iter().map(|status| status["records"]["count"].to_string()).collect();
    println!("records held, router by router: {}", held.join(", "));
    if !is_heard {
        println!("not all was heard {MEND_MAX:?} after the last fault");
    }
    let singles: Vec<_> = mesh
        .all()
        .into_iter()
        .flat_map(|number| ledger.singles(number, &mesh.router(number).log()))
        .collect();
    if ledger.summary().print(&counters, &singles) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One fault after the other.
fn suffer(
    mesh: &Mesh,
    ledger: &Ledger,
    options: &Options,
    chance: &mut Chance,
    counters: &mut Counters,
) -> Mending {
    let (began, mut mending) = (Instant::now(), Mending::default());
    while began.elapsed() + options.fault_every <= options.span {
        let next = Instant::now() + options.fault_every;
        let fault = Fault::choose(mesh, chance);
        println!("{:>6.1} s: {fault}", began.elapsed().as_secs_f64());
        ledger.begins(fault);
        fault.begin(mesh, counters);
        std::thread::sleep(options.fault_every / 2);
        fault.end(mesh);
        ledger.fault_ends();
        mending.faults += 1;
        let ended = Instant::now();
        while Instant::now() < next {
            if mesh.agreement(&mesh.all()).is_some() {
                mending.spans.push(ended.elapsed());
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    mending
}

impl Mending {
    fn print(mut self) {
        self.spans.sort_unstable();
        let (Some(half), Some(last)) = (self.spans.get(self.spans.len() / 2), self.spans.last()) else {
            return;
        };
        println!(
            "{} faults; after {} all agreed again before the next one: p50 {half:.1?}, max {last:.1?}",
            self.faults,
            self.spans.len()
        );
    }
}
