//! The works: what is done to a server, and what is measured meanwhile. Each is done to both servers in turn (A B A
//! B), each time from a fresh process, and the medians go into the table.

use std::{thread, time::Duration};

use crate::{
    common::{
        board::{Outcome, Pacing, Shape},
        client::Session,
        dialect::{Kind, Result},
        load::{Doors, Load},
        table::{Figure, Reach, Row, count, number},
        tally::{Faults, median, quantile},
    },
    process::{Program, Server, loopback, own_cpu_s},
};

/// Records that a sender may have in flight, whichever server.
const WINDOW: usize = 5;
/// The same where the server is to be offered more than it can hand on at once.
const WINDOW_OFFERED: usize = 50;
/// A fan-out's senders stop after this time, however much is left.
const FAN_OUT_LIMIT: Duration = Duration::from_secs(6);
/// Nothing else takes longer.
const LIMIT: Duration = Duration::from_secs(20);
/// Pause before memory at rest is read.
const SETTLE: Duration = Duration::from_millis(500);
/// Time from one Speex frame to the next.
const FRAME_INTERVAL: Duration = Duration::from_millis(20);
/// Speex narrowband, quality 8.
const FRAME_BYTES: usize = 38;
/// 5 s of it.
const RECORD_BYTES: usize = 9_500;
const KIB_PER_MIB: f64 = 1024.0;
/// `storage_max_kib` as delivered, and the 8 MiB beside it.
const OFFERED_REACH_MIB: f64 = 4096.0 / KIB_PER_MIB + 8.0;

/// How much of each work is done.
#[derive(Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) starts: u32,
    pub(crate) rounds: u32,
    pub(crate) idle_clients: u32,
    pub(crate) offered_records: u32,
    /// Messages of each sender of the two fan-outs.
    pub(crate) fan_out_messages: [u32; 2],
    pub(crate) frames: u32,
}

impl Amounts {
    /// What the figures are stated for.
    pub(crate) const FULL: Amounts = Amounts {
        starts: 10,
        rounds: 5,
        idle_clients: 1_000,
        offered_records: 10_000,
        fan_out_messages: [3_000, 800],
        frames: 500,
    };
    /// Whether everything still works; its figures say nothing.
    pub(crate) const QUICK: Amounts = Amounts {
        starts: 2,
        rounds: 1,
        idle_clients: 50,
        offered_records: 500,
        fan_out_messages: [50, 20],
        frames: 25,
    };
}

/// Who is measured, and where.
pub(crate) struct Bench {
    pub(crate) ours: Program,
    pub(crate) peer: Option<Program>,
    /// The servers' own.
    pub(crate) processor: Option<usize>,
    pub(crate) amounts: Amounts,
}

/// A value of ours, and one of the peer's where there is one.
struct Pair<T> {
    ours: T,
    peer: Option<T>,
}

impl<T> Pair<T> {
    fn map<U>(&self, value: impl Fn(&T) -> U) -> Pair<U> {
        Pair { ours: value(&self.ours), peer: self.peer.as_ref().map(value) }
    }
}

impl Pair<f64> {
    fn row(self, work: &str, unit: &'static str, reach: Reach) -> Row {
        Row::Figure(Figure { work: work.to_owned(), unit, ours: self.ours, peer: self.peer, reach })
    }
}

/// What one round of a load cost and gave.
struct Round {
    faults: Faults,
    deliveries_per_cpu_s: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Bench {
    /// Does `work` to both servers in turn, `times` times. A peer that fails drops out of this work.
    fn alternate<T>(&self, times: u32, work: impl Fn(&Program) -> Result<T>) -> Result<Pair<Vec<T>>> {
        let mut pair = Pair { ours: Vec::new(), peer: self.peer.as_ref().map(|_| Vec::new()) };
        for _ in 0..times {
            pair.ours.push(work(&self.ours)?);
            if let (Some(program), Some(values)) = (&self.peer, &mut pair.peer) {
                match work(program) {
                    Ok(value) => values.push(value),
                    Err(error) => {
                        progress(program, &format!("*** FAILED, so there is no peer here: {error}"));
                        pair.peer = None;
                    }
                }
            }
        }
        Ok(pair)
    }

    /// From exec until a client's session is open. Not pinned: to be measured before anything else is.
    pub(crate) fn start(&self) -> Result<Vec<Row>> {
        let starts = self.alternate(self.amounts.starts, |program| {
            Ok(Server::start(program, None)?.started_in.as_secs_f64() * 1_000.0)
        })?;
        progress(&self.ours, &format!("start: {:.1?} ms", starts.ours));
        let medians = starts.map(|times| median(times.iter().copied()));
        Ok(vec![medians.row("start: exec until a client is answered", "ms", Reach::AtMost(100.0))])
    }

    /// At rest, and what each idle subscribed client adds.
    pub(crate) fn memory(&self) -> Result<Vec<Row>> {
        let clients = self.amounts.idle_clients;
        let measured = self.alternate(1, |program| {
            let server = Server::start(program, self.processor)?;
            thread::sleep(SETTLE);
            let at_rest = server.resident_kib()?;
            let idle = idle_clients(program, &server, clients)?;
            thread::sleep(SETTLE);
            let each = (server.resident_kib()? - at_rest) / f64::from(clients);
            drop(idle);
            progress(
                program,
                &format!("at rest {at_rest} KiB, {each:.1} KiB each of {clients} idle clients"),
            );
            Ok((at_rest / KIB_PER_MIB, each))
        })?;
        let at_rest = measured.map(|values| median(values.iter().map(|value| value.0)));
        let each = measured.map(|values| median(values.iter().map(|value| value.1)));
        let work = format!("memory: each of {} idle subscribed clients", count(clients.into()));
        Ok(vec![
            at_rest.row("memory: at rest", "MiB", Reach::AtMost(8.0)),
            each.row(&work, "KiB", Reach::AtMost(8.0)),
        ])
    }

    /// The most that is resident while many records pass through bounds that hold few of them.
    pub(crate) fn offered(&self) -> Result<Vec<Row>> {
        let records = self.amounts.offered_records;
        let shape =
            Shape { rooms: 1, listeners_per_room: 1, kind: Kind::Record, payload_bytes: RECORD_BYTES };
        let measured = self.alternate(1, |program| {
            let server = Server::start(program, self.processor)?;
            let load = Load::connect(&program.dialect(), Doors::one(loopback(server.port)), shape)?;
            let outcome =
                load.run(records, Pacing::Window(WINDOW_OFFERED), LIMIT).map_err(with_log(&server))?;
            let (now, most) = (server.resident_kib()?, server.resident_max_kib()?);
            progress(
                program,
                &format!("{} records through: {now} KiB, at most {most} KiB", outcome.delivered),
            );
            Ok((now.max(most) / KIB_PER_MIB, outcome))
        })?;
        let most = measured.map(|values| median(values.iter().map(|value| value.0)));
        let faults = measured.map(|values| sum(values.iter().map(|value| value.1.faults)));
        // Not all that should be, if the limit came before.
        let passed = measured.ours.iter().map(|value| value.1.delivered).sum();
        let work = format!("memory: most, {} records of 9,500 B", count(passed));
        Ok(vec![most.row(&work, "MiB", Reach::AtMost(OFFERED_REACH_MIB)), faults_row(&faults)])
    }

    /// One sender and 100 listeners with small records.
    pub(crate) fn fan_out_small(&self) -> Result<Vec<Row>> {
        let shape = Shape { rooms: 1, listeners_per_room: 100, kind: Kind::Record, payload_bytes: 1_000 };
        self.fan_out("fan-out 1 to 100, 1,000 B", shape, self.amounts.fan_out_messages[0])
    }

    /// Twenty rooms of ten with records of 5 s of speech.
    pub(crate) fn fan_out_large(&self) -> Result<Vec<Row>> {
        let shape =
            Shape { rooms: 20, listeners_per_room: 10, kind: Kind::Record, payload_bytes: RECORD_BYTES };
        self.fan_out("fan-out 20 rooms of 10, 9,500 B", shape, self.amounts.fan_out_messages[1])
    }

    fn fan_out(&self, name: &str, shape: Shape, messages: u32) -> Result<Vec<Row>> {
        let rounds = self.alternate(self.amounts.rounds, |program| {
            self.round(name, program, shape, messages, Pacing::Window(WINDOW), FAN_OUT_LIMIT)
        })?;
        let rate = rounds.map(|rounds| median(rounds.iter().map(|round| round.deliveries_per_cpu_s)));
        Ok(vec![
            rate.row(&format!("{name}: deliveries"), "/CPU s", Reach::TimesPeerAtLeast(1.0)),
            latency(&rounds, |round| round.p50_ms).row("  p50 latency", "ms", Reach::Informative),
            latency(&rounds, |round| round.p99_ms).row("  p99 latency", "ms", Reach::TimesPeerAtMost(1.5)),
            faults_row(&rounds.map(|rounds| sum(rounds.iter().map(|round| round.faults)))),
        ])
    }

    /// Ten speakers at once, live.
    pub(crate) fn streams(&self) -> Result<Vec<Row>> {
        let name = "Streams: 10 rooms of 20, 38 B every 20 ms";
        let shape =
            Shape { rooms: 10, listeners_per_room: 20, kind: Kind::Frame, payload_bytes: FRAME_BYTES };
        let rounds = self.alternate(1, |program| {
            self.round(name, program, shape, self.amounts.frames, Pacing::Every(FRAME_INTERVAL), LIMIT)
        })?;
        let rate = rounds.map(|rounds| median(rounds.iter().map(|round| round.deliveries_per_cpu_s)));
        Ok(vec![
            rate.row(&format!("{name}: deliveries"), "/CPU s", Reach::Informative),
            latency(&rounds, |round| round.p50_ms).row("  p50 latency", "ms", Reach::Informative),
            latency(&rounds, |round| round.p99_ms).row("  p99 latency", "ms", Reach::AtMost(10.0)),
            faults_row(&rounds.map(|rounds| sum(rounds.iter().map(|round| round.faults)))),
        ])
    }

    /// One load on a fresh server, the first twentieth of it to warm up.
    fn round(
        &self,
        name: &str,
        program: &Program,
        shape: Shape,
        messages: u32,
        pacing: Pacing,
        limit: Duration,
    ) -> Result<Round> {
        let server = Server::start(program, self.processor)?;
        let load = Load::connect(&program.dialect(), Doors::one(loopback(server.port)), shape)?;
        let mut faults = load.run(messages.div_ceil(20), pacing, limit).map_err(with_log(&server))?.faults;
        let (server_before, own_before) = (server.cpu_s()?, own_cpu_s()?);
        let outcome = load.run(messages, pacing, limit).map_err(with_log(&server))?;
        let (server_s, own_s) = (server.cpu_s()? - server_before, own_cpu_s()? - own_before);
        faults += outcome.faults;
        let round = Round {
            faults,
            // A tick is the least that can be told.
            deliveries_per_cpu_s: outcome.delivered as f64 / server_s.max(0.01),
            p50_ms: quantile(&outcome.latencies_us, 0.50) / 1_000.0,
            p99_ms: quantile(&outcome.latencies_us, 0.99) / 1_000.0,
        };
        progress(program, &format!("{name}: {}", describe(&round, &outcome, server_s, own_s)));
        Ok(round)
    }
}

/// Connects and subscribes `clients` that then say nothing, ten to a room.
fn idle_clients(program: &Program, server: &Server, clients: u32) -> Result<Vec<Session>> {
    let dialect = program.dialect();
    (0..clients)
        .map(|client| {
            let mut session =
                Session::open(&*dialect, loopback(server.port), &format!("bench-idle-{client}"))
                    .map_err(|error| format!("client {client}: {error}{}", server.log()))?;
            session.subscribe(&*dialect, client / 10, Kind::Record)?;
            Ok(session)
        })
        .collect()
}

fn latency(rounds: &Pair<Vec<Round>>, value: impl Fn(&Round) -> f64) -> Pair<f64> {
    rounds.map(|rounds| median(rounds.iter().map(&value)))
}

fn sum(faults: impl IntoIterator<Item = Faults>) -> Faults {
    faults.into_iter().fold(Faults::default(), |mut sum, faults| {
        sum += faults;
        sum
    })
}

fn faults_row(faults: &Pair<Faults>) -> Row {
    let texts = faults.map(Faults::to_string);
    let work = "  lost / doubled / out of order / damaged".to_owned();
    Row::Faults { work, ours: texts.ours, peer: texts.peer, are_none: faults.ours == Faults::default() }
}

fn with_log(server: &Server) -> impl Fn(Box<dyn std::error::Error>) -> Box<dyn std::error::Error> {
    |error| format!("{error}{}", server.log()).into()
}

fn describe(round: &Round, outcome: &Outcome, server_s: f64, own_s: f64) -> String {
    let took_s = outcome.took.as_secs_f64().max(0.001);
    format!(
        "{} deliveries/CPU s, {} a second; server busy {:.0} %, generator {:.0} %; p50 {:.2} ms, p99 {:.2} ms",
        number(round.deliveries_per_cpu_s),
        number(outcome.delivered as f64 / took_s),
        100.0 * server_s / took_s,
        100.0 * own_s / took_s,
        round.p50_ms,
        round.p99_ms,
    )
}

fn progress(program: &Program, text: &str) {
    eprintln!("{:>9}  {text}", program.name());
}
