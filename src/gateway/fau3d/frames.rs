//! WebSocket frames (RFC 6455, section 5) of a client, sans I/O.
//!
//! Radios put raw Speex into text frames. A strict WebSocket library ends the
//! connection over such a frame and loses its bytes, so text and binary are the
//! same here: bytes. Headers are read and written by tungstenite; what is done
//! here is the rest, which takes no buffer for a message that comes in one
//! piece, as almost all do.

use std::io::Cursor;
use std::ops::Range;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::wire::fau3d::FRAME_BYTES_MAX;

/// The longest header of a client's frame: 2 bytes, 8 of length, 4 of mask.
const HEADER_BYTES_MAX: usize = 14;
/// The longest payload of a control frame (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// Something whole that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A message, text or binary.
    Message(Body),
    /// To be answered with a Pong that holds the same.
    Ping(Body),
    /// The answer to a Ping.
    Pong(Body),
    /// The client says goodbye; its code and reason.
    Close(Body),
}

/// Where the bytes of a message are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// In the chunk given to [`Decoder::next`], unmasked.
    InChunk(Range<usize>),
    /// In the decoder: see [`Decoder::body`].
    Kept(Kept),
}

/// Which of a decoder's two buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Of a message.
    Message,
    /// Of a control frame, which may come amid a message.
    Control,
}

/// How a client broke the rules: the close code to answer with, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// RFC 6455, section 7.4.1.
    pub code: u16,
    /// One line.
    pub reason: &'static str,
}

const fn protocol_error(reason: &'static str) -> Violation {
    Violation { code: 1002, reason }
}

const TOO_BIG: Violation = Violation { code: 1009, reason: "a message may have 1 MiB at most" };

/// Turns a client's bytes into messages, in chunks of whatever size.
#[derive(Debug, Default)]
pub struct Decoder {
    /// A header that has not come in whole.
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    frame: Option<Frame>,
    /// The message so far, if it came in pieces.
    message: Vec<u8>,
    /// Whether fragments of a message have come in and its last is missing.
    fragmented: bool,
    control: Vec<u8>,
    /// The buffer in which the last message was handed out is to be emptied.
    handed_out: Option<Kept>,
}

/// The frame whose payload is coming in.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    is_final: bool,
    mask: [u8; 4],
    /// Payload that is still to come, and that has come, in bytes.
    missing: usize,
    seen: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Ping,
    Pong,
    Close,
}

impl Decoder {
    /// Takes bytes from the start of `chunk`, which it unmasks in place. Says
    /// how many it took, and what became whole with them. To be called again
    /// with the rest until that is empty.
    ///
    /// # Errors
    /// [`Violation`], after which the decoder is of no more use.
    pub fn next(&mut self, chunk: &mut [u8]) -> Result<(usize, Option<Received>), Violation> {
        self.release();
        let mut used = 0;
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => match self.read_header(chunk)? {
                (taken, None) => return Ok((taken, None)),
                (taken, Some(frame)) => {
                    used = taken;
                    frame
                }
            },
        };
        let here = frame.missing.min(chunk.len() - used);
        let payload = used..used + here;
        unmask(&mut chunk[payload.clone()], frame.mask, frame.seen);
        frame.missing -= here;
        frame.seen += here;
        let received = self.take(&frame, chunk, payload.clone());
        if frame.missing > 0 {
            self.frame = Some(frame);
        }
        Ok((payload.end, received))
    }

    /// The bytes of what [`Self::next`] has just handed out.
    #[must_use]
    pub fn body<'a>(&'a self, chunk: &'a [u8], body: &Body) -> &'a [u8] {
        match body {
            Body::InChunk(range) => &chunk[range.clone()],
            Body::Kept(Kept::Message) => &self.message,
            Body::Kept(Kept::Control) => &self.control,
        }
    }

    /// Gives back the memory of what was handed out last. Idle clients hold
    /// none: to be called when it has been looked at.
    pub fn release(&mut self) {
        match self.handed_out.take() {
            Some(Kept::Message) => self.message = Vec::new(),
            Some(Kept::Control) => self.control = Vec::new(),
            None => {}
        }
    }

    /// Bytes held of a message that has begun and not ended, or that was handed
    /// out and not released.
    #[must_use]
    pub fn held(&self) -> usize {
        self.message.len()
    }

    fn read_header(&mut self, chunk: &[u8]) -> Result<(usize, Option<Frame>), Violation> {
        let before = self.header_len;
        let more = chunk.len().min(HEADER_BYTES_MAX - before);
        self.header[before..before + more].copy_from_slice(&chunk[..more]);
        let mut cursor = Cursor::new(&self.header[..before + more]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| protocol_error("unknown opcode"))?;
        let Some((header, length)) = parsed else {
            self.header_len = before + more;
            return Ok((more, None));
        };
        self.header_len = 0;
        let header_bytes = usize::try_from(cursor.position()).unwrap_or(HEADER_BYTES_MAX);
        Ok((header_bytes - before, Some(self.check(&header, length)?)))
    }

    fn check(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(protocol_error("a reserved bit is set, and no extension was agreed on"));
        }
        let mask = header.mask.ok_or(protocol_error("a client's frames must be masked"))?;
        let kind = match header.opcode {
            OpCode::Data(Data::Continue) if !self.fragmented => {
                return Err(protocol_error("a continuation of nothing"));
            }
            OpCode::Data(Data::Continue) => Kind::Data,
            OpCode::Data(_) if self.fragmented => {
                return Err(protocol_error("a new message amid the fragments of another"));
            }
            OpCode::Data(_) => Kind::Data,
            OpCode::Control(Control::Ping) => Kind::Ping,
            OpCode::Control(Control::Pong) => Kind::Pong,
            OpCode::Control(_) => Kind::Close,
        };
        if kind == Kind::Data {
            // Any 64 bits may be announced: what is compared is never a sum.
            if length > FRAME_BYTES_MAX.saturating_sub(self.message.len()) as u64 {
                return Err(TOO_BIG);
            }
            self.fragmented = !header.is_final;
        } else if !header.is_final || length > CONTROL_BYTES_MAX {
            return Err(protocol_error("a control frame must be whole and have 125 bytes at most"));
        }
        // Bounded by the checks above.
        Ok(Frame { kind, is_final: header.is_final, mask, missing: length as usize, seen: 0 })
    }

    /// Takes a piece of payload; hands out what is whole with it.
    fn take(&mut self, frame: &Frame, chunk: &[u8], payload: Range<usize>) -> Option<Received> {
        let whole = frame.missing == 0 && frame.is_final;
        let kept = if frame.kind == Kind::Data { Kept::Message } else { Kept::Control };
        let buffer = if kept == Kept::Message { &mut self.message } else { &mut self.control };
        let body = if whole && buffer.is_empty() {
            Body::InChunk(payload)
        } else {
            buffer.extend_from_slice(&chunk[payload]);
            if !whole {
                return None;
            }
            self.handed_out = Some(kept);
            Body::Kept(kept)
        };
        Some(match frame.kind {
            Kind::Data => Received::Message(body),
            Kind::Ping => Received::Ping(body),
            Kind::Pong => Received::Pong(body),
            Kind::Close => Received::Close(body),
        })
    }
}

/// `seen`: bytes of the same frame before these.
fn unmask(bytes: &mut [u8], mask: [u8; 4], seen: usize) {
    let mut mask = mask;
    mask.rotate_left(seen % 4);
    let mut words = bytes.chunks_exact_mut(4);
    let word_mask = u32::from_ne_bytes(mask);
    for word in &mut words {
        let unmasked = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]) ^ word_mask;
        word.copy_from_slice(&unmasked.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// Appends the header of a whole frame to a client (never masked).
pub fn header(out: &mut Vec<u8>, opcode: OpCode, length: usize) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let written = header.format(length as u64, out);
    debug_assert!(written.is_ok(), "a Vec takes whatever is written");
}

#[cfg(test)]
mod tests;
