//! HTTP as bytes on a socket, so that requests can be as bad as they like.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// An answer that has not come after this long does not come.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// No router of ours needs more for an answer's head, in bytes.
const HEAD_MAX: usize = 4_096;

/// An HTTP answer. Headers' names are in lower case.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Sends a request on a connection of its own.
///
/// # Panics
/// If no answer comes.
pub(crate) fn http(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let request = request.as_ref();
    let mut stream = TcpStream::connect(address).unwrap();
    exchange(&mut stream, request)
        .unwrap_or_else(|error| panic!("no answer to {:?}: {error}", String::from_utf8_lossy(request)))
}

/// Sends a request and reads its answer, and nothing beyond it.
///
/// # Errors
/// If the connection ends, or nothing comes, before the answer is whole.
pub(crate) fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<Answer> {
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(request)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
        assert!(head.len() <= HEAD_MAX, "an endless head: {:?}", String::from_utf8_lossy(&head));
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<_, _> = lines.filter_map(header).collect();
    let mut body = Vec::new();
    match headers.get("content-length") {
        _ if status == 101 => {}
        _ if request.starts_with(b"HEAD ") => {
            // Nothing may follow, which only time tells.
            stream.set_read_timeout(Some(Duration::from_millis(200)))?;
            let _ = stream.read_to_end(&mut body);
        }
        Some(length) => {
            body.resize(length.parse().unwrap(), 0);
            stream.read_exact(&mut body)?;
        }
        None => drop(stream.read_to_end(&mut body)?),
    }
    Ok(Answer { status, headers, body: String::from_utf8(body).unwrap() })
}

/// A request to become a WebSocket, with these header lines more.
pub(crate) fn upgrade(target: &str, more: &[&str]) -> Vec<u8> {
    let mut request = format!(
        "GET {target} HTTP/1.1\r\nHost: router\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    );
    for line in more {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// Connects from an address of this machine's: all of 127.0.0.0/8 are.
pub(crate) fn connect_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let kind = (AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC);
    let socket = socket_with(kind.0, kind.1, kind.2, None).unwrap();
    bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    connect(&socket, &to).unwrap();
    socket.into()
}
