//! An hour, or less, with an outage of 5 to 30 s each minute, and sixty clients that talk all the time.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Options;
use crate::common::wait_for;
use crate::ledger::Ledger;
use crate::people::Person;
use crate::picture::{self, Outage};
use crate::scene::Scene;
use crate::table::Row;

const CLIENTS: usize = 60;
/// Clients of the server itself.
const THERE: usize = 6;
const TALK_EVERY: Duration = Duration::from_secs(12);
const MINUTE: Duration = Duration::from_secs(60);
/// After the last outage: up to four hold times for a server that comes and goes, and what waits goes at a bounded rate.
const MEND_MAX: Duration = Duration::from_secs(150);

/// What befalls the server.
#[derive(Clone, Copy)]
enum Kind {
    Killed,
    Silent,
    Mute,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Killed, Self::Silent, Self::Mute];

    const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Silent => "cut off",
            Self::Mute => "says nothing",
        }
    }

    fn begin(self, scene: &Scene) {
        match self {
            Self::Killed => scene.server.crash(),
            Self::Silent => scene.cut_off(),
            Self::Mute => scene.server.set(|quirks| quirks.mute = true),
        }
    }

    fn end(self, scene: &Scene) {
        match self {
            Self::Killed => scene.server.restart(),
            Self::Silent => scene.net().heal(),
            Self::Mute => scene.server.set(|quirks| quirks.mute = false),
        }
    }
}

pub(crate) fn outages(options: &Options) -> Vec<Row> {
    let scene = crate::scene();
    scene.server.set(|quirks| quirks.loses_confirm = Some(211));
    let ledger = Arc::new(Ledger::default());
    let mut people = scene.people(&ledger, CLIENTS, TALK_EVERY);
    people.extend((0..THERE).map(|number| Person::at_server(&scene, &ledger, number, TALK_EVERY)));
    scene.until_carried(people.len());
    let begun = Instant::now();
    let mut outages = Vec::new();
    let mut chance = options.seed;
    for minute in 0..options.minutes {
        let kind = Kind::ALL[minute as usize % Kind::ALL.len()];
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let span = Duration::from_millis(5_000 + (chance >> 33) % 25_000);
        eprintln!("{:8.1} s: {} for {:.1} s", begun.elapsed().as_secs_f64(), kind.name(), span.as_secs_f64());
        kind.begin(&scene);
        let from = Instant::now();
        std::thread::sleep(span);
        kind.end(&scene);
        outages.push(Outage { from, until: Instant::now(), what: kind.name() });
        std::thread::sleep((begun + MINUTE * (minute + 1)).saturating_duration_since(Instant::now()));
    }
    ledger.stop_talking();
    wait_for("everything is said, confirmed and there", MEND_MAX, || {
        ledger.is_confirmed() && scene.sum("waiting") == 0 && is_all_there(&scene, &ledger)
    });
    // Whatever might still come twice.
    std::thread::sleep(Duration::from_secs(10));
    report(options, &scene, &ledger, begun, &outages)
}

fn is_all_there(scene: &Scene, ledger: &Ledger) -> bool {
    ledger.summary(&scene.server.propogates()).lost.is_empty()
}

fn report(options: &Options, scene: &Scene, ledger: &Ledger, begun: Instant, outages: &[Outage]) -> Vec<Row> {
    let counted = scene.sum("maybe_doubled");
    let there = scene.server.propogates();
    let summary = ledger.summary(&there);
    let twice = scene.server.crashes().iter().filter(|why| why.contains("twice")).count();
    for (what, which) in
        [("lost", &summary.lost), ("not heard", &summary.unheard), ("heard twice", &summary.heard_twice)]
    {
        which.iter().take(20).for_each(|text| println!("{what}: {text}"));
    }
    if let Some(file) = &options.picture {
        let svg = picture::draw(begun, &summary.points, outages);
        let written = std::fs::File::create(file).and_then(|mut file| file.write_all(svg.as_bytes()));
        match written {
            Ok(()) => eprintln!("picture: {}", file.display()),
            Err(error) => eprintln!("no picture at {}: {error}", file.display()),
        }
    }
    let minutes = options.minutes;
    println!(
        "{minutes} minutes, {} outages: {} said, {} confirmed; the server was told {} times, {} may be twice",
        outages.len(),
        summary.said,
        summary.confirmed,
        there.len(),
        counted
    );
    let row = |what: &str, count: usize, most: u64| {
        Row::at_most(&format!("{minutes} min with outages: {what}"), count as u64, most)
    };
    vec![
        row("confirmed, and lost to the server", summary.lost.len(), 0),
        row("out of a sender's order at the server", summary.out_of_order, 0),
        row("doubled at the server (reach: counted lost Confirms)", summary.doubled, counted),
        row("confirmed, and not heard at some router", summary.unheard.len(), 0),
        row("heard twice at some router", summary.heard_twice.len(), 0),
        row("clients' connections lost", ledger.dropped() as usize, 0),
        row("ids that connected twice", twice, 0),
    ]
}
