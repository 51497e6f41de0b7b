//! What makes a connection a WebSocket, on the side that is asked (RFC 6455, section 4.2).

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Answer, Head};

/// Whether a request wants a WebSocket, if perhaps not rightly.
pub(crate) fn is_wanted(head: &Head) -> bool {
    head.method == "GET" && head.has("Connection", "upgrade") && head.has("Upgrade", "websocket")
}

/// What it is answered if it is to have one.
///
/// # Errors
/// What it is answered if it asks wrongly.
pub(crate) fn accept(head: &Head) -> Result<Answer, Answer> {
    if !head.is_1_1 {
        return Err(wanted(
            "a WebSocket needs HTTP/1.1, and this request came as HTTP/1.0: set the proxy between to 1.1",
        ));
    }
    let mut versions = head.all("Sec-WebSocket-Version");
    if versions.next() != Some(b"13") {
        let answer = Answer::line(426, "this port speaks WebSocket version 13 (RFC 6455) only");
        return Err(answer.with("Sec-WebSocket-Version", "13"));
    }
    Ok(Answer::switching()
        .with("Upgrade", "websocket")
        .with("Connection", "Upgrade")
        .with("Sec-WebSocket-Accept", accept_key(head)?))
}

/// The answer to a request that should have been for a WebSocket.
pub(crate) fn wanted(text: &str) -> Answer {
    Answer::line(426, text).with("Upgrade", "websocket")
}

/// What proves that the request was understood (RFC 6455, section 4.2.2). Real
/// devices send keys of other lengths than the RFC's 16 bytes: taken as well.
fn accept_key(head: &Head) -> Result<String, Answer> {
    let mut keys = head.all("Sec-WebSocket-Key");
    let reason = match (keys.next(), keys.next()) {
        (Some(key), None) if !key.is_empty() && key.is_ascii() => return Ok(derive_accept_key(key)),
        (None, _) => "the header Sec-WebSocket-Key is missing",
        (Some(_), Some(_)) => "the header Sec-WebSocket-Key is there twice; send it once",
        (Some(_), None) => {
            "the header Sec-WebSocket-Key is empty or not ASCII; send 16 random bytes in base64"
        }
    };
    Err(Answer::line(400, reason))
}
