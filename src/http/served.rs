//! The side that is asked: the head of a request, and a short answer. Knows nothing of
//! what is asked.
//!
//! Fields' names are sent as the standards spell them (`Sec-WebSocket-Accept`): they
//! have no case (RFC 9110, section 5.1), but there are devices that compare bytes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Error, Request, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest head of a request, in bytes: browsers send cookies of some KiB.
const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Fields of one request.
const FIELDS_MAX: usize = 100;
/// What is read at once while a head comes in, in bytes.
const CHUNK_BYTES: usize = 1_024;
/// How long somebody who was answered may take to close, and to stop sending.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// What such a one may send meanwhile, in bytes.
const LINGER_BYTES_MAX: usize = 1_024 * 1_024;

/// What is asked, without a body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// As it was sent: a path, or a whole URL.
    pub(crate) target: String,
    /// HTTP/1.1, not 1.0.
    pub(crate) is_1_1: bool,
    fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Reads a head that is whole, and how long it is; `None` while it is not.
    ///
    /// # Errors
    /// What is answered if it can be none.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(usize, Self)>, Answer> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut request = Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(Status::Partial) => {
                return Err(Answer::line(431, "the head of the request is longer than 16 KiB"));
            }
            Err(error) => return Err(not_http(error)),
        };
        let fields = request.headers.iter().map(|field| (field.name.to_owned(), field.value.to_owned()));
        let head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            is_1_1: request.version == Some(1),
            fields: fields.collect(),
        };
        if head.all("Content-Length").nth(1).is_some() {
            return Err(Answer::line(400, "this is not HTTP: two lengths (Content-Length)"));
        }
        Ok(Some((length, head)))
    }

    /// Every value of a field.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = self.fields.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| &value[..])
    }

    /// The parts of a field that is a list, as they were sent.
    pub(crate) fn tokens(&self, name: &str) -> impl Iterator<Item = &str> {
        let texts = self.all(name).filter_map(|value| std::str::from_utf8(value).ok());
        texts.flat_map(|value| value.split(',')).map(str::trim)
    }

    /// Whether a list has this part, whatever its capitals.
    pub(crate) fn has(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|part| part.eq_ignore_ascii_case(token))
    }

    /// Whom the target names besides a path: `http://HOST:PORT/path` has one.
    pub(crate) fn authority(&self) -> Option<&str> {
        let (_, rest) = self.target.split_once("://").filter(|_| !self.target.starts_with('/'))?;
        rest.split(['/', '?', '#']).next()
    }

    /// The target's path, and what stands behind its `?`.
    pub(crate) fn path_and_query(&self) -> (&str, &str) {
        let target = self.authority().map_or(&*self.target, |authority| {
            let after = self.target.find("://").map_or(0, |at| at + 3) + authority.len();
            &self.target[after..]
        });
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        (if path.is_empty() { "/" } else { path }, query)
    }

    /// Whether another request may follow on the connection.
    pub(crate) fn is_followed(&self) -> bool {
        let has_body =
            self.all("Content-Length").chain(self.all("Transfer-Encoding")).any(|value| value != b"0");
        // Who wanted a WebSocket and is refused one has nothing more to ask.
        let is_last = ["close", "upgrade"].iter().any(|token| self.has("Connection", token));
        self.is_1_1 && !has_body && !is_last
    }
}

fn not_http(error: Error) -> Answer {
    let what = match error {
        Error::TooManyHeaders => return Answer::line(431, "the request has more than 100 fields"),
        Error::Version => "its version is neither HTTP/1.1 nor HTTP/1.0",
        Error::HeaderName => "a field has no name",
        Error::HeaderValue => "the value of a field has characters that may not stand there",
        Error::NewLine | Error::Status | Error::Token => "the request does not begin as one",
    };
    Answer::line(400, &format!("this is not HTTP: {what}"))
}

/// Waits for the next head. `buffer` holds what has come already, and then what
/// came behind it. `None`: the other side has gone.
///
/// # Errors
/// What is to be answered if what comes is none.
pub(crate) async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Head>, Answer> {
    loop {
        if let Some((length, head)) = Head::parse(buffer)? {
            buffer.drain(..length);
            return Ok(Some(head));
        }
        let mut chunk = [0; CHUNK_BYTES];
        let room = CHUNK_BYTES.min(HEAD_BYTES_MAX - buffer.len());
        match stream.read(&mut chunk[..room]).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(length) => buffer.extend_from_slice(&chunk[..length]),
        }
    }
}

/// An answer: its status, its fields, its body.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    fields: Vec<(&'static str, Cow<'static, str>)>,
    body: String,
}

impl Answer {
    /// One with this kind of body.
    pub(crate) fn new(status: u16, kind: &'static str, body: String) -> Self {
        Self { status, fields: vec![("Content-Type", kind.into())], body }
    }

    /// A line of text.
    pub(crate) fn line(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{text}\n"))
    }

    /// Its text, without the end of the line.
    pub(crate) fn text(&self) -> &str {
        self.body.trim_end()
    }

    /// One that makes the connection something else.
    pub(crate) const fn switching() -> Self {
        Self { status: 101, fields: Vec::new(), body: String::new() }
    }

    /// With one more field, spelled as it is to be sent.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// As it is sent, where `is_last` says that nothing more is answered. What asked
    /// for no body (HEAD) gets none.
    pub(crate) fn print(&self, with_body: bool, is_last: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, phrase(self.status));
        let mut field = |name: &str, value: &str| {
            // Into a String, which takes whatever is written.
            let _ = write!(head, "{name}: {value}\r\n");
        };
        self.fields.iter().for_each(|(name, value)| field(name, value));
        let is_switching = self.status == 101;
        if !is_switching {
            field("Content-Length", &self.body.len().to_string());
            if is_last {
                field("Connection", "close");
            }
        }
        head.push_str("\r\n");
        if with_body && !is_switching {
            head.push_str(&self.body);
        }
        head.into_bytes()
    }
}

/// RFC 9110, section 15.
const fn phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    }
}

/// Sends the last answer of a connection, and takes what still comes for a while: a
/// connection dropped with bytes unread is reset, and the answer lost.
pub(crate) async fn say_last(stream: &mut TcpStream, answer: &Answer, with_body: bool) {
    let _ = timeout(LINGER_MAX, async {
        stream.write_all(&answer.print(with_body, true)).await?;
        stream.shutdown().await?;
        let mut chunk = [0; CHUNK_BYTES];
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match stream.read(&mut chunk).await? {
                0 => break,
                length => left = left.saturating_sub(length),
            }
        }
        io::Result::Ok(())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        let (length, head) = Head::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn a_target_may_be_a_path_or_a_whole_url() {
        let parts = |target: &str| {
            let head = head(&format!("GET {target} HTTP/1.1\r\n\r\n"));
            let (path, query) = head.path_and_query();
            (head.authority().map(str::to_owned), path.to_owned(), query.to_owned())
        };
        let of = |authority: Option<&str>, path: &str, query: &str| {
            (authority.map(str::to_owned), path.to_owned(), query.to_owned())
        };
        assert_eq!(parts("/"), of(None, "/", ""));
        assert_eq!(parts("/a/b?c=d://e"), of(None, "/a/b", "c=d://e"));
        assert_eq!(parts("http://router:8901/a?b"), of(Some("router:8901"), "/a", "b"));
        assert_eq!(parts("http://router?b"), of(Some("router"), "/", "b"));
        assert_eq!(parts("*"), of(None, "*", ""));
    }

    #[test]
    fn fields_have_no_case_and_lists_have_parts() {
        let head = head("GET / HTTP/1.1\r\nCONNECTION: keep-alive, TE\r\nx: y\r\n\r\n");
        assert!(head.has("Connection", "te") && !head.has("Connection", "close"));
        assert_eq!(head.tokens("connection").collect::<Vec<_>>(), ["keep-alive", "TE"]);
        assert!(head.is_followed());
    }

    /// A browser's cookies, a proxy's fields: 8 KiB are none too many.
    #[test]
    fn a_head_of_eight_kib_is_taken_and_one_beyond_the_bound_is_told_so() {
        let with = |bytes: usize| format!("GET / HTTP/1.1\r\ncookie: {}\r\n\r\n", "x".repeat(bytes));
        for bytes in [8_000, 8_192, 12_000] {
            assert_eq!(head(&with(bytes)).all("Cookie").next().map(<[u8]>::len), Some(bytes));
        }
        let long = with(HEAD_BYTES_MAX);
        assert!(Head::parse(&long.as_bytes()[..HEAD_BYTES_MAX - 1]).unwrap().is_none());
        assert_eq!(Head::parse(&long.as_bytes()[..HEAD_BYTES_MAX]).unwrap_err().status, 431);
    }

    #[test]
    fn an_answer_is_printed_with_its_fields_as_they_are_spelled() {
        let answer = Answer::line(426, "no").with("Sec-WebSocket-Version", "13");
        let printed = String::from_utf8(answer.print(true, true)).unwrap();
        assert_eq!(
            printed,
            "HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Sec-WebSocket-Version: 13\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n"
        );
    }
}
