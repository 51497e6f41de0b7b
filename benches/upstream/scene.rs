//! Three routers and the main server, each on a host of its own; faults of the server, and how soon clients are served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Net, wait_for};
use crate::ledger::Ledger;
use crate::legacy::{Legacy, Quirks};
use crate::moment::Moment;
use crate::people::Person;
use crate::routers::Mesh;
use crate::table::Row;
use crate::{Options, median_and_max};

pub(crate) const ROUTERS: usize = 3;
/// The server's host.
pub(crate) const SERVER: usize = ROUTERS;
/// Between an outage and the next, so that the hold time is not doubled for flapping.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// As the routers have it, and as they are told.
pub(crate) const HOLD: Duration = Duration::from_secs(3);

pub(crate) struct Scene {
    pub(crate) mesh: Mesh,
    pub(crate) server: Arc<Legacy>,
}

impl Scene {
    pub(crate) fn start() -> Self {
        let net = Arc::new(Net::new(ROUTERS + 1).unwrap());
        let address = (net.ipv4(SERVER), 8901).into();
        let quirks = Quirks { late_wakeup: Some((Duration::from_millis(100), 500)), ..Quirks::default() };
        let server = net.inside(SERVER, move || Legacy::start_at(address, quirks)).join().unwrap();
        let (url, hold) = (
            format!("default_server.url={}", server.url()),
            format!("default_server.hold_ms={}", HOLD.as_millis()),
        );
        let key = crate::routers::new_key();
        let mesh = (0..ROUTERS).fold(Mesh::on(net), |mesh, _| mesh.with(Some(&key), &[&url, &hold]));
        let scene = Self { mesh, server: Arc::new(server) };
        scene.until_default();
        scene
    }

    pub(crate) fn net(&self) -> &Arc<Net> {
        &self.mesh.net
    }

    /// Waits until the server leads at all routers.
    pub(crate) fn until_default(&self) {
        wait_for("the server leads", PATIENCE, || {
            self.mesh.all().iter().all(|&router| self.mesh.router(router).status()["mode"] == "default")
        });
    }

    /// So many clients, on all routers in turn.
    pub(crate) fn people(&self, ledger: &Arc<Ledger>, count: usize, every: Duration) -> Vec<Person> {
        (0..count).map(|number| Person::at_router(self, ledger, number, every)).collect()
    }

    /// Waits until each of these clients has a connection to the server.
    pub(crate) fn until_carried(&self, count: usize) {
        wait_for("all are carried", PATIENCE, || self.server.clients().len() >= count);
    }

    /// What the routers say of the server.
    pub(crate) fn said(&self) -> Vec<Value> {
        let of = |router: usize| self.mesh.router(router).status()["default_server"].clone();
        self.mesh.all().into_iter().map(of).collect()
    }

    pub(crate) fn sum(&self, field: &str) -> u64 {
        self.said().iter().map(|said| said[field].as_u64().unwrap()).sum()
    }

    pub(crate) fn cut_off(&self) {
        self.net().partition(&self.mesh.all(), &[SERVER]);
    }
}

/// Its process ends: connections are closed.
pub(crate) fn killed(options: &Options) -> Vec<Row> {
    rounds(options, "killed", 0.3, |scene| scene.server.crash(), |scene| scene.server.restart())
}

/// Nothing comes from it any more.
pub(crate) fn silent(options: &Options) -> Vec<Row> {
    rounds(options, "silently gone", 2.0, Scene::cut_off, |scene| scene.net().heal())
}

fn rounds(
    options: &Options,
    name: &str,
    reach: f64,
    fault: impl Fn(&Scene),
    mend: impl Fn(&Scene),
) -> Vec<Row> {
    let (mut gone, mut back, mut dropped) = (Vec::new(), Vec::new(), 0);
    for _ in 0..options.rounds {
        // A fresh scene each: who has flapped is believed later.
        let scene = crate::scene();
        let ledger = Arc::new(Ledger::default());
        let people = scene.people(&ledger, 12, Duration::from_secs(3_600));
        scene.until_carried(people.len());
        std::thread::sleep(REMEMBERED_FOR);
        let begun = Moment::now();
        fault(&scene);
        let (_, took) = scene.mesh.succession(usize::MAX, begun, PATIENCE);
        gone.push(took);
        // What is said meanwhile shows when each session is back.
        ledger.everyone_says();
        std::thread::sleep(Duration::from_secs(2));
        let begun = Instant::now();
        mend(&scene);
        wait_for("all sessions are back", PATIENCE, || {
            let there = scene.server.propogates();
            people.iter().all(|person| there.iter().any(|one| one.client_id == person.id()))
        });
        back.push(begun.elapsed().saturating_sub(HOLD));
        dropped += ledger.dropped();
        assert_eq!(scene.server.crashes().iter().filter(|why| why.contains("twice")).count(), 0);
    }
    let ((gone, gone_max), (back, back_max)) = (median_and_max(gone), median_and_max(back));
    vec![
        Row::seconds(&format!("{name}: until served here, median"), gone.as_secs_f64(), Some(reach)),
        Row::seconds(&format!("{name}: the same, at most"), gone_max.as_secs_f64(), Some(3.0)),
        Row::at_most(&format!("{name}: clients' connections lost"), dropped, 0),
        Row::seconds(
            &format!("{name}, returned: all back after its hold, median"),
            back.as_secs_f64(),
            Some(2.0),
        ),
        Row::seconds(&format!("{name}, returned: the same, at most"), back_max.as_secs_f64(), None),
    ]
}

/// A fifth of all packets between routers and server is lost: nobody moves.
pub(crate) fn loss(options: &Options) -> Vec<Row> {
    let scene = crate::scene();
    scene.net().loss(SERVER, 20);
    std::thread::sleep(Duration::from_secs(u64::from(options.minutes) * 60));
    let outages = scene.sum("outages");
    vec![Row::at_most(&format!("20 % loss: false fall-backs in {} minutes", options.minutes), outages, 0)]
}
