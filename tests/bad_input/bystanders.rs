//! Those who do nothing wrong while others do.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::common::Node;
use crate::common::radio::{Heard, PATIENCE, Radio, TEXT};

/// Where they connect from.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Pairs so far: each has its own ids and room.
static PAIRS: AtomicU32 = AtomicU32::new(0);
/// What "at once" is: far below T (5 s), far above what a busy test machine
/// makes of a millisecond.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Between two exchanges.
const PAUSE: Duration = Duration::from_millis(20);

struct Bystanders {
    speaker: Radio,
    hearer: Radio,
    room: String,
    said: u32,
}

/// Runs `story` while a pair of radios exchanges records, and has them exchange
/// one before and one after it. Each must be stored, and heard once, in order
/// and at once.
pub(crate) fn undisturbed<R>(node: &Node, story: impl FnOnce() -> R) -> R {
    let mut bystanders = Bystanders::of(node);
    bystanders.exchange();
    let over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        // Also when the story panics: the scope waits for the thread.
        let _over = SetOnDrop(&over);
        let exchanging = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                bystanders.exchange();
                std::thread::sleep(PAUSE);
            }
        });
        let told = story();
        assert!(!exchanging.is_finished(), "the bystanders were disturbed");
        told
    });
    bystanders.exchange();
    assert!(bystanders.said >= 2);
    told
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Bystanders {
    fn of(node: &Node) -> Self {
        let room = format!("bystanders {}", PAIRS.fetch_add(1, Ordering::Relaxed));
        let speaker = Radio::connect_from(ADDRESS, node, &format!("speaker of {room}"));
        let mut hearer = Radio::connect_from(ADDRESS, node, &format!("hearer of {room}"));
        hearer.subscribe(&room);
        Self { speaker, hearer, room, said: 0 }
    }

    /// One record, from one to the other.
    fn exchange(&mut self) {
        self.said += 1;
        let payload = format!("record {}", self.said).into_bytes();
        let since = Instant::now();
        let (uuid, message) = self.speaker.propogate(&self.room, &payload);
        self.speaker.send(TEXT, &message);
        assert_eq!(self.speaker.confirmed(&uuid), 3, "FAU3_STORED");
        match self.hearer.hear(PATIENCE) {
            Some(Heard::Voice(_, heard)) => assert_eq!(heard, payload, "lost, doubled or out of order"),
            other => panic!("record {} is not heard: {other:?}", self.said),
        }
        let span = since.elapsed();
        assert!(span < AT_ONCE, "record {} took {span:?}", self.said);
    }
}
