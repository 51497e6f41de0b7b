use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fau3::router::Told;
use fau3::wire::Uuid;
use fau3::wire::fau3d::FromClient;
use fau3_election::Time;

/// One connection of a client: frames in order, both ways, until someone ends
/// it or the air does.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) client: usize,
    pub(super) node: usize,
    /// The router's life in which it began.
    pub(super) boot: u32,
    pub(super) up: VecDeque<Up>,
    pub(super) down: VecDeque<Down>,
    /// When the newest thing reaches the router.
    pub(super) up_at: Time,
    /// When the newest frame is out of the router's socket buffer.
    pub(super) out_at: Time,
    /// When the newest thing reaches the device.
    pub(super) down_at: Time,
    /// Frames that the router has sent.
    pub(super) frames: u32,
    /// How long a frame takes to leave the router's socket buffer.
    pub(super) leave: Duration,
    /// Nothing passes any more, and no end is told.
    pub(super) is_dead: bool,
    /// The router has ended it, or turned it away.
    pub(super) is_ended: bool,
    /// The room of the last Subscribe that the router has taken in from it.
    pub(super) room: Option<usize>,
    /// Playlists that went down it: the message of each, and the last record's key. What
    /// the main server tells of a message goes by its name, but is another record.
    pub(super) sent: BTreeMap<Uuid, (Option<usize>, u128)>,
    /// Playlists that its client has confirmed on it, with the record's key.
    pub(super) confirmed: BTreeSet<(Uuid, u128)>,
    /// Live audio that came down it: speaker, count.
    pub(super) streams: Vec<(u8, u32)>,
}

/// From a device to its router.
#[derive(Debug)]
pub(super) enum Up {
    Connect,
    Message(FromClient),
    Pong(u32),
    Gone,
}

/// From a router to a device.
#[derive(Debug)]
pub(super) enum Down {
    Frame(Told),
    Probe(u32),
    Accepted,
    Gone,
}

impl Line {
    pub(super) fn new(client: usize, node: usize, boot: u32, now: Time, leave: Duration) -> Self {
        Self {
            client,
            node,
            boot,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_at: now,
            out_at: now,
            down_at: now,
            frames: 0,
            leave,
            is_dead: false,
            is_ended: false,
            room: None,
            sent: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            streams: Vec::new(),
        }
    }
}
