//! One connection, from its request to its end.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use fau3::gateway::fau3d::frames::{Decoder, Received};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Answer, Shared};

/// A wake-up without anything to read: what is due is done then.
const WAKE_UP: Duration = Duration::from_millis(20);
/// The longest request that is read, in bytes.
const HEAD_MAX: usize = 8_192;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// Serves a connection to its end.
pub(super) fn serve(shared: &Arc<Shared>, mut stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(WAKE_UP)).unwrap();
    let life = shared.state().life;
    let Some(request) = read_head(shared, life, &mut stream) else { return };
    if header(&request, "upgrade").is_none() {
        let is_list = request.starts_with("GET /fau3vom/GetExtraServersList ");
        let answer = {
            let mut state = shared.state();
            state.list_requests += u64::from(is_list);
            if is_list { state.quirks.list.clone() } else { Answer::Status(404) }
        };
        return drop(respond(shared, life, &mut stream, &answer));
    }
    let answer = shared.state().quirks.upgrade.clone();
    if answer != Answer::Proper {
        return drop(respond(shared, life, &mut stream, &answer));
    }
    let (Some(client_id), Some(key)) =
        (header(&request, "fau3-client-id"), header(&request, "sec-websocket-key"))
    else {
        return drop(respond(shared, life, &mut stream, &Answer::Status(400)));
    };
    let accept = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    let number = {
        let mut state = shared.state();
        if state.life != life {
            return;
        }
        state.oversleep();
        let Some(number) = state.let_in(&client_id, &stream) else { return };
        if !state.quirks.mute && stream.write_all(accept.as_bytes()).is_err() {
            return state.forget(number);
        }
        number
    };
    let _ = talk(shared, number, &mut stream);
    shared.state().forget(number);
}

/// Reads and answers until either side has enough.
fn talk(shared: &Shared, number: u64, stream: &mut TcpStream) -> io::Result<()> {
    let (mut decoder, mut chunk) = (Decoder::default(), vec![0; 64 * 1024]);
    loop {
        let length = match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(error) => return Err(error),
        };
        let mut rest = &mut chunk[..length];
        let mut state = shared.state();
        if !state.is_here(number) {
            return Ok(());
        }
        state.due(number);
        while !rest.is_empty() {
            let (used, received) = decoder.next(rest).map_err(|_| ErrorKind::InvalidData)?;
            match received {
                Some(Received::Message(body)) => {
                    let message = decoder.body(rest, &body).to_vec();
                    state.oversleep();
                    state.message(number, &message);
                }
                Some(Received::Ping(body)) => {
                    state.oversleep();
                    state.pings += 1;
                    let pong = decoder.body(rest, &body).to_vec();
                    state.send(number, PONG, &pong);
                }
                Some(Received::Close(body)) => {
                    let code = decoder.body(rest, &body).to_vec();
                    state.send(number, CLOSE, &code);
                    return Ok(());
                }
                Some(Received::Pong(_)) | None => {}
            }
            rest = &mut rest[used..];
        }
    }
}

/// A frame as a server sends it.
pub(super) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        medium @ 126..65_536 => {
            frame.push(126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// JSON as a frame.
pub(super) fn json(message: &serde_json::Value) -> Vec<u8> {
    frame(TEXT, message.to_string().as_bytes())
}

/// The request up to its empty line; `None`: none came.
fn read_head(shared: &Shared, life: u64, stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) if head.len() < HEAD_MAX => head.push(byte[0]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => return None,
        }
        if shared.state().life != life {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

fn header(request: &str, name: &str) -> Option<String> {
    let mut lines = request.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

fn respond(shared: &Shared, life: u64, stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let whole = |status: &str, more: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let text = match answer {
        Answer::Proper => {
            whole("200 OK", "", r#"{"MessageType":"ExtraServersList","Version":0,"Servers":[]}"#)
        }
        Answer::Body(body) => whole("200 OK", "", body),
        Answer::Status(status) => whole(&format!("{status} No"), "", "no\n"),
        Answer::Redirect(to) => whole("301 Moved Permanently", &format!("Location: {to}\r\n"), ""),
        Answer::Garbage => "SSH-2.0-OpenSSH_9.2p1\r\n\r\n\x01\x02".to_owned(),
        Answer::Nothing => {
            // Until it is asked no more.
            while shared.state().life == life {
                match stream.read(&mut [0; 64]) {
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Ok(1..) => {}
                    _ => break,
                }
            }
            return Ok(());
        }
    };
    stream.write_all(text.as_bytes())
}
