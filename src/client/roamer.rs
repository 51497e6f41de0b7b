//! A client that knows several routers: when it loses its own it goes on to the
//! next one, as radios do that walk through a house. What it had not been
//! confirmed it sends again there, and what it has heard it does not tell twice.

use super::args::Url;
use super::core::{Event, Input, Settings};
use super::error::Error;
use super::link::{ClientSocket, seed};
use crate::wire::fau3d::from_router::Record;
use crate::wire::{ClientId, RoomId};

/// What has happened to a [`Roamer`].
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// It is at this router of its list and, where it listens, in the room.
    Arrived(usize),
    /// It has lost its router, or could not reach it, and tries the next one.
    Lost,
    /// What it said last is stored.
    Stored,
    /// Voice messages. They count as kept: no router will send them again.
    Messages(Vec<Record>),
}

/// A client and the routers that it may go to.
pub(crate) struct Roamer {
    link: ClientSocket,
    routers: Vec<Url>,
    /// Which of them it is at, or tries.
    at: usize,
    room: RoomId,
    /// It has left its router itself: the loss that follows is none.
    moving: bool,
}

impl Roamer {
    /// Goes to `routers[at]` first. One that does not listen only speaks.
    ///
    /// # Errors
    /// [`Error::System`]: the system gives no random numbers.
    ///
    /// # Panics
    /// If there is no such router.
    pub(crate) fn new(
        routers: Vec<Url>,
        at: usize,
        client_id: ClientId,
        room: RoomId,
        listens: bool,
    ) -> Result<Self, Error> {
        let settings = Settings { room: listens.then(|| room.clone()), listens, seed: seed()? };
        let link = ClientSocket::new(routers[at].clone(), client_id, settings);
        Ok(Self { link, routers, at, room, moving: false })
    }

    /// Keeps the connection going until something happens. Nothing is lost if
    /// the future is dropped before that.
    ///
    /// # Errors
    /// Where trying again is no use: see [`ClientSocket::next`], and [`Error::Invalid`].
    pub(crate) async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            match self.link.next().await? {
                Event::Ready => return Ok(Heard::Arrived(self.at)),
                Event::Down(_) => {
                    if !std::mem::take(&mut self.moving) {
                        self.at = (self.at + 1) % self.routers.len();
                        self.link.turn_to(self.routers[self.at].clone());
                    }
                    return Ok(Heard::Lost);
                }
                Event::Stored => return Ok(Heard::Stored),
                Event::Playlist(token, records) => {
                    self.link.give(Input::Kept(token));
                    return Ok(Heard::Messages(records));
                }
                Event::Invalid(what) => return Err(Error::Invalid { what: format!("the {what:?}") }),
                Event::Refused(_) | Event::Stream(_) => {}
            }
        }
    }

    /// Says a voice message. One at a time: the next one after
    /// [`Heard::Stored`].
    pub(crate) fn say(&mut self, payload: &[u8]) {
        self.link.say(&self.room, payload);
    }

    /// Leaves its router without a word and goes to `routers[at]`.
    ///
    /// # Panics
    /// If there is no such router.
    pub(crate) fn move_to(&mut self, at: usize) {
        self.at = at;
        self.moving = self.link.hang_up();
        self.link.turn_to(self.routers[at].clone());
    }

    /// Says goodbye.
    pub(crate) async fn leave(self) {
        self.link.leave().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_client_whose_router_is_gone_goes_to_the_next_one() {
        // Given a router that is gone, and one that is there,
        let (gone, there) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let url = |at: &TcpListener| format!("ws://{}", at.local_addr().unwrap()).parse::<Url>().unwrap();
        let routers = vec![url(&gone), url(&there)];
        drop(gone);
        let (id, room) = (ClientId::new("c").unwrap(), RoomId::new("r").unwrap());
        // when a client starts at the one that is gone,
        let mut roamer = Roamer::new(routers, 0, id, room, true).unwrap();
        let greeted = async {
            let (stream, _) = there.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            futures_util::StreamExt::next(&mut socket).await.unwrap().unwrap().into_text().unwrap()
        };
        let walk = async {
            assert_eq!(roamer.next().await.unwrap(), Heard::Lost);
            // In the room only when that router says so, which this one does not.
            roamer.next().await
        };
        // then it asks the other one for its room.
        tokio::select! {
            said = greeted => assert!(said.contains("Subscribe"), "{said}"),
            heard = walk => panic!("{heard:?}"),
        }
    }
}
