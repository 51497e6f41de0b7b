//! The main server, as the router's core sees it: what goes to one that
//! speaks only FAU3VOM-D, and what comes from there. Knows no socket: the
//! connections themselves are `src/upstream`.
//!
//! A legacy server is a neighbour that speaks the clients' protocol. What
//! clients say here is stored and confirmed here as always (`propogate`), then
//! pushed to the server over a connection in the client's own name (`lines`,
//! `push`), as long as that is one (`alive`). What clients of the server say becomes records of the mesh
//! (`intake`), once, although every session of a room is told of it (`echoes`).
//! Live audio passes both ways at once (`audio`).

mod alive;
mod audio;
mod claim;
mod echoes;
mod hold;
mod intake;
mod io;
mod lines;
mod others;
mod push;
mod pushed;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fau3_election::{Role, Time};

use super::mutants::mutated;
use super::{Answer, Router};
use crate::wire::{ClientId, Present, Record, Uuid, playlist_uuid};
use echoes::Echoes;
use lines::Carried;
use others::Others;
use pushed::Pushed;

pub(super) use hold::Hold;
pub use hold::Outages;
pub use io::{FromServer, ServerKind, ToServer, UpConn, UpstreamInput, UpstreamOutput};
pub use status::UpstreamStatus;

/// The longest client id that a legacy server can bear, in bytes.
pub const LEGACY_CLIENT_ID_MAX: usize = 17;

/// What a router knows of the main server.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    kind: Option<ServerKind>,
    /// Whether this router itself reaches it.
    reach: Option<bool>,
    /// It leads, and is of the kind to which sessions are carried.
    leads: bool,
    /// Since when.
    led_since: Time,
    /// Whoever has a connection there, or something to be pushed. Bounded by
    /// sessions and records.
    clients: BTreeMap<ClientId, Carried>,
    by_conn: BTreeMap<UpConn, ClientId>,
    conns: u64,
    /// The way to the server is being tried.
    is_knocking: bool,
    /// Clients to be looked at before this input is done with.
    looks: BTreeSet<ClientId>,
    /// When which client is to be looked at again.
    wakes: BTreeSet<(Time, ClientId)>,
    /// Records that the server has.
    pushed: Pushed,
    echoes: Echoes,
    others: Others,
    /// When the next record may go that has waited for long.
    backlog_at: Time,
    /// Who is connected to the server, and when it said so.
    there: Option<(Time, Arc<[Present]>)>,
}

impl Upstream {
    pub(super) fn is_legacy(&self) -> bool {
        self.kind == Some(ServerKind::Legacy)
    }

    /// The MessageUuid of the Playlist that brings a record to a client. One that roams
    /// may be given by one router what it has heard from another, which has it
    /// from the server, before either knows that the two are one message: so the client
    /// finds that itself.
    pub(super) fn playlist_uuid(&self, record: &Record, receiver: &ClientId) -> Uuid {
        // Made from all of its payload: only where there can be two of it.
        let name = if self.is_legacy() { self.echoes.name(record) } else { None };
        playlist_uuid(name.unwrap_or(record.key()), receiver)
    }

    pub(super) fn timeout(&self) -> Option<Time> {
        let wake = self.wakes.first().map(|(at, _)| *at);
        [wake, self.echoes.due(), self.others.due()].into_iter().flatten().min()
    }
}

impl Router {
    pub(super) fn upstream_happens(&mut self, input: UpstreamInput) {
        match input {
            UpstreamInput::Configure(kind) => self.configure_upstream(kind),
            UpstreamInput::Node(node) => self.configure_main(node),
            // Of a node the mesh itself knows whether it is there.
            UpstreamInput::Reach(_) if self.upstream.kind == Some(ServerKind::Node) => {}
            UpstreamInput::Reach(reach) => {
                self.upstream.reach = reach;
                self.elect(match reach {
                    Some(reach) => fau3_election::Input::DefaultServer(reach),
                    None => fau3_election::Input::DefaultServerUnwatched,
                });
                self.upstream_may_lead();
            }
            UpstreamInput::List(list) => self.elect(fau3_election::Input::ListFetched(&list)),
            UpstreamInput::Up { conn } => self.line_up(conn),
            UpstreamInput::Down { conn, clean } => self.line_down(conn, clean),
            UpstreamInput::Says { conn, message } => self.server_says(conn, message),
            UpstreamInput::Pong { conn } => self.server_pongs(conn),
            UpstreamInput::Knocked { is_open } => self.server_knocked(is_open),
        }
    }

    /// Another server, or none. A message goes to one server, once: what the one
    /// before has stays there, what it does not have goes to the next.
    fn configure_upstream(&mut self, kind: Option<ServerKind>) {
        if self.upstream.kind == kind {
            return;
        }
        self.upstream.kind = kind;
        self.upstream.there = None;
        self.upstream.is_knocking = false;
        self.upstream.echoes.turn(UpConn(self.upstream.conns));
        self.upstream.clients.values_mut().for_each(|carried| carried.waiting.clear());
        if self.upstream.is_legacy() {
            // Others wait to hear in whose names this one is connected: in nobody's.
            if self.mesh.is_some() {
                self.tell_upstream_soon();
            }
            let held: Vec<_> = self.log.records().cloned().collect();
            for record in held {
                self.upstream_hears_of(&record, 0);
                self.wait_for_push(&record);
            }
        }
        self.upstream_may_lead();
        // Also where it did not lead before: connections outlive its absence.
        self.look_at_all_carried();
    }

    fn server_says(&mut self, conn: UpConn, message: FromServer) {
        self.line_lives(conn);
        match message {
            FromServer::Ping { message_uuid } => {
                self.confirm_to_server(conn, message_uuid, Answer::Here);
            }
            FromServer::Confirm { message_uuid, answer } => self.server_confirms(conn, &message_uuid, answer),
            FromServer::Monitor { message_uuid, clients } => {
                self.upstream.there = Some((self.now, clients.into()));
                self.confirm_to_server(conn, message_uuid, Answer::Noted);
            }
            FromServer::Playlist { message_uuid, records } => self.server_plays(conn, message_uuid, records),
            FromServer::Stream(frame) => self.server_streams(conn, &frame),
        }
    }

    /// Whether the server leads may have changed.
    pub(in crate::router) fn upstream_may_lead(&mut self) {
        let leads = self.upstream.is_legacy()
            && !self.shutting_down
            && match &self.mesh {
                Some(mesh) => mesh.election.view().role == Role::Default,
                None => self.upstream.reach == Some(true),
            };
        if std::mem::replace(&mut self.upstream.leads, leads) != leads {
            self.upstream.led_since = self.now;
            if leads {
                self.lines_after_outage();
            } else if mutated!(self.settings, BacklogDropped) {
                self.upstream.clients.values_mut().for_each(|carried| carried.waiting.clear());
            }
            self.look_at_all_carried();
        }
    }

    pub(super) fn upstream_due(&mut self) {
        self.intake_due();
        self.tell_upstream_if_due();
        while let Some((_, client_id)) = self.upstream.wakes.pop_first_if_due(self.now) {
            if let Some(carried) = self.upstream.clients.get_mut(&client_id) {
                carried.wake = None;
            }
            self.upstream.looks.insert(client_id);
        }
        while let Some(client_id) = self.upstream.looks.pop_first() {
            self.carry(&client_id);
        }
    }
}

/// A table of what is to be looked at again.
trait Due {
    fn pop_first_if_due(&mut self, now: Time) -> Option<(Time, ClientId)>;
}

impl Due for BTreeSet<(Time, ClientId)> {
    fn pop_first_if_due(&mut self, now: Time) -> Option<(Time, ClientId)> {
        if self.first()?.0 > now { None } else { self.pop_first() }
    }
}
