//! A router that was away catches up, while clients of the others go on talking.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    bench::{Bench, Pair, progress},
    cluster::Cluster,
    common::{
        board::{Pacing, Shape},
        dialect::{Dialect, Kind, Result},
        fau3::Fau3,
        load::{Doors, Load},
        table::{Reach, Row},
        tally::{median, quantile},
    },
    latency::door,
    program::control_socket,
};

/// 5 s of Speex narrowband, quality 8.
const RECORD_BYTES: usize = 9_500;
/// Time between two records of the client that goes on talking.
const INTERVAL: Duration = Duration::from_millis(20);
/// Of its records, those measured at once.
const CHUNK: u32 = 10;
/// Records in flight while the backlog is made.
const WINDOW: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);
/// How often the router is asked how much it holds.
const ASK_INTERVAL: Duration = Duration::from_millis(10);
/// Room for the backlog and for what comes meanwhile.
const STORAGE: &str = "clients.storage_max_kib=65536";
/// The router that was away, and the host of the clients.
const AWAY: usize = 2;
const CLIENTS: usize = 3;

/// How it went once.
struct CaughtUp {
    records_per_s: f64,
    /// From its start until it held all.
    whole_s: f64,
    /// Of clients elsewhere, before and meanwhile: p50 and p99.
    before_ms: [f64; 2],
    meanwhile_ms: [f64; 2],
}

impl Bench {
    pub(crate) fn replication(&self) -> Result<Vec<Row>> {
        let rounds =
            (0..self.amounts.rounds.min(5)).map(|_| self.catch_up()).collect::<Result<Vec<CaughtUp>>>()?;
        let row = |work: &str, unit, value: fn(&CaughtUp) -> f64, reach| {
            let ours = median(rounds.iter().map(value));
            Pair { ours, peer: None }.row(work, unit, reach)
        };
        let work = format!("replication of {} records of {RECORD_BYTES} bytes", self.amounts.backlog);
        Ok(vec![
            row(&work, "/s", |round| round.records_per_s, Reach::AtLeast(200.0)),
            row("  start of the router until it has all", "s", |round| round.whole_s, Reach::Informative),
            row("  clients elsewhere before: p50", "ms", |round| round.before_ms[0], Reach::Informative),
            row(
                "  clients elsewhere meanwhile: p50",
                "ms",
                |round| round.meanwhile_ms[0],
                Reach::Informative,
            ),
            row("  clients elsewhere before: p99", "ms", |round| round.before_ms[1], Reach::Informative),
            row(
                "  clients elsewhere meanwhile: p99",
                "ms",
                |round| round.meanwhile_ms[1],
                Reach::Informative,
            ),
        ])
    }

    fn catch_up(&self) -> Result<CaughtUp> {
        let mut cluster = Cluster::new(&self.ours, AWAY + 1, 1)?.with(&[STORAGE]);
        cluster.start(0)?;
        cluster.start(1)?;
        cluster.settle()?;
        let backlog = self.amounts.backlog;
        let door = door(&cluster.net, 0);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let (ready, made) = channel();
        let clients = cluster
            .net
            .inside(CLIENTS, move || talk(door, backlog, &ready, &over).map_err(|error| error.to_string()));
        let measured = match made.recv() {
            Ok(()) => follow(&mut cluster, backlog),
            Err(_) => Err("the clients have ended".into()),
        };
        is_over.store(true, Ordering::Relaxed);
        let [before_ms, meanwhile_ms] = clients.join().map_err(|_| "the clients panicked")??;
        let (records_per_s, whole_s) = measured?;
        progress(
            &self.ours,
            &format!(
                "{records_per_s:.0} records/s, all after {whole_s:.2} s; clients' p50 and p99 before \
                 {before_ms:.2?} ms, meanwhile {meanwhile_ms:.2?} ms"
            ),
        );
        Ok(CaughtUp { records_per_s, whole_s, before_ms, meanwhile_ms })
    }
}

/// Makes the backlog and says so, then goes on at a steady rate until it is over: p50 and p99 in ms before and after
/// it has said so.
fn talk(
    door: std::net::SocketAddr,
    backlog: u32,
    ready: &std::sync::mpsc::Sender<()>,
    over: &AtomicBool,
) -> Result<[[f64; 2]; 2]> {
    let dialect: Rc<dyn Dialect> = Rc::new(Fau3);
    let shape = Shape { rooms: 1, listeners_per_room: 1, kind: Kind::Record, payload_bytes: RECORD_BYTES };
    let load = Load::connect(&dialect, Doors::one(door), shape)?;
    let made = load.run(backlog, Pacing::Window(WINDOW), LIMIT)?;
    let mut faults = made.faults;
    let mut steady = |until: &dyn Fn(usize) -> bool| -> Result<[f64; 2]> {
        let mut latencies = Vec::new();
        while !until(latencies.len()) {
            let outcome = load.run(CHUNK, Pacing::Every(INTERVAL), LIMIT)?;
            faults += outcome.faults;
            latencies.extend(outcome.latencies_us);
        }
        latencies.sort_unstable();
        Ok([0.50, 0.99].map(|share| quantile(&latencies, share) / 1_000.0))
    };
    let before = steady(&|count| count >= 10 * CHUNK as usize)?;
    ready.send(())?;
    let meanwhile = steady(&|_| over.load(Ordering::Relaxed))?;
    if faults != Default::default() {
        return Err(format!("lost / doubled / out of order / damaged: {faults}").into());
    }
    Ok([before, meanwhile])
}

/// Starts the router that was away: records a second from the first to the last, and seconds since its start.
fn follow(cluster: &mut Cluster, backlog: u32) -> Result<(f64, f64)> {
    let started = cluster.start(AWAY)?;
    let socket = control_socket(&cluster.scratch, AWAY);
    let mut first: Option<(Instant, u64)> = None;
    loop {
        // It does not answer before it listens.
        let held = held(&socket).unwrap_or(0);
        let now = Instant::now();
        if held > 0 {
            first.get_or_insert((now, held));
        }
        if let (Some((since, had)), true) = (first, held >= u64::from(backlog)) {
            // All of it between two questions: as fast as could be seen.
            let took_s = (now - since).max(ASK_INTERVAL).as_secs_f64();
            return Ok(((held - had).max(1) as f64 / took_s, (now - started).as_secs_f64()));
        }
        if started.elapsed() > LIMIT {
            return Err(cluster.explain(&format!("{held} of {backlog} records after {LIMIT:?}")));
        }
        thread::sleep(ASK_INTERVAL);
    }
}

/// How many records a router holds, payloads and all, asked through its control socket.
fn held(socket: &Path) -> Result<u64> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"status\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status: serde_json::Value = serde_json::from_str(&answer)?;
    let records = &status["records"];
    let figures = records["count"].as_u64().zip(records["bytes"].as_u64());
    let (count, bytes) = figures.ok_or("a status without records")?;
    Ok(count.min(bytes / RECORD_BYTES as u64))
}
