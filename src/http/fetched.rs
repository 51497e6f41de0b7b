//! The answer to one HTTP request on a connection of its own (RFC 9112): its head read
//! by `httparse`, its body as far as there is one.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest head, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most fields in it.
const FIELDS_MAX: usize = 64;
/// More than a body is: what chunks and the head add.
const FRAMING_BYTES_MAX: usize = 16 * 1024;

/// A status and the body with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// It came, or was announced, with more than so many bytes.
    TooLong(usize),
    /// Nothing that could be read; one line.
    Unreadable(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(most) => write!(f, "more than {most} bytes"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

impl From<String> for NoAnswer {
    fn from(why: String) -> Self {
        Self::Unreadable(why)
    }
}

/// How the head says where the body ends.
#[derive(Debug, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunks,
    ToTheEnd,
}

/// Reads until the answer is complete, or the other side has closed.
///
/// # Errors
/// See [`NoAnswer`].
pub(crate) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    body_max: usize,
) -> Result<Response, NoAnswer> {
    let mut bytes = Vec::new();
    loop {
        let count = stream.read_buf(&mut bytes).await.map_err(|error| error.to_string())?;
        if let Some(answer) = parse(&bytes, count == 0, body_max)? {
            return Ok(answer);
        }
        if count == 0 {
            return Err("it closed the connection before its answer was complete".to_owned().into());
        }
        if bytes.len() > HEAD_BYTES_MAX + body_max + FRAMING_BYTES_MAX {
            return Err(NoAnswer::TooLong(body_max));
        }
    }
}

/// `None`: more is needed.
fn parse(bytes: &[u8], is_end: bool, body_max: usize) -> Result<Option<Response>, NoAnswer> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let start = match head.parse(bytes).map_err(|error| format!("it is no HTTP: {error}"))? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial if bytes.len() > HEAD_BYTES_MAX => {
            return Err(format!("a head of more than {HEAD_BYTES_MAX} bytes").into());
        }
        httparse::Status::Partial => return Ok(None),
    };
    let status = head.code.unwrap_or_default();
    let rest = &bytes[start..];
    let body = match length(head.headers)? {
        Length::Bytes(length) if length > body_max => return Err(NoAnswer::TooLong(body_max)),
        Length::Bytes(length) => rest.get(..length).map(<[u8]>::to_vec),
        Length::Chunks => unchunked(rest, body_max)?,
        Length::ToTheEnd if rest.len() > body_max => return Err(NoAnswer::TooLong(body_max)),
        Length::ToTheEnd => is_end.then(|| rest.to_vec()),
    };
    Ok(body.map(|body| Response { status, body }))
}

fn length(fields: &[httparse::Header<'_>]) -> Result<Length, String> {
    let of = |name: &str| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let text =
        |field: &httparse::Header<'_>| String::from_utf8_lossy(field.value).trim().to_ascii_lowercase();
    if let Some(coding) = of("transfer-encoding").map(text) {
        return if coding == "chunked" { Ok(Length::Chunks) } else { Err(format!("its coding is {coding}")) };
    }
    let Some(length) = of("content-length").map(text) else { return Ok(Length::ToTheEnd) };
    length.parse().map(Length::Bytes).map_err(|_| format!("its length is '{length}'"))
}

/// What stands in chunks (RFC 9112, section 7.1), once the last one is there.
fn unchunked(mut rest: &[u8], body_max: usize) -> Result<Option<Vec<u8>>, NoAnswer> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(rest).map_err(|_| "a chunk without a size".to_owned())?;
        let httparse::Status::Complete((head, size)) = size else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= body_max - body.len());
        let size = size.ok_or(NoAnswer::TooLong(body_max))?;
        let Some(chunk) = rest.get(head..head + size + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk that is longer than its size".to_owned().into());
        }
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[head + size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it comes in all pieces there are.
    fn whole(bytes: &[u8], is_end: bool) -> Result<Option<Response>, NoAnswer> {
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end], false, 100).unwrap_or(None), None, "{end}");
        }
        parse(bytes, is_end, 100)
    }

    fn hello() -> Option<Response> {
        Some(Response { status: 200, body: b"hello".into() })
    }

    #[test]
    fn a_body_ends_by_its_length_its_last_chunk_or_the_connection() {
        let by_length = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(whole(by_length, false), Ok(hello()));
        let in_chunks =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n";
        assert_eq!(whole(in_chunks, false), Ok(hello()));
        let to_the_end = b"HTTP/1.0 200 OK\r\n\r\nhello";
        assert_eq!((whole(to_the_end, false), whole(to_the_end, true)), (Ok(None), Ok(hello())));
    }

    #[test]
    fn what_is_wrong_or_too_long_is_said() {
        for (bytes, wanted) in [
            (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "no HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", "more than 100 bytes"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "length is '-1'"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "coding is gzip"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "more than 100"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "without a size"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhel\r\n", "longer than its size"),
        ] {
            let told = parse(bytes, true, 100).unwrap_err().to_string();
            assert!(told.contains(wanted), "{told}");
        }
        assert!(parse(&[b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 101][..]].concat(), false, 100).is_err());
        assert!(parse(&[b"HTTP/1.1 200 OK\r\na: ", &[b'x'; 9_000][..]].concat(), false, 100).is_err());
    }
}
