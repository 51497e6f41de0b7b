//! From an HTTP request to a client: who it is, whether it is let in, and what
//! everybody else is told.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, info};

use super::Door;
use super::socket::Socket;
use crate::gateway::Event;
use crate::router::{Input, Refusal};
use crate::wire::ClientId;
use crate::wire::fau3d::{NO_SERVER_OF_ROUTERS, RELAY_HEADER};

/// What a client calls itself by.
const CLIENT_ID: HeaderName = HeaderName::from_static("fau3-client-id");
/// The same in the request's target, for browsers, which cannot set headers.
const CLIENT_ID_PARAMETER: &str = "fau3-client-id";
/// Echoed if a client offers it.
const SUB_PROTOCOL: &str = "Fau3VOMProto";
/// Where other routers ask for the list of extra servers.
const EXTRA_SERVERS_PATH: &str = "/fau3vom/GetExtraServersList";

type Answer = Response<Full<Bytes>>;

/// Answers one request.
pub(super) async fn answer(
    door: Arc<Door>,
    address: IpAddr,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    Ok(match classify(&request) {
        Asked::Upgrade => upgrade(door, address, request).await.unwrap_or_else(|refusal| refusal),
        Asked::ExtraServers => extra_servers(&door),
        Asked::NotWebSocket => not_websocket(),
        Asked::Unknown => line(
            StatusCode::NOT_FOUND,
            "nothing is here: connect a WebSocket to any path, or GET /fau3vom/GetExtraServersList",
        ),
    })
}

enum Asked {
    Upgrade,
    ExtraServers,
    NotWebSocket,
    Unknown,
}

fn classify(request: &Request<Incoming>) -> Asked {
    let wants = |header, token| has_token(request.headers(), header, token);
    match (request.method(), request.uri().path()) {
        (&Method::GET, _) if wants(CONNECTION, "upgrade") && wants(UPGRADE, "websocket") => Asked::Upgrade,
        (&Method::GET | &Method::HEAD, EXTRA_SERVERS_PATH) => Asked::ExtraServers,
        (&Method::GET | &Method::HEAD, "/") => Asked::NotWebSocket,
        _ => Asked::Unknown,
    }
}

async fn upgrade(door: Arc<Door>, address: IpAddr, mut request: Request<Incoming>) -> Result<Answer, Answer> {
    if request.headers().contains_key(RELAY_HEADER) {
        return Err(line(StatusCode::MISDIRECTED_REQUEST, NO_SERVER_OF_ROUTERS));
    }
    let client_id = client_id(&request).map_err(|reason| line(StatusCode::BAD_REQUEST, &reason))?;
    let accept = accept_key(request.headers()).map_err(|answer| *answer)?;
    let (decision, decided) = oneshot::channel();
    let upgraded = hyper::upgrade::on(&mut request);
    // A task of its own: hyper drops this one when the client vanishes, and
    // whom the router has let in must be served, if only to its end.
    tokio::spawn(let_in(door, client_id, address, decision, upgraded));
    let admitted = decided.await.unwrap_or(Err(Refusal::ShuttingDown));
    admitted.map_err(|refusal| {
        let status = StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        line(status, &refusal.to_string())
    })?;
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if has_token(request.headers(), SEC_WEBSOCKET_PROTOCOL, SUB_PROTOCOL) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUB_PROTOCOL));
    }
    Ok(answer)
}

/// Asks the router, says what it decided, and serves the client if it may come
/// in.
async fn let_in(
    door: Arc<Door>,
    client_id: ClientId,
    address: IpAddr,
    decision: oneshot::Sender<Result<(), Refusal>>,
    upgraded: hyper::upgrade::OnUpgrade,
) {
    let conn = door.hall.next_conn();
    let socket = Arc::new(Socket::new(address, door.tails.clone(), door.unfinished.clone()));
    if let Err(refusal) = door.hall.connect(conn, client_id.clone(), address, socket.clone()).await {
        info!(%client_id, %address, "client turned away: {refusal}");
        let _ = decision.send(Err(refusal));
        return;
    }
    debug!(%client_id, %address, conn = conn.0, "client let in");
    let events = door.hall.events().clone();
    drop(door);
    let _ = decision.send(Ok(()));
    let parts = upgraded.await.ok().and_then(|upgraded| upgraded.downcast::<TokioIo<TcpStream>>().ok());
    if let Some(parts) = parts {
        socket.serve(conn, parts.io.into_inner(), parts.read_buf.into(), events).await;
    } else {
        // Gone between request and answer.
        let _ = events.send(Event::Input(Input::Disconnected { conn })).await;
    }
}

/// The client's id, from the header or else from the target.
fn client_id(request: &Request<Incoming>) -> Result<ClientId, String> {
    let mut headers = request.headers().get_all(CLIENT_ID).iter();
    let text = match (headers.next(), headers.next()) {
        (Some(_), Some(_)) => return Err("fau3-client-id is there twice; send it once".into()),
        (Some(header), None) => header.to_str().map(str::to_owned).ok(),
        (None, _) => match client_id_parameter(request.uri().query().unwrap_or_default()) {
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
    let named =
        query.split('&').find_map(|pair| pair.strip_prefix(CLIENT_ID_PARAMETER)?.strip_prefix('='))?;
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

/// What proves that the upgrade was understood (RFC 6455, section 4.2.2). Real
/// devices send keys of other lengths than the RFC's 16 bytes: taken as well.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Box<Answer>> {
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut answer =
            line(StatusCode::UPGRADE_REQUIRED, "this port speaks WebSocket version 13 (RFC 6455) only");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(answer.into());
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    key.and_then(|accept| HeaderValue::from_str(&accept).ok())
        .ok_or_else(|| line(StatusCode::BAD_REQUEST, "the header Sec-WebSocket-Key is missing").into())
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

fn extra_servers(door: &Door) -> Answer {
    let mut answer = Response::new(Full::from(door.servers.body()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn not_websocket() -> Answer {
    let mut answer =
        line(StatusCode::UPGRADE_REQUIRED, "this port speaks WebSocket (FAU3VOM-D), not plain HTTP");
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer
}

fn line(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::from(format!("{text}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::super::ExtraServers;
    use super::*;
    use crate::gateway::Hall;

    /// hyper drops what answers a request when the client is gone: the router,
    /// which was asked before, must not have a client for ever that nobody serves.
    #[tokio::test]
    async fn who_is_let_in_after_it_has_vanished_is_said_to_be_gone() {
        let (hall, mut node) = Hall::new();
        let door = Door::new(hall, ExtraServers::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(door.clone().listen(listener));
        let request = "GET / HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\nfau3-client-id: gone\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let Some(Event::Connect { conn: asked, answer, .. }) = node.recv().await else {
            panic!("the router is not asked")
        };
        drop(client);
        while !door.handshakes.lock().unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let _ = answer.send(Ok(()));
        let told = tokio::time::timeout(std::time::Duration::from_secs(10), node.recv()).await;
        let gone = matches!(told, Ok(Some(Event::Input(Input::Disconnected { conn }))) if conn == asked);
        assert!(gone, "the router keeps a client that nobody serves");
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
