//! From client to client over two routers, and the same over one: clients, routers and switch each on a host of its
//! own. Both are measured in turn, and what is asked for is the difference.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use crate::{
    bench::{Bench, Pair, progress},
    cluster::Cluster,
    common::{
        board::{Outcome, Pacing, Shape},
        dialect::{Dialect, Kind, Result},
        fau3::Fau3,
        load::{Doors, Load},
        table::{Reach, Row},
        tally::{Faults, median, quantile},
    },
    netns::Net,
};

/// Time from one record, and from one Speex frame, to the next.
const INTERVAL: Duration = Duration::from_millis(20);
/// 5 s of Speex narrowband, quality 8, and one frame of it.
const RECORD_BYTES: usize = 9_500;
const FRAME_BYTES: usize = 38;
/// No round takes as long.
const LIMIT: Duration = Duration::from_secs(60);
/// Where clients are served, as delivered.
const CLIENT_PORT: u16 = 8901;

/// One row's limits in ms beyond one router's figures.
struct Limits {
    name: &'static str,
    p50_ms: f64,
    p99_ms: f64,
}

impl Bench {
    pub(crate) fn records(&self) -> Result<Vec<Row>> {
        let shape =
            Shape { rooms: 1, listeners_per_room: 1, kind: Kind::Record, payload_bytes: RECORD_BYTES };
        self.beyond_one(shape, self.amounts.records, &Limits { name: "record", p50_ms: 2.0, p99_ms: 10.0 })
    }

    pub(crate) fn streams(&self) -> Result<Vec<Row>> {
        let shape = Shape { rooms: 1, listeners_per_room: 1, kind: Kind::Frame, payload_bytes: FRAME_BYTES };
        self.beyond_one(
            shape,
            self.amounts.frames,
            &Limits { name: "Stream frame", p50_ms: 1.0, p99_ms: 5.0 },
        )
    }

    fn beyond_one(&self, shape: Shape, messages: u32, limits: &Limits) -> Result<Vec<Row>> {
        let one = Path::open(self, 1, shape, messages)?;
        let two = Path::open(self, 2, shape, messages)?;
        let (mut of_one, mut of_two) = (Figures::default(), Figures::default());
        for _ in 0..self.amounts.rounds {
            one.round(self, &mut of_one)?;
            two.round(self, &mut of_two)?;
        }
        let ([p50_one, p99_one], [p50_two, p99_two]) = (of_one.medians(), of_two.medians());
        let faults = of_two.faults;
        let name = limits.name;
        let row = |work: String, ours, reach| Pair { ours, peer: None }.row(&work, "ms", reach);
        Ok(vec![
            row(format!("{name}, one router: p50"), p50_one, Reach::Informative),
            row("  one router: p99".into(), p99_one, Reach::Informative),
            row("  over two routers: p50 more".into(), p50_two - p50_one, Reach::AtMost(limits.p50_ms)),
            row("  over two routers: p99 more".into(), p99_two - p99_one, Reach::AtMost(limits.p99_ms)),
            Row::Faults {
                work: format!(
                    "  lost / doubled / out of order / damaged, of {}",
                    messages * self.amounts.rounds
                ),
                ours: faults.to_string(),
                peer: None,
                are_none: faults == Faults::default(),
            },
        ])
    }
}

/// What the rounds over one path gave, in ms.
#[derive(Default)]
struct Figures {
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    faults: Faults,
}

impl Figures {
    fn medians(&self) -> [f64; 2] {
        [median(self.p50_ms.iter().copied()), median(self.p99_ms.iter().copied())]
    }
}

/// Routers and their clients, who send when they are told to.
struct Path {
    /// Dropped first: the clients end with it.
    go: Sender<()>,
    rounds: Receiver<std::result::Result<Outcome, String>>,
    routers: usize,
    _cluster: Cluster,
}

impl Path {
    /// Senders are at the first of so many routers, listeners at the last.
    fn open(bench: &Bench, routers: usize, shape: Shape, messages: u32) -> Result<Path> {
        let mut cluster = Cluster::new(&bench.ours, routers, 1)?;
        for host in 0..routers {
            cluster.start(host)?;
        }
        cluster.settle()?;
        let doors = Doors { senders: door(&cluster.net, 0), listeners: door(&cluster.net, routers - 1) };
        let (go, gone) = channel();
        let (done, rounds) = channel();
        let failed = done.clone();
        cluster.net.inside(routers, move || {
            let work = || -> Result<()> {
                let dialect: Rc<dyn Dialect> = Rc::new(Fau3);
                let load = Load::connect(&dialect, doors, shape)?;
                // The first ones warm up.
                load.run(messages.div_ceil(10), Pacing::Every(INTERVAL), LIMIT)?;
                while gone.recv().is_ok() {
                    done.send(Ok(load.run(messages, Pacing::Every(INTERVAL), LIMIT)?))?;
                }
                Ok(())
            };
            if let Err(error) = work() {
                // Nobody may listen any more.
                let _ = failed.send(Err(error.to_string()));
            }
        });
        Ok(Path { go, rounds, routers, _cluster: cluster })
    }

    fn round(&self, bench: &Bench, figures: &mut Figures) -> Result<()> {
        // If they have ended, they have said why.
        let _ = self.go.send(());
        let outcome = self.rounds.recv()??;
        let [p50, p99, most] =
            [0.50, 0.99, 1.0].map(|share| quantile(&outcome.latencies_us, share) / 1_000.0);
        progress(
            &bench.ours,
            &format!("{} routers: p50 {p50:.2} ms, p99 {p99:.2}, max {most:.2}", self.routers),
        );
        figures.p50_ms.push(p50);
        figures.p99_ms.push(p99);
        figures.faults += outcome.faults;
        Ok(())
    }
}

/// Where clients of the router on a host connect.
pub(crate) fn door(net: &Net, host: usize) -> SocketAddr {
    (net.ipv4(host), CLIENT_PORT).into()
}
