//! The default server, as the router's core sees it: what goes to one that
//! speaks only FAU3VOM-D, and what comes from there. Knows no socket: the
//! connections themselves are `src/upstream`.

mod io;

pub use io::{FromServer, ServerKind, ToServer, UpConn, UpstreamInput, UpstreamOutput};

use super::Router;

impl Router {
    pub(super) fn upstream(&mut self, input: UpstreamInput) {
        match input {
            UpstreamInput::Reach(reach) => self.elect(match reach {
                Some(reach) => fau3_election::Input::DefaultServer(reach),
                None => fau3_election::Input::DefaultServerUnwatched,
            }),
            UpstreamInput::List(list) => self.elect(fau3_election::Input::ListFetched(&list)),
            UpstreamInput::Configure(_)
            | UpstreamInput::Up { .. }
            | UpstreamInput::Down { .. }
            | UpstreamInput::Says { .. }
            | UpstreamInput::Pong { .. } => {}
        }
    }
}
