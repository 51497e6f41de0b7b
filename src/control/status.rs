//! The status of a router as JSON: what `fau3 status --json` and `/status`
//! answer (DESIGN.md, "Interfaces that people and scripts rely on"). Fields may
//! be added, never renamed.

mod mesh;
mod server;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::control::{DoorsReport, Report};
use crate::gateway::DoorReport;
use crate::router::{LATENCY_BOUNDS_MS, Stats};

use mesh::{Leading, MeshStatus, RouterStatus};
pub(super) use mesh::{dropped, election, trouble_counts};
use server::{DefaultServerStatus, list_warning};

/// A router at one moment.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the names are the interface; DESIGN.md says what they are")]
pub struct Status<'a> {
    pub name: &'a str,
    pub peer_id: &'a str,
    pub version: &'static str,
    pub uptime_s: u64,
    pub mode: Mode,
    /// Who leads; `null` while nobody does. Here and below a router is called by
    /// its name, and by its id where several have that name.
    pub coordinator: Option<Cow<'a, str>>,
    /// Who does what needs exactly one router.
    pub deputy: Option<Cow<'a, str>>,
    /// Its number, and the id of the router that made it; 0 before the first.
    pub epoch: (u64, String),
    pub list_version: u64,
    /// Routers that this one hears, and that hear it.
    pub neighbours: Vec<Cow<'a, str>>,
    /// Routers of the component, this one included.
    pub routers: Vec<RouterStatus<'a>>,
    /// Those of the whole mesh.
    pub clients: Vec<ClientStatus<'a>>,
    /// Sessions that wait for their client to return.
    pub detached: usize,
    /// With what is here of them.
    pub rooms: Vec<RoomStatus<'a>>,
    pub records: RecordsStatus,
    pub deliveries: DeliveriesStatus,
    pub streams: StreamsStatus,
    pub connections: ConnectionsStatus,
    /// The doors to clients.
    pub doors: Vec<DoorStatus>,
    /// What was dropped, by the reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// `null` with storage `ram`.
    pub store: Option<StoreStatus<'a>>,
    pub writes: WritesStatus,
    /// Lines of the log that were dropped, since nobody read them.
    pub log_lines_dropped: u32,
    /// This router's id in the mesh, 32 hexadecimal digits.
    pub id: String,
    /// `null` in a router that is in no mesh.
    pub mesh: Option<MeshStatus<'a>>,
    /// Whether it is there, and what was seen of it.
    pub default_server: DefaultServerStatus<'a>,
    /// What needs a person.
    pub warnings: Vec<String>,
}

/// What a router is to its clients (PROTOCOLS.md, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The main server leads.
    Default,
    /// Another router leads.
    Follower,
    /// This router leads.
    Server,
    /// Nobody leads that this router knows of: it listens after its start, or
    /// has left the mesh since its identity is in use elsewhere. Its clients are
    /// served all the same.
    Waiting,
}

impl Mode {
    /// As JSON has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Follower => "follower",
            Self::Server => "server",
            Self::Waiting => "waiting",
        }
    }
}

/// What has passed through a door to clients since the start.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct DoorStatus {
    pub door: &'static str,
    /// Connected now.
    pub clients: usize,
    pub messages: usize,
    pub live_frames: usize,
    /// For its clients, which took them too slowly.
    pub live_dropped: usize,
    pub turned_away: usize,
}

/// A client that is connected.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct ClientStatus<'a> {
    pub client_id: &'a str,
    /// `null` until it subscribes.
    pub room: Option<&'a str>,
    /// To which it is connected.
    pub router: Cow<'a, str>,
    pub alive_s: u64,
}

/// A room that has clients or records.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct RoomStatus<'a> {
    pub room: &'a str,
    /// Of all routers.
    pub clients: usize,
    pub records: usize,
}

/// Records held, and what became of others since the start.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct RecordsStatus {
    pub count: usize,
    pub bytes: usize,
    pub expired: u64,
    pub confirmed_single: u64,
    pub stored: u64,
    pub duplicates: u64,
    /// Taken in from other routers.
    pub replicated: u64,
    /// Sent to other routers, once for each.
    pub sent: u64,
    /// Answered FAU3_SERROR.
    pub refused: u64,
}

/// Playlists since the start.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct DeliveriesStatus {
    pub sent: u64,
    pub confirmed: u64,
    pub resends: u64,
    pub given_up: u64,
    /// Records that wait behind the others for a client whose connections have
    /// ended on them.
    pub put_behind: u64,
    /// Sent without the same sender's record before them, after 2 s.
    pub order_given_up: u64,
    /// From first sending to Confirm; `null` before the first one.
    pub latency_ms_mean: Option<f64>,
    /// Half were at most this; `null` before the first one, or if beyond 5,000.
    pub latency_ms_p50: Option<u64>,
    /// 99 of 100 were at most this.
    pub latency_ms_p99: Option<u64>,
}

/// Live audio frames since the start.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct StreamsStatus {
    #[serde(rename = "in")]
    pub received: u64,
    #[serde(rename = "out")]
    pub sent: u64,
    /// From router to router.
    pub passed: u64,
}

/// Clients turned away, and connections ended, since the start.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct ConnectionsStatus {
    pub refused: u64,
    /// Of pages that may not connect, or that called this router by a foreign name.
    pub pages_refused: u64,
    /// Those for which there was no place before they said who they are.
    pub crowded_out: u64,
    pub takeovers: u64,
    /// Clients that left for another router without having said so.
    pub roamed: u64,
    pub pings_unanswered: u64,
    pub silent: u64,
}

/// What was written that outlives the power, since the start: flash wears.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct WritesStatus {
    /// Of the identity and of what the mesh must not forget.
    pub files: u32,
    /// With storage `disk`: transactions in `node.data_dir`.
    pub transactions: u64,
}

/// The store, since the start.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct StoreStatus<'a> {
    pub transactions: u64,
    /// Records in them.
    pub records: u64,
    pub failures: u64,
    /// Whether the latest one failed.
    pub failing: bool,
    /// The latest failure; `null` if there was none.
    pub last_error: Option<&'a str>,
    /// How often the database was gone and was written anew from memory.
    pub written_anew: u64,
}

impl<'a> Status<'a> {
    /// What a report says, with what the program warns of.
    #[must_use]
    pub fn new(report: &'a Report, mut warnings: Vec<String>) -> Self {
        let router = &report.router;
        warnings.extend(storage_warning(report));
        warnings.extend(list_warning(report));
        let leading = Leading::of(report);
        let rooms = rooms(report, &leading.clients);
        Self {
            name: &report.identity.name,
            peer_id: &report.identity.peer_id,
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: report.uptime.as_secs(),
            mode: leading.mode,
            coordinator: leading.coordinator,
            deputy: leading.deputy,
            epoch: leading.epoch,
            list_version: leading.list_version,
            neighbours: leading.neighbours,
            routers: leading.routers,
            clients: leading.clients,
            detached: router.detached,
            rooms,
            records: records(report),
            deliveries: deliveries(&router.stats),
            streams: streams(&router.stats),
            connections: connections(&router.stats, &report.doors),
            doors: report.doors.each.iter().map(door).collect(),
            drops: drops(&router.stats).into_iter().collect(),
            store: store(report),
            writes: WritesStatus {
                files: report.files_written,
                transactions: report.store.as_ref().map_or(0, |store| store.transactions),
            },
            log_lines_dropped: report.log_lines_dropped,
            id: report.identity.router_id.to_string(),
            mesh: leading.mesh,
            default_server: DefaultServerStatus::of(report),
            warnings,
        }
    }

    /// One line with its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string(self).expect("text and numbers are always JSON");
        json.push('\n');
        json
    }
}

/// With the clients of all routers, as the table of clients has them.
fn rooms<'a>(report: &'a Report, clients: &[ClientStatus<'a>]) -> Vec<RoomStatus<'a>> {
    let empty = |room| RoomStatus { room, clients: 0, records: 0 };
    let mut rooms = BTreeMap::new();
    for held in &report.router.rooms {
        let room = held.room.as_str();
        rooms.insert(room, RoomStatus { records: held.records, ..empty(room) });
    }
    for room in clients.iter().filter_map(|client| client.room).filter(|room| !room.is_empty()) {
        rooms.entry(room).or_insert_with(|| empty(room)).clients += 1;
    }
    rooms.into_values().collect()
}

fn records(report: &Report) -> RecordsStatus {
    let stats = &report.router.stats;
    RecordsStatus {
        count: report.router.records,
        bytes: report.router.record_bytes,
        expired: stats.records_expired,
        confirmed_single: stats.confirmed_single,
        stored: stats.records_stored,
        duplicates: stats.duplicates,
        replicated: stats.records_replicated,
        sent: stats.records_sent,
        refused: stats.records_refused,
    }
}

fn deliveries(stats: &Stats) -> DeliveriesStatus {
    let mean = stats.latency_sum_us as f64 / 1_000.0 / stats.deliveries as f64;
    DeliveriesStatus {
        sent: stats.playlists_sent,
        confirmed: stats.deliveries,
        resends: stats.resends,
        given_up: stats.given_up,
        put_behind: stats.put_behind,
        order_given_up: stats.order_given_up,
        latency_ms_mean: (stats.deliveries > 0).then_some(mean),
        latency_ms_p50: latency_ms_percentile(stats, 50),
        latency_ms_p99: latency_ms_percentile(stats, 99),
    }
}

/// The upper bound of the bucket in which the delivery lies that is slower
/// than `percent` of all.
fn latency_ms_percentile(stats: &Stats, percent: u64) -> Option<u64> {
    let total: u64 = stats.latency.iter().sum();
    let rank = (total * percent).div_ceil(100);
    let mut seen = 0;
    let bucket = stats.latency.iter().position(|count| {
        seen += count;
        rank > 0 && seen >= rank
    });
    LATENCY_BOUNDS_MS.get(bucket?).copied()
}

fn streams(stats: &Stats) -> StreamsStatus {
    StreamsStatus { received: stats.streams_in, sent: stats.streams_out, passed: stats.streams_passed }
}

const fn door(report: &DoorReport) -> DoorStatus {
    DoorStatus {
        door: report.name,
        clients: report.clients,
        messages: report.messages,
        live_frames: report.live,
        live_dropped: report.live_dropped,
        turned_away: report.turned_away,
    }
}

fn connections(stats: &Stats, doors: &DoorsReport) -> ConnectionsStatus {
    ConnectionsStatus {
        refused: stats.refused,
        pages_refused: doors.pages as u64,
        crowded_out: doors.crowded_out as u64,
        takeovers: stats.takeovers,
        roamed: stats.roamed,
        pings_unanswered: stats.pings_unanswered,
        silent: stats.silent,
    }
}

/// What was dropped since the start, by the reason.
pub(super) const fn drops(stats: &Stats) -> [(&'static str, u64); 11] {
    [
        ("confirm_unmatched", stats.confirms_unmatched),
        ("duplicate", stats.duplicates),
        ("expired", stats.records_expired),
        ("gap_given_up", stats.gaps_given_up),
        ("invalid", stats.invalid),
        ("peer_invalid", stats.peer_invalid),
        ("peers_refused", stats.peers_refused),
        ("refused", stats.records_refused),
        ("session_refused", stats.sessions_refused),
        ("stream_seen_before", stats.streams_seen_before),
        ("stream_without_room", stats.streams_without_room),
    ]
}

fn store(report: &Report) -> Option<StoreStatus<'_>> {
    report.store.as_ref().map(|store| StoreStatus {
        transactions: store.transactions,
        records: store.records,
        failures: store.failures,
        failing: store.failing,
        last_error: store.last_error.as_deref(),
        written_anew: store.written_anew,
    })
}

/// What a person has to do where nothing can be put on disk.
fn storage_warning(report: &Report) -> Option<String> {
    let store = report.store.as_ref().filter(|store| store.failing)?;
    let error = store.last_error.as_deref().unwrap_or("unknown error");
    Some(format!(
        "storage fails: {error}. Clients get FAU3_SERROR and keep their messages; make room in \
         node.data_dir, or make it writable: it is tried again by itself"
    ))
}

#[cfg(test)]
pub(super) mod tests;
