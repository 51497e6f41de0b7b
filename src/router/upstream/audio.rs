//! Live audio to and from the main server. A piece of audio has no name
//! there: one that came over the mesh and the same from the server pair one for one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;
use xxhash_rust::xxh3::xxh3_64;

use super::lines::Line;
use super::{ToServer, UpConn, UpstreamOutput};
use crate::router::{Output, Router, SessionKey, Told};

/// Two ways to the same client differ by less than this.
const WINDOW: Duration = Duration::from_secs(2);
/// Pieces remembered for one client: over two seconds of two who speak at once.
const PIECES_MAX: usize = 256;

/// What a client was sent lately that has come one way only.
#[derive(Debug, Default)]
pub(super) struct Audio(VecDeque<(Time, u64, Way)>);

/// Where a piece came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Mesh,
    Server,
}

impl Audio {
    /// False: it is the second copy of what came the other way. It is remembered for the
    /// second one if there `may_be` one.
    fn is_news(&mut self, now: Time, frame: &[u8], way: Way, may_be: bool) -> bool {
        while self.0.front().is_some_and(|(at, ..)| now.since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        let hash = xxh3_64(frame);
        let pair = self.0.iter().position(|(_, other, from)| *other == hash && *from != way);
        if let Some(at) = pair {
            self.0.remove(at);
            return false;
        }
        if may_be {
            if self.0.len() >= PIECES_MAX {
                self.0.pop_front();
            }
            self.0.push_back((now, hash, way));
        }
        true
    }
}

impl Router {
    /// A client here speaks: the server hears it.
    pub(in crate::router) fn stream_up(&mut self, key: SessionKey, frame: &Arc<[u8]>) {
        if !self.upstream.leads {
            return;
        }
        let carried = self.upstream.clients.get(&self.sessions[key].client_id);
        if let Some(conn) = carried.and_then(|carried| carried.standing()) {
            let send = UpstreamOutput::Send { conn, frame: ToServer::Stream(frame.clone()) };
            self.outputs.push_back(Output::Upstream(send));
        }
    }

    /// Whether a client has yet to hear this piece, which came over the mesh.
    pub(in crate::router) fn is_audio_news(&mut self, key: SessionKey, frame: &[u8]) -> bool {
        let (now, leads) = (self.now, self.upstream.leads);
        let Some(carried) = self.upstream.clients.get_mut(&self.sessions[key].client_id) else { return true };
        // Also where its connection is still being opened, and stands by the time at which
        // the server tells; or outlives a silence, behind which the server tells late.
        let may_come = leads || carried.line.is_some();
        carried.audio.is_news(now, frame, Way::Mesh, may_come)
    }

    pub(super) fn server_streams(&mut self, conn: UpConn, frame: &Arc<[u8]>) {
        let now = self.now;
        let Some(client_id) = self.upstream.by_conn.get(&conn) else { return };
        let Some(&key) = self.by_client.get(client_id) else { return };
        let Some(carried) = self.upstream.clients.get_mut(client_id) else { return };
        // It does not say to which room it belongs.
        if carried.line.as_ref().and_then(Line::room) != self.sessions[key].room.as_ref() {
            return;
        }
        if !carried.audio.is_news(now, frame, Way::Server, true) {
            return;
        }
        self.stats.streams_in += 1;
        if self.tell(key, Told::Live(frame.clone())).is_some() {
            self.stats.streams_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_piece_pair_one_for_one_whichever_way_is_the_quicker() {
        let mut audio = Audio::default();
        let now = Time::from_secs(1);
        assert!(audio.is_news(now, b"a", Way::Mesh, true));
        assert!(!audio.is_news(now, b"a", Way::Server, true), "the same piece");
        assert!(audio.is_news(now, b"a", Way::Server, true), "said once more");
        assert!(!audio.is_news(now, b"a", Way::Mesh, true));
        assert!(audio.is_news(now, b"a", Way::Mesh, true));
        assert!(audio.is_news(now, b"a", Way::Mesh, true), "two alike one way are two");
        assert!(audio.is_news(now + WINDOW, b"a", Way::Server, true), "too late to be the same");
    }

    #[test]
    fn where_no_second_copy_can_come_none_is_waited_for() {
        let mut audio = Audio::default();
        let now = Time::from_secs(1);
        assert!(audio.is_news(now, b"a", Way::Server, true));
        assert!(!audio.is_news(now, b"a", Way::Mesh, false), "the server sent it, and was gone");
        assert!(audio.is_news(now, b"a", Way::Mesh, false));
        assert!(audio.is_news(now, b"a", Way::Server, true), "the server is back: a new one");
    }
}
