//! One connection of a router's to the server, in a client's name: what is
//! under way on it, and how either end takes it.

use std::collections::VecDeque;
use std::time::Duration;

use fau3::router::{FromServer, Input, ToServer, UpConn, UpstreamInput, UpstreamOutput};
use fau3::wire::ClientId;
use fau3_election::Time;

use super::{ServerEvent, World};
use crate::mesh::events::Event;

/// A connection that has not come to stand by then is let go by the shell, and
/// told of once the server has had time to see its end.
const DIAL_MAX: Duration = Duration::from_secs(4);
/// For how long a shell waits for the answer of the server's machine.
const KNOCK_MAX: Duration = Duration::from_secs(1);
/// How long the server may take to answer a goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// From the end of a connection whose end the server cannot know until it has
/// found out for itself: two periods of its Pings after the last one before.
pub(super) const REMAINS: Duration = Duration::from_secs(17);

#[derive(Debug)]
pub(super) struct Upline {
    pub(super) node: usize,
    /// The router's life to which it belongs.
    pub(super) boot: u32,
    conn: UpConn,
    pub(super) client_id: ClientId,
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    up_at: Time,
    down_at: Time,
    /// Things whose time has come while nothing passed.
    held_up: u32,
    held_down: u32,
    /// WebSocket pings sent.
    probes: u32,
    /// How the router's shell takes it.
    pub(super) end: End,
    /// The router's machine does not know it any more, and sends nothing again.
    pub(super) is_forsaken: bool,
    /// What opens it has come to the server's machine, if not to its process.
    has_arrived: bool,
    /// The server takes it as standing.
    pub(super) stands: bool,
    pub(super) room: Option<usize>,
    pub(super) monitor_s: u32,
    pub(super) ping_s: u32,
    /// A Ping is unanswered since then.
    pub(super) silent_since: Option<Time>,
    /// Playlists that are not confirmed.
    pub(super) plays: Vec<Play>,
}

/// A Playlist that the server has sent.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) nth: u32,
    pub(super) message_uuid: Box<str>,
    /// In the ledger.
    pub(super) number: usize,
    pub(super) sent: u32,
    /// When it came to the router.
    pub(super) fed_at: Option<Time>,
    pub(super) is_answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) enum End {
    Opening,
    Up,
    Closing,
    Gone,
}

#[derive(Debug)]
pub(super) enum Up {
    Open,
    Frame(ToServer),
    Probe(u32),
    /// A goodbye; the answer is waited for.
    Goodbye,
    /// The kernel closes it.
    Fin,
}

#[derive(Debug)]
pub(super) enum Down {
    Accepted,
    Frame(FromServer),
    Pong(u32),
    /// Closed, refused, or a goodbye answered.
    Closed,
}

impl Upline {
    /// Nobody waits for it any more: what has not come to the server's machine yet is
    /// not sent again.
    fn opens_no_more(&mut self) {
        if !self.has_arrived {
            self.up.clear();
        }
    }
}

impl World {
    /// A router wants something of the server.
    pub(in crate::mesh) fn carry_up(&mut self, node: usize, output: UpstreamOutput) {
        self.trace.fold(self.now.as_micros() << 8 | node as u64 | 0x20);
        match output {
            UpstreamOutput::Open { conn, client_id } => self.open_line(node, conn, client_id),
            UpstreamOutput::Close { conn } => {
                let Some(line) = self.line_of(node, conn) else { return };
                let place = &mut self.server().lines[line as usize];
                if matches!(place.end, End::Opening | End::Up) {
                    let wait = if place.end == End::Up { GOODBYE_MAX } else { 2 * GOODBYE_MAX };
                    place.end = End::Closing;
                    self.push_up(line, Up::Goodbye);
                    let at = self.now + wait;
                    self.server_later(at, ServerEvent::GiveUp { line, end: End::Closing });
                }
            }
            UpstreamOutput::Abort { conn } => {
                let Some(line) = self.line_of(node, conn) else { return };
                if self.server().lines[line as usize].end != End::Gone {
                    self.reset_line(line);
                }
            }
            UpstreamOutput::Knock => self.knock(node),
            UpstreamOutput::Send { conn, frame } => {
                let Some(line) = self.line_of(node, conn) else { return };
                if self.server().lines[line as usize].end == End::Up {
                    self.observe_up(line, &frame);
                    self.push_up(line, Up::Frame(frame));
                }
            }
            UpstreamOutput::Probe { conn } => {
                if let Some(line) = self.line_of(node, conn) {
                    let place = &mut self.server().lines[line as usize];
                    place.probes += 1;
                    let probe = Up::Probe(place.probes);
                    self.push_up(line, probe);
                }
            }
        }
    }

    /// A router's shell tries whether the server's machine answers.
    fn knock(&mut self, node: usize) {
        let boot = self.machines[node].boot;
        let server = self.server();
        let is_open = !server.is_cut(node);
        let span = if is_open { server.delay() + server.delay() } else { KNOCK_MAX };
        let at = self.now + span;
        self.server_later(at, ServerEvent::Knocked { node: node as u8, boot, is_open });
    }

    /// It does, unless the way has closed meanwhile, or does not.
    pub(super) fn knocked(&mut self, node: usize, boot: u32, is_open: bool) {
        if self.machines[node].boot != boot {
            return;
        }
        if self.machines[node].frozen {
            let event = ServerEvent::Knocked { node: node as u8, boot, is_open };
            self.machines[node].keep(Event::Server(event));
            return;
        }
        self.feed_up(node, UpstreamInput::Knocked { is_open });
    }

    fn line_of(&mut self, node: usize, conn: UpConn) -> Option<u32> {
        let boot = self.machines[node].boot;
        self.server().by_conn.get(&(node, boot, conn)).copied()
    }

    fn open_line(&mut self, node: usize, conn: UpConn, client_id: ClientId) {
        let (boot, now) = (self.machines[node].boot, self.now);
        self.note(Some(node), || format!("connects to the server as {client_id}, {conn:?}"));
        let server = self.server();
        let line = server.lines.len() as u32;
        server.by_conn.insert((node, boot, conn), line);
        server.lines.push(Upline {
            node,
            boot,
            conn,
            client_id,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_at: now,
            down_at: now,
            held_up: 0,
            held_down: 0,
            probes: 0,
            end: End::Opening,
            is_forsaken: false,
            has_arrived: false,
            stands: false,
            room: None,
            monitor_s: 0,
            ping_s: 0,
            silent_since: None,
            plays: Vec::new(),
        });
        self.tally.server_lines += 1;
        self.push_up(line, Up::Open);
        self.server_later(now + DIAL_MAX, ServerEvent::GiveUp { line, end: End::Opening });
    }

    pub(super) fn push_up(&mut self, line: u32, up: Up) {
        let now = self.now;
        let delay = self.server().delay();
        let place = &mut self.server().lines[line as usize];
        place.up_at = place.up_at.max(now + delay);
        place.up.push_back(up);
        let at = place.up_at;
        self.server_later(at, ServerEvent::Up { line });
    }

    pub(super) fn push_down(&mut self, line: u32, down: Down) {
        let now = self.now;
        let delay = self.server().delay();
        let place = &mut self.server().lines[line as usize];
        place.down_at = place.down_at.max(now + delay);
        place.down.push_back(down);
        let at = place.down_at;
        self.server_later(at, ServerEvent::Down { line });
    }

    /// The oldest thing on its way to the server has come.
    pub(super) fn up_came(&mut self, line: u32) {
        let node = self.server().lines[line as usize].node;
        let (is_cut, is_blocked) = (self.server().is_cut(node), self.server().is_blocked(node));
        let place = &mut self.server().lines[line as usize];
        place.has_arrived |= !is_cut;
        if is_blocked || place.held_up > 0 {
            place.held_up += 1;
            return;
        }
        let Some(up) = place.up.pop_front() else { return };
        match up {
            Up::Open => self.server_opens(line),
            Up::Goodbye | Up::Fin => {
                self.server_lets_go(line);
                self.push_down(line, Down::Closed);
            }
            Up::Probe(probe) if place.stands => self.push_down(line, Down::Pong(probe)),
            Up::Frame(frame) if place.stands => self.server_takes(line, frame),
            // Nobody there knows this connection: its kernel says so.
            Up::Probe(_) | Up::Frame(_) => self.push_down(line, Down::Closed),
        }
    }

    /// The oldest thing on its way to the router has come.
    pub(super) fn down_came(&mut self, line: u32) {
        let place = &self.server().lines[line as usize];
        let (node, boot) = (place.node, place.boot);
        let is_blocked = self.server().is_blocked(node);
        let place = &mut self.server().lines[line as usize];
        if is_blocked || place.held_down > 0 {
            place.held_down += 1;
            return;
        }
        if place.is_forsaken {
            // The router's kernel knows of no such connection, and says so.
            if place.stands && self.machines[node].router.is_some() {
                let at = self.now + self.server().delay();
                self.server_later(at, ServerEvent::Reset { line });
            }
            return;
        }
        if self.machines[node].boot != boot {
            return;
        }
        if self.machines[node].frozen {
            self.machines[node].keep(Event::Server(ServerEvent::Down { line }));
            return;
        }
        let place = &mut self.server().lines[line as usize];
        let Some(down) = place.down.pop_front() else { return };
        if place.end == End::Gone {
            return;
        }
        let (conn, is_up) = (place.conn, place.end == End::Up);
        match down {
            Down::Accepted if place.end == End::Opening => {
                place.end = End::Up;
                self.feed_up(node, UpstreamInput::Up { conn });
            }
            Down::Accepted => {}
            Down::Pong(probe) if is_up && probe == place.probes => {
                self.feed_up(node, UpstreamInput::Pong { conn })
            }
            Down::Frame(message) if is_up => {
                self.server_says(line, &message);
                self.feed_up(node, UpstreamInput::Says { conn, message });
            }
            Down::Pong(_) | Down::Frame(_) => {}
            Down::Closed => {
                place.end = End::Gone;
                self.note(Some(node), || format!("{conn:?} to the server is closed"));
                self.feed_up(node, UpstreamInput::Down { conn, clean: true });
            }
        }
    }

    /// A shell has waited long enough for the server's answer.
    pub(super) fn up_given_up(&mut self, line: u32, end: End) {
        let place = &self.server().lines[line as usize];
        let (node, boot) = (place.node, place.boot);
        if place.end != end || self.machines[node].boot != boot {
            return;
        }
        if self.machines[node].frozen {
            self.machines[node].keep(Event::Server(ServerEvent::GiveUp { line, end }));
            return;
        }
        self.reset_line(line);
    }

    /// A shell ends a connection without the server's answer: its kernel sends a
    /// reset, once, past all that lies in queues, and forgets the connection.
    fn reset_line(&mut self, line: u32) {
        let now = self.now;
        let server = self.server();
        let at = now + server.delay();
        let place = &mut server.lines[line as usize];
        (place.end, place.is_forsaken) = (End::Gone, true);
        place.opens_no_more();
        let (node, conn) = (place.node, place.conn);
        server.remains.insert(place.client_id.clone(), now);
        self.server_later(at, ServerEvent::Reset { line });
        self.note(Some(node), || format!("resets {conn:?} to the server"));
        self.feed_up(node, UpstreamInput::Down { conn, clean: false });
    }

    /// A reset has come to the server's machine, if anything gets there.
    pub(super) fn reset_came(&mut self, line: u32) {
        let node = self.server().lines[line as usize].node;
        if self.server().is_cut(node) {
            return;
        }
        let is_stuck = self.server().is_stuck();
        let place = &mut self.server().lines[line as usize];
        (place.held_up, place.up) = (u32::from(is_stuck), VecDeque::new());
        if is_stuck {
            // Its process sees it when it goes on.
            place.up.push_back(Up::Fin);
        } else {
            self.server_lets_go(line);
        }
    }

    fn feed_up(&mut self, node: usize, input: UpstreamInput) {
        self.feed(node, Input::Upstream(input));
    }

    /// Something about the way from a router to the server has changed: what
    /// was held back is sent again when TCP tries next.
    pub(super) fn ways_changed(&mut self, quiet: Duration) {
        let quiet_us = u64::try_from(quiet.as_micros()).unwrap_or(u64::MAX);
        for line in 0..self.server().lines.len() {
            let server = self.server();
            let node = server.lines[line].node;
            if server.is_blocked(node) {
                continue;
            }
            let wait = |server: &mut super::Server| {
                Duration::from_micros(server.random.below(quiet_us.min(super::RESUME_US_MAX) + 1))
            };
            let (up_wait, down_wait) = (wait(server), wait(server));
            let place = &mut server.lines[line];
            let (up, down) = (std::mem::take(&mut place.held_up), std::mem::take(&mut place.held_down));
            if place.is_forsaken && quiet > Duration::ZERO {
                place.up.clear();
            }
            let (up_at, down_at) = (self.now + up_wait, self.now + down_wait);
            let line = line as u32;
            (0..up).for_each(|_| self.server_later(up_at, ServerEvent::Up { line }));
            (0..down).for_each(|_| self.server_later(down_at, ServerEvent::Down { line }));
        }
    }

    /// A machine is back. Really it takes longer to boot than the server's Pings take
    /// to find what it had before; here it boots in no time, so they are found at once.
    pub(super) fn forget_forsaken(&mut self, node: usize) {
        let lines = &self.server().lines;
        let is_old = |line: &u32| {
            let place = &lines[*line as usize];
            place.node == node && place.is_forsaken && place.stands
        };
        let old: Vec<u32> = (0..lines.len() as u32).filter(is_old).collect();
        old.into_iter().for_each(|line| self.server_lets_go(line));
    }

    /// A router's life has ended: its kernel closes what it had, unless its
    /// power went.
    pub(in crate::mesh) fn forsake_uplines(&mut self, node: usize, silent: bool) {
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        let is_blocked = server.is_blocked(node);
        let own = |place: &Upline| place.node == node && place.end != End::Gone && !place.is_forsaken;
        let lines: Vec<u32> =
            (0..server.lines.len() as u32).filter(|line| own(&server.lines[*line as usize])).collect();
        for line in lines {
            let server = self.server();
            let place = &mut server.lines[line as usize];
            place.is_forsaken = silent;
            place.end = End::Gone;
            place.opens_no_more();
            if silent || is_blocked {
                server.remains.insert(place.client_id.clone(), now);
            }
            if !silent {
                self.push_up(line, Up::Fin);
            }
        }
    }
}
