//! What the load generator needs of a protocol, so that both servers get the same load from the same code. It
//! knows nothing of sockets: bytes in, events out.

use std::error::Error;

/// The bench's own result: the text of an error ends up beside the work that failed.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Stored and confirmed on every hop: Propogate and Playlist, or PUBLISH at QoS 1.
    Record,
    /// Live audio, never confirmed: Stream, or PUBLISH at QoS 0.
    Frame,
}

/// The first bytes of every payload: who sent it as which, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    /// The sender's room; each room has one sender.
    pub(crate) room: u32,
    /// The sender's count, from 0.
    pub(crate) seq: u32,
    /// Microseconds on the generator's clock.
    pub(crate) sent_us: u64,
}

/// Bytes of a stamp. A multiple of 3, so that its base64 is the same whatever follows it.
pub(crate) const STAMP_BYTES: usize = 24;
const MAGIC: [u8; 8] = *b"fau3\xFF\x80\x00\x01";

impl Stamp {
    pub(crate) fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&self.room.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.seq.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sent_us.to_be_bytes());
        bytes[16..].copy_from_slice(&MAGIC);
        bytes
    }

    /// `None`: these bytes were never a stamp of ours.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Stamp> {
        let bytes: &[u8; STAMP_BYTES] = bytes.get(..STAMP_BYTES)?.try_into().ok()?;
        let (room, rest) = bytes.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (sent_us, magic) = rest.split_first_chunk()?;
        (magic == MAGIC).then_some(Stamp {
            room: u32::from_be_bytes(*room),
            seq: u32::from_be_bytes(*seq),
            sent_us: u64::from_be_bytes(*sent_us),
        })
    }
}

/// What follows the stamp, the same in every message of one load.
pub(crate) struct Payload {
    pub(crate) kind: Kind,
    /// As it stands on the wire of the dialect that made it.
    pub(crate) tail: Vec<u8>,
}

/// `len` bytes that are neither text nor all alike.
pub(crate) fn filler(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 151 + i / 256 + 7).to_le_bytes()[0]).collect()
}

/// What a frame from the server meant.
pub(crate) enum Event {
    /// The session is open.
    Welcome,
    Subscribed,
    /// The server took responsibility for the record with this [`message_id`].
    Confirmed(u16),
    /// A message of ours came out; `None` if it is not what was sent, byte for byte.
    Delivered(Option<Stamp>),
    /// Nothing that the load needs to know, a keep-alive for instance.
    Other,
}

/// A record's number on its sender's connection; MQTT allows 1 to 65,535.
pub(crate) fn message_id(seq: u32) -> u16 {
    u16::try_from(seq % 65_535 + 1).unwrap_or(1)
}

/// One protocol, spoken from the client's side.
pub(crate) trait Dialect {
    /// Opens the session of `client`; answered with [`Event::Welcome`].
    fn hello(&self, client: &str) -> Vec<u8>;

    /// Answered with [`Event::Subscribed`].
    fn subscribe(&self, room: u32, kind: Kind) -> Vec<u8>;

    /// Whether live frames go to the room that their sender is subscribed to, rather than to one that they name.
    fn speaks_where_subscribed(&self) -> bool;

    /// A payload of `len` bytes, of which the stamp is the first [`STAMP_BYTES`].
    fn payload(&self, kind: Kind, len: usize) -> Payload;

    /// Appends to `out` what sends one message.
    fn publish(&self, stamp: Stamp, payload: &Payload, out: &mut Vec<u8>);

    /// Reads one whole frame from the front of `input`, appends to `out` what must be answered, and returns the
    /// frame's length; `None` if more bytes are needed.
    ///
    /// # Errors
    /// The server refused, closed the session or broke the protocol.
    fn take(&self, input: &[u8], payload: &Payload, out: &mut Vec<u8>) -> Result<Option<(usize, Event)>>;
}
