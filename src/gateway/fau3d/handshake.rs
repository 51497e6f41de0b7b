//! From an HTTP request to a client: who it is, whether it is let in, and what
//! everybody else is told.
//!
//! The router is asked last, when nothing that this door knows of can fail any
//! more: an id that somebody takes over is taken from a client that is served.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};
use tracing::debug;

use super::HANDSHAKE_TIME_MAX;
use super::door::Fau3d;
use super::socket::Socket;
use super::words::http_status;
use crate::gateway::{DoorEvent, Guest};
use crate::http::{Answer, Head, read_head, say_last, upgrade};
use crate::router::{Input, Refusal};
use crate::wire::ClientId;
use crate::wire::mistaken::{NO_SERVER_OF_ROUTERS, RELAY_HEADER};

/// What a client calls itself by: a header, or a parameter of the request's target
/// for browsers, which cannot set headers.
const CLIENT_ID: &str = "fau3-client-id";
/// Echoed if a client offers it, in the capitals in which it does.
const SUB_PROTOCOL: &str = "Fau3VOMProto";
/// Where other routers ask for the list of extra servers.
const EXTRA_SERVERS_PATH: &str = "/fau3vom/GetExtraServersList";
/// An answer of a few hundred bytes that has not left after this time does not.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// A connection that is not a client's yet.
struct Stranger {
    door: Arc<Fau3d>,
    guest: Guest,
    /// What has come and is not read yet.
    buffer: Vec<u8>,
}

/// A request that lacks nothing: who asks, and what it is answered if the router
/// lets it in.
struct Upgrade {
    client_id: ClientId,
    answer: Answer,
}

/// Answers a guest, and serves it to its end if it becomes a client.
pub(super) async fn attend(door: Arc<Fau3d>, guest: Guest) {
    let mut stranger = Stranger { door, guest, buffer: Vec::new() };
    let deadline = tokio::time::Instant::now() + HANDSHAKE_TIME_MAX;
    match timeout_at(deadline, stranger.converse()).await {
        Ok(Some(upgrade)) => stranger.let_in(upgrade).await,
        Ok(None) => {}
        // One that has begun to ask is told.
        Err(_) if !stranger.buffer.is_empty() => {
            let late = Answer::line(408, "the request did not end within 10 s");
            say_last(&mut stranger.guest.stream, &late, true).await;
        }
        Err(_) => {}
    }
}

impl Stranger {
    /// Answers requests until one is to be an upgrade, or none may follow.
    async fn converse(&mut self) -> Option<Upgrade> {
        loop {
            let head = match read_head(&mut self.guest.stream, &mut self.buffer).await {
                Ok(head) => head?,
                Err(answer) => {
                    say_last(&mut self.guest.stream, &answer, true).await;
                    return None;
                }
            };
            let answer = match self.judge(&head) {
                Ok(upgrade) => return Some(upgrade),
                Err(answer) => answer,
            };
            let with_body = head.method != "HEAD";
            if !head.is_followed() {
                say_last(&mut self.guest.stream, &answer, with_body).await;
                return None;
            }
            self.guest.stream.write_all(&answer.print(with_body, false)).await.ok()?;
        }
    }

    /// What a request is: an upgrade, or to be answered.
    fn judge(&self, head: &Head) -> Result<Upgrade, Answer> {
        let Guest { address, here, entrance, .. } = &self.guest;
        entrance.hall().visitors().check_page(head, *here).map_err(|page| {
            entrance.turned_away(*address, None, &page.reason());
            page.answer()
        })?;
        if upgrade::is_wanted(head) {
            let turned_away = |answer: &Answer| entrance.turned_away(*address, None, answer.text());
            return client_of(head).inspect_err(turned_away);
        }
        Err(match (&*head.method, head.path_and_query().0) {
            ("GET" | "HEAD", EXTRA_SERVERS_PATH) => {
                Answer::new(200, "application/json", self.door.servers.body())
            }
            ("GET" | "HEAD", "/") => {
                upgrade::wanted("this port speaks WebSocket (FAU3VOM-D), not plain HTTP")
            }
            _ => Answer::line(
                404,
                "nothing is here: connect a WebSocket to any path with GET, or GET /fau3vom/GetExtraServersList",
            ),
        })
    }

    /// Asks the router, says what it decided, and serves the client if it may come
    /// in.
    async fn let_in(self, Upgrade { client_id, answer }: Upgrade) {
        let Self { door, guest, buffer } = self;
        let Guest { mut stream, address, entrance, place, .. } = guest;
        let hall = entrance.hall().clone();
        // Whoever has gone meanwhile throws nobody out.
        if has_gone(&stream) {
            debug!(%client_id, %address, "gone before it was let in");
            return;
        }
        let conn = hall.next_conn();
        let socket = Arc::new(Socket::new(
            address,
            hall.events().clone(),
            door.tails.clone(),
            door.unfinished.clone(),
        ));
        if let Err(refusal) = hall.connect(conn, client_id.clone(), address, socket.clone()).await {
            entrance.turned_away(address, Some(client_id.as_str()), &refusal.to_string());
            return say_last(&mut stream, &refused(refusal), true).await;
        }
        debug!(%client_id, %address, conn = conn.0, "client let in");
        drop((door, entrance, place));
        let told = timeout(ANSWER_TIME_MAX, stream.write_all(&answer.print(false, false))).await;
        if matches!(told, Ok(Ok(()))) {
            drop(hall);
            socket.serve(conn, stream, buffer).await;
        } else {
            // Gone between request and answer.
            let _ = hall.events().send(DoorEvent::Input(Input::Disconnected { conn })).await;
        }
    }
}

fn refused(refusal: Refusal) -> Answer {
    Answer::line(http_status(refusal), &refusal.to_string())
}

/// Whether the other side has closed, behind whatever it has sent.
fn has_gone(stream: &TcpStream) -> bool {
    let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut asked = [PollFd::new(stream, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
        && asked[0].revents().intersects(closed)
}

/// Checks all that a request to become a client's WebSocket needs.
fn client_of(head: &Head) -> Result<Upgrade, Answer> {
    if head.all(RELAY_HEADER).next().is_some() {
        return Err(Answer::line(421, NO_SERVER_OF_ROUTERS));
    }
    let mut answer = upgrade::accept(head)?;
    let client_id = client_id(head).map_err(|reason| Answer::line(400, &reason))?;
    // In other capitals it is another one to a browser.
    let offered = head.tokens("Sec-WebSocket-Protocol").find(|it| it.eq_ignore_ascii_case(SUB_PROTOCOL));
    if let Some(offered) = offered {
        answer = answer.with("Sec-WebSocket-Protocol", offered.to_owned());
    }
    Ok(Upgrade { client_id, answer })
}

/// The client's id, from the header or else from the target.
fn client_id(request: &Head) -> Result<ClientId, String> {
    let mut headers = request.all(CLIENT_ID);
    let text = match (headers.next(), headers.next()) {
        (Some(_), Some(_)) => return Err("fau3-client-id is there twice; send it once".into()),
        (Some(header), None) => header.is_ascii().then(|| String::from_utf8_lossy(header).into_owned()),
        (None, _) => match client_id_parameter(request.path_and_query().1) {
            Some(parameter) => parameter,
            None => return Err("the header fau3-client-id is missing; send your unique id in it".into()),
        },
    };
    let id = text.as_deref().map(ClientId::new);
    match id {
        Some(Ok(id)) => Ok(id),
        Some(Err(error)) => {
            Err(format!("fau3-client-id {error}; it takes 1 to 64 printable ASCII characters"))
        }
        None => Err("fau3-client-id is not ASCII; it takes 1 to 64 printable ASCII characters".into()),
    }
}

/// `Some(None)`: there, but not text.
fn client_id_parameter(query: &str) -> Option<Option<String>> {
    let named = query.split('&').find_map(|pair| pair.strip_prefix(CLIENT_ID)?.strip_prefix('='))?;
    Some(percent_decoded(named))
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::gateway::{Entrance, Hall, NodeEvents};

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\nfau3-client-id: gone\r\n\r\n";

    /// A door that serves, and the node's end of it.
    async fn door() -> (TcpStream, NodeEvents) {
        let (hall, node) = Hall::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let door = Arc::new(Fau3d::default());
        tokio::spawn(Entrance::new(&hall, "fau3d").listen(door, listener));
        (client, node)
    }

    /// The router, which was asked before, must not have a client for ever that nobody
    /// serves.
    #[tokio::test]
    async fn who_is_let_in_after_it_has_vanished_is_said_to_be_gone() {
        let (mut client, mut node) = door().await;
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        let Some(DoorEvent::Connect { conn: asked, answer, .. }) = node.recv().await.map(|it| it.event)
        else {
            panic!("the router is not asked")
        };
        drop(client);
        let _ = answer.send(Ok(()));
        let told = timeout(Duration::from_secs(10), node.recv()).await;
        let told = told.ok().flatten().map(|it| it.event);
        let gone = matches!(told, Some(DoorEvent::Input(Input::Disconnected { conn })) if conn == asked);
        assert!(gone, "the router keeps a client that nobody serves");
    }

    /// Its request would throw out whoever has the id.
    #[tokio::test]
    async fn who_has_gone_before_the_router_is_asked_is_nobody() {
        let (mut client, mut node) = door().await;
        let with_a_frame = [REQUEST.as_bytes(), &[0x81, 0x80, 0, 0, 0, 0]].concat();
        client.write_all(&with_a_frame).await.unwrap();
        client.shutdown().await.unwrap();
        // Given that its connection has been ended, then nothing was asked.
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(10), client.read_to_end(&mut answer)).await;
        assert!(ended.is_ok() && answer.is_empty(), "{ended:?} {}", String::from_utf8_lossy(&answer));
        assert!(node.try_recv().is_err(), "the router is asked in the name of one that has gone");
    }

    #[test]
    fn the_id_may_come_percent_encoded_in_the_target() {
        let given = |query| client_id_parameter(query);
        assert_eq!(given("a=b&fau3-client-id=AA%3ABB"), Some(Some("AA:BB".into())));
        assert_eq!(given("fau3-client-id="), Some(Some(String::new())));
        assert_eq!(given("fau3-client-id=%F"), Some(None));
        assert_eq!(given("fau3-client-id=%FF%FE"), Some(None));
        assert_eq!(given("other-fau3-client-id=x"), None);
    }
}
