//! What a router tells about itself: counters, a snapshot for people, and the
//! list in a Monitor.

use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;

use super::Router;
use super::mesh::{MeshStatus, Place};
use super::session::Session;
use super::settings::MONITOR_LIST_AGE;
use super::upstream::UpstreamStatus;
use crate::wire::Present;
use crate::wire::RoomId;

/// Upper bounds of the latency buckets, in ms; a last bucket has none.
pub const LATENCY_BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// Counters since the start. They only rise.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each name says what it counts")]
pub struct Stats {
    pub records_stored: u64,
    /// Dropped for age or bytes.
    pub records_expired: u64,
    /// Answered FAU3_SERROR.
    pub records_refused: u64,
    /// Propogates that had been taken in before.
    pub duplicates: u64,
    /// Confirmed while no other router held the record.
    pub confirmed_single: u64,
    /// Taken in from other routers.
    pub records_replicated: u64,
    /// Sent to other routers, once for each.
    pub records_sent: u64,
    /// Questions for records that other routers hold.
    pub fetches: u64,
    pub fetches_unanswered: u64,
    /// Held back until the same sender's record before them has come.
    pub order_waits: u64,
    /// Delivered without the same sender's record before them, after 2 s.
    pub order_given_up: u64,
    /// Clients that left for another router without having said so.
    pub roamed: u64,
    /// Sessions of other routers that found no place.
    pub sessions_refused: u64,
    /// Questions for all that another router knows, since something was lost.
    pub states_asked: u64,
    /// Frames of other routers that were none.
    pub peer_invalid: u64,
    /// Connections to routers beyond as many as a mesh may have; nothing is said there.
    pub peers_refused: u64,
    /// Times at which the queue to another router was full.
    pub peer_full: u64,
    pub streams_passed: u64,
    pub streams_seen_before: u64,
    pub store_failed: u64,
    pub playlists_sent: u64,
    /// Items confirmed.
    pub deliveries: u64,
    /// From first sending to Confirm, one bucket for each of
    /// [`LATENCY_BOUNDS_MS`] and one beyond.
    pub latency: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Sum of the same, in microseconds.
    pub latency_sum_us: u64,
    /// Items and Monitors sent again.
    pub resends: u64,
    /// Items not sent again until the client returns.
    pub given_up: u64,
    /// Records that wait behind the others for a client whose connections have
    /// ended on them.
    pub put_behind: u64,
    /// Gaps in what a client has settled that were too many to remember.
    pub gaps_given_up: u64,
    pub streams_in: u64,
    pub streams_out: u64,
    pub streams_without_room: u64,
    /// Answered FAU3_INVALID, broken Confirms included.
    pub invalid: u64,
    /// Confirms for nothing that was in flight.
    pub confirms_unmatched: u64,
    pub takeovers: u64,
    pub refused: u64,
    pub pings_unanswered: u64,
    /// Connections ended for showing no life at all.
    pub silent: u64,
    pub sessions_ended: u64,
    /// Records that a legacy main server has confirmed.
    pub upstream_pushed: u64,
    /// Sent to it again, since it answered nothing: it may have them twice.
    pub upstream_repeated: u64,
    /// Unconfirmed when their connection to it went: the Confirm may be lost with it.
    pub upstream_unsure: u64,
    /// Records that it said it will not take.
    pub upstream_refused: u64,
    /// Dropped for age or bytes before it had them.
    pub upstream_expired: u64,
    /// Messages of its clients that became records here.
    pub upstream_taken_in: u64,
    /// Copies that it sent of messages that were known here.
    pub upstream_paired: u64,
}

impl Stats {
    pub(super) fn delivered(&mut self, latency: Duration) {
        self.deliveries += 1;
        let bucket = LATENCY_BOUNDS_MS.iter().position(|bound| latency <= Duration::from_millis(*bound));
        self.latency[bucket.unwrap_or(LATENCY_BOUNDS_MS.len())] += 1;
        self.latency_sum_us += u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    }
}

/// A router at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Connected clients, by id.
    pub clients: Vec<Present>,
    /// Sessions that wait for their client.
    pub detached: usize,
    /// Rooms, by name.
    pub rooms: Vec<RoomStatus>,
    /// Records held.
    pub records: usize,
    /// What they cost, in bytes.
    pub record_bytes: usize,
    /// Counters.
    pub stats: Stats,
    /// The mesh, if this router is in one.
    pub mesh: Option<MeshStatus>,
    /// The main server, if there is one.
    pub upstream: Option<UpstreamStatus>,
}

/// One room at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomStatus {
    /// Its name.
    pub room: RoomId,
    /// Connected clients in it.
    pub clients: usize,
    /// Records held of it.
    pub records: usize,
}

/// The list that all Monitors of about the same moment share.
#[derive(Debug, Default)]
pub(super) struct MonitorList(Option<(Time, Arc<[Present]>)>);

impl Router {
    /// Everything worth showing, at this moment.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let rooms = self.rooms.iter().map(|(room, content)| RoomStatus {
            room: room.clone(),
            clients: content.members.iter().filter(|key| self.sessions[**key].link.is_some()).count(),
            records: content.records.len(),
        });
        Snapshot {
            clients: self.list_clients(now, is_here).map(|(client, _)| client).collect(),
            detached: self.detached.len(),
            rooms: rooms.collect(),
            records: self.log.count(),
            record_bytes: self.log.bytes(),
            stats: self.stats.clone(),
            mesh: self.mesh_status(),
            upstream: self.upstream_status(),
        }
    }

    /// Counters alone.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The list for a Monitor, of the whole mesh, at most a second old.
    pub(super) fn connected_clients(&mut self) -> Arc<[Present]> {
        if let MonitorList(Some((made, list))) = &self.monitor_list
            && self.now.since(*made) < MONITOR_LIST_AGE
        {
            return list.clone();
        }
        let is_connected = |session: &Session| is_here(session) || session.place == Place::Elsewhere;
        let clients = self.list_clients(self.now, is_connected);
        let mut list: Vec<Present> = clients.map(|(client, _)| client).collect();
        list.extend(self.clients_of_the_server(&list));
        let list: Arc<[Present]> = list.into();
        self.monitor_list = MonitorList(Some((self.now, list.clone())));
        list
    }

    /// Those of the whole mesh that `is_meant` picks, by id.
    pub(super) fn list_clients<'a>(
        &'a self,
        now: Time,
        is_meant: impl Fn(&Session) -> bool + 'a,
    ) -> impl Iterator<Item = (Present, &'a Session)> {
        let sessions = self.by_client.values().map(|key| &self.sessions[*key]);
        sessions.filter(move |session| is_meant(session)).map(move |session| {
            let client = Present {
                client_id: session.client_id.clone(),
                room: session.room.clone(),
                alive_s: session.since.age(now).as_secs(),
            };
            (client, session)
        })
    }
}

fn is_here(session: &Session) -> bool {
    session.link.is_some()
}
