//! What the way through a router adds: a client at a router is heard at the server, and one at the server itself is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Options;
use crate::common::desktop::{Desktop, Got, playlist, propogate};
use crate::scene::{SERVER, Scene};
use crate::table::Row;

const ROOM: &str = "delay";
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two messages: a radio's are much farther apart.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn delay(options: &Options) -> Vec<Row> {
    let scene = crate::scene();
    scene.server.set(|quirks| quirks.late_wakeup = None);
    let through = spans(&scene, options.records, 0, "through");
    let direct = spans(&scene, options.records, SERVER, "direct");
    let row = |name: &str, of: f64, reach: f64| {
        let (ours, peer) = (percentile(&through, of), percentile(&direct, of));
        let added = ours.saturating_sub(peer).as_secs_f64() * 1_000.0;
        Row {
            work: format!("{name} of a record through a router to the server's client"),
            ours: format!("{:.2} ms", ours.as_secs_f64() * 1_000.0),
            peer: format!("{:.2} ms", peer.as_secs_f64() * 1_000.0),
            reach: format!("<= {reach} ms more"),
            met: Some(added <= reach),
            is_vital: false,
        }
    };
    vec![row("p50", 0.5, 1.0), row("p99", 0.99, 5.0)]
}

/// From saying on a host to hearing at the server, each time.
fn spans(scene: &Scene, records: u32, host: usize, name: &str) -> Vec<Duration> {
    let mut hears = connect(scene, SERVER, &format!("hears-{name}"));
    let mut says = connect(scene, host, &format!("says-{name}"));
    hears.subscribe(ROOM);
    says.subscribe(ROOM);
    // It is carried by then.
    std::thread::sleep(Duration::from_secs(1));
    let payload = vec![7; 9_500];
    let mut spans = Vec::new();
    for number in 0..records {
        let mut payload = payload.clone();
        payload[..4].copy_from_slice(&number.to_be_bytes());
        let begun = Instant::now();
        assert!(says.send(&propogate(ROOM, &format!("{name} {number}"), &payload)));
        loop {
            let Got::Message(message) = hears.next(PATIENCE) else { panic!("{number} is not heard") };
            let Some(heard) = playlist(&message) else { continue };
            hears.confirm(&heard);
            if heard.payload == payload {
                break;
            }
        }
        spans.push(begun.elapsed());
        // Its Confirm, so that nothing piles up.
        while let Got::Message(_) = says.next(Duration::from_millis(1)) {}
        std::thread::sleep(PAUSE);
    }
    spans.sort_unstable();
    spans
}

fn connect(scene: &Scene, host: usize, id: &str) -> Desktop {
    let (address, id) = (SocketAddr::from((scene.net().ipv4(host), 8901)), id.to_owned());
    scene.net().inside(host, move || Desktop::connect(address, &id)).join().unwrap()
}

fn percentile(sorted: &[Duration], of: f64) -> Duration {
    sorted[((sorted.len() as f64 * of) as usize).min(sorted.len() - 1)]
}
