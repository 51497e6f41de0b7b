//! The main server's part of a status.

use serde::Serialize;

use crate::control::Report;
use crate::router::ServerKind;
use crate::upstream::ListReport;
use crate::wire::ClientId;

/// The server that leads while it is there.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct DefaultServerStatus<'a> {
    pub name: &'a str,
    /// `null`: the configuration names none, and the mesh leads itself.
    pub url: Option<&'a str>,
    /// `legacy` (FAU3VOM-D only) or `node` (a fau3 node).
    pub kind: Option<&'static str>,
    /// From this router's component; `null`: nobody has looked yet.
    pub reachable: Option<bool>,
    /// For how long it has been so.
    pub since_s: Option<u64>,
    /// This router is the one that looks; what follows is what it has seen.
    pub watched_here: bool,
    /// How often it went away.
    pub outages: u64,
    /// Why it is not reachable.
    pub trouble: Option<&'a str>,
    /// The last fetch of the ExtraServers list; `null`: there was none.
    pub list: Option<FetchedList<'a>>,
    /// Live audio that it did not take in time.
    pub streams_dropped: u64,
    /// Clients here that have a connection to it.
    pub carried: usize,
    /// Ids of clients here that it cannot take: the mesh alone serves them.
    pub mesh_only: Vec<&'a str>,
    /// Records that wait to be pushed to it, and what they cost.
    pub waiting: usize,
    pub waiting_bytes: usize,
    /// Records that it has confirmed to this router.
    pub pushed: u64,
    /// Those that it may have twice: sent again without an answer, or their
    /// Confirm lost with its connection.
    pub maybe_doubled: u64,
    /// Those that it refused, and those that grew too old before it had them.
    pub refused: u64,
    pub expired: u64,
    /// Messages of its clients that this router took in.
    pub taken_in: u64,
}

/// What a fetch of the ExtraServers list brought.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in Status")]
pub struct FetchedList<'a> {
    pub age_s: u64,
    /// `good`, `not_given` or `unusable`.
    pub outcome: &'static str,
    /// The server's own number.
    pub version: Option<u64>,
    pub servers: Option<usize>,
    /// Why there is none.
    pub reason: Option<&'a str>,
}

impl<'a> DefaultServerStatus<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let server = &report.default_server;
        let kind = |kind| match kind {
            ServerKind::Legacy => "legacy",
            ServerKind::Node => "node",
        };
        let (relay, stats) = (report.router.upstream.as_ref(), &report.router.stats);
        let is_there = server.reachable.is_some_and(|(reaches, _)| reaches);
        Self {
            name: &server.name,
            url: server.url.as_deref(),
            kind: server.kind.map(kind),
            reachable: server.reachable.map(|(reaches, _)| reaches),
            since_s: server.reachable.map(|(_, span)| span.as_secs()),
            watched_here: server.watch.watching,
            outages: server.watch.outages,
            trouble: server.watch.trouble.as_deref().filter(|_| !is_there),
            list: server.watch.fetched.as_ref().map(|(at, list)| fetched(at.elapsed().as_secs(), list)),
            streams_dropped: server.streams_dropped,
            carried: relay.map_or(0, |relay| relay.carried),
            mesh_only: relay.iter().flat_map(|relay| relay.mesh_only.iter().map(ClientId::as_str)).collect(),
            waiting: relay.map_or(0, |relay| relay.waiting),
            waiting_bytes: relay.map_or(0, |relay| relay.waiting_bytes),
            pushed: stats.upstream_pushed,
            maybe_doubled: stats.upstream_unsure + stats.upstream_repeated,
            refused: stats.upstream_refused,
            expired: stats.upstream_expired,
            taken_in: stats.upstream_taken_in,
        }
    }
}

fn fetched(age_s: u64, list: &ListReport) -> FetchedList<'_> {
    let none = FetchedList { age_s, outcome: "good", version: None, servers: None, reason: None };
    match list {
        ListReport::Good { version, servers } => {
            FetchedList { version: Some(*version), servers: Some(*servers), ..none }
        }
        ListReport::NotGiven(reason) => FetchedList { outcome: "not_given", reason: Some(reason), ..none },
        ListReport::Unusable(reason) => FetchedList { outcome: "unusable", reason: Some(reason), ..none },
    }
}

/// What a person has to do about a list that cannot be used.
pub(super) fn list_warning(report: &Report) -> Option<String> {
    let reason = report.default_server.watch.list_trouble()?;
    Some(format!(
        "the ExtraServers list of the main server is {reason}. The one before stays in use; mend it on the server"
    ))
}
