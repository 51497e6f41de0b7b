//! What waits to be written to one client. Sans I/O.
//!
//! Confirms and what keeps a connection alive overtake what is long: on a slow link
//! they wait for the message that is half written, and for no other.
//!
//! Bounded: the router keeps at most 5 Playlists, one Monitor and a few Pings
//! unconfirmed; of Streams only the newest few are kept; and while answers pile
//! up, the door stops reading what would cause more of them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::frames::header;
use super::tails::Tails;
use super::words::status;
use crate::router::{FrameNo, Told};
use crate::wire::fau3d::{confirm, monitor_head, ping, playlist_head};

/// Stream frames that wait for one client; beyond it the oldest goes: old
/// audio is worth nothing.
pub(super) const STREAMS_WAITING_MAX: usize = 8;
/// From this many waiting frames on nothing more is read from the client.
pub(super) const FRAMES_WAITING_MAX: usize = 64;
/// Parts of frames given to the socket at once (Linux takes up to 1,024).
const SLICES_MAX: usize = 64;

/// Frames in the order in which they are to be written: one that is half written,
/// the urgent ones, the others.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    /// Frames of the router's that were appended since the start.
    pushed: FrameNo,
    /// Bytes of the first frame that are written already.
    written: usize,
    /// How many of them are [`Kind::Urgent`].
    urgent: usize,
    streams: usize,
    /// Bytes written since the start.
    total: u64,
    /// Frames to be reported when they have left the socket buffer: number, and
    /// `total` at their end.
    watched: VecDeque<(FrameNo, u64)>,
}

#[derive(Debug)]
struct Frame {
    head: Vec<u8>,
    tail: Option<Arc<[u8]>>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Watched(FrameNo),
    Stream,
    /// Short, and overtakes all that are not. None is watched: those leave in the order
    /// of their numbers.
    Urgent,
}

impl Frame {
    fn len(&self) -> usize {
        self.head.len() + self.tail.as_ref().map_or(0, |tail| tail.len())
    }
}

impl Outbox {
    /// Appends what the router tells, and says how many older Streams were dropped for it.
    pub(super) fn push(&mut self, what: Told, tails: &Tails) -> usize {
        self.pushed += 1;
        let number = self.pushed;
        let text = OpCode::Data(Data::Text);
        match what {
            Told::Answer { token, answer } => {
                let mut body = Vec::with_capacity(64 + token.len());
                confirm(&mut body, &token, status(answer));
                self.append(text, body, None, Kind::Urgent);
            }
            Told::Ask { item } => {
                let mut body = Vec::with_capacity(96);
                ping(&mut body, item);
                self.append(text, body, None, Kind::Watched(number));
            }
            Told::Present { item, clients } => {
                let mut body = Vec::with_capacity(96);
                monitor_head(&mut body, item);
                self.append(text, body, Some(tails.of_clients(&clients)), Kind::Watched(number));
            }
            Told::Item { item, record } => {
                let mut body = Vec::with_capacity(96);
                playlist_head(&mut body, item);
                self.append(text, body, Some(tails.of_record(&record)), Kind::Watched(number));
            }
            Told::Live(frame) => {
                let dropped = self.make_room_for_stream();
                self.streams += 1;
                self.append(OpCode::Data(Data::Binary), Vec::new(), Some(frame), Kind::Stream);
                return dropped;
            }
        }
        0
    }

    /// Appends a Ping with a probe's number. It overtakes what has not left, of which it
    /// is to say nothing.
    pub(super) fn push_probe(&mut self, probe: u32) {
        self.append(OpCode::Control(Control::Ping), probe.to_be_bytes().to_vec(), None, Kind::Urgent);
    }

    /// Appends the answer to a client's Ping.
    pub(super) fn push_pong(&mut self, body: &[u8]) {
        self.append(OpCode::Control(Control::Pong), body.to_vec(), None, Kind::Urgent);
    }

    /// Appends the last frame. Messages that are not begun are dropped: who closes
    /// waits for none, and who comes back gets them again.
    pub(super) fn push_close(&mut self, code: u16, reason: &str) {
        let mut body = code.to_be_bytes().to_vec();
        body.extend_from_slice(&reason.as_bytes()[..reason.len().min(123)]);
        let begun = usize::from(self.written > 0);
        let mut at = 0;
        self.frames.retain(|frame| {
            at += 1;
            at <= begun || frame.kind == Kind::Urgent
        });
        self.streams = self.frames.iter().filter(|frame| frame.kind == Kind::Stream).count();
        self.append(OpCode::Control(Control::Close), body, None, Kind::Urgent);
    }

    fn append(&mut self, opcode: OpCode, body: Vec<u8>, tail: Option<Arc<[u8]>>, kind: Kind) {
        let length = body.len() + tail.as_ref().map_or(0, |tail| tail.len());
        let mut head = Vec::with_capacity(10 + body.len());
        header(&mut head, opcode, length);
        head.extend_from_slice(&body);
        let frame = Frame { head, tail, kind };
        if kind != Kind::Urgent {
            return self.frames.push_back(frame);
        }
        let is_behind_a_message =
            self.written > 0 && self.frames.front().is_some_and(|first| first.kind != Kind::Urgent);
        self.frames.insert(usize::from(is_behind_a_message) + self.urgent, frame);
        self.urgent += 1;
    }

    /// Drops the oldest Stream that is not half written, if there are too many.
    fn make_room_for_stream(&mut self) -> usize {
        if self.streams < STREAMS_WAITING_MAX {
            return 0;
        }
        let begun = usize::from(self.written > 0);
        let oldest = self.frames.iter().skip(begun).position(|frame| frame.kind == Kind::Stream);
        let Some(at) = oldest else { return 0 };
        self.frames.remove(at + begun);
        self.streams -= 1;
        1
    }

    /// Whether everything is written.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether so much waits that nothing more should be read.
    #[must_use]
    pub(super) fn is_crowded(&self) -> bool {
        self.frames.len() >= FRAMES_WAITING_MAX
    }

    /// Shows what is to be written next to `write`, which says how many bytes
    /// of it it took.
    ///
    /// # Errors
    /// `write`'s own.
    pub(super) fn write_with<E>(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let empty: &[u8] = &[];
        let mut slices = [IoSlice::new(empty); SLICES_MAX];
        let mut count = 0;
        let mut skip = self.written;
        'frames: for frame in &self.frames {
            for part in [&frame.head[..], frame.tail.as_deref().unwrap_or(empty)] {
                if count == SLICES_MAX {
                    break 'frames;
                }
                let begin = skip.min(part.len());
                skip -= begin;
                if begin < part.len() {
                    slices[count] = IoSlice::new(&part[begin..]);
                    count += 1;
                }
            }
        }
        let taken = write(&slices[..count])?;
        self.advance(taken);
        Ok(())
    }

    fn advance(&mut self, taken: usize) {
        self.written += taken;
        self.total += taken as u64;
        while let Some(frame) = self.frames.front()
            && self.written >= frame.len()
        {
            self.written -= frame.len();
            match frame.kind {
                Kind::Watched(number) => self.watched.push_back((number, self.total - self.written as u64)),
                Kind::Stream => self.streams -= 1,
                Kind::Urgent => self.urgent -= 1,
            }
            self.frames.pop_front();
        }
        if self.frames.is_empty() && self.frames.capacity() > FRAMES_WAITING_MAX {
            self.frames = VecDeque::new();
        }
    }

    /// Whether frames are to be reported once they have left.
    #[must_use]
    pub(super) fn is_watching(&self) -> bool {
        !self.watched.is_empty() || self.frames.iter().any(|frame| matches!(frame.kind, Kind::Watched(_)))
    }

    /// The newest watched frame that has left, while `unsent` of the bytes
    /// written so far have not.
    pub(super) fn departed(&mut self, unsent: u64) -> Option<FrameNo> {
        let gone = self.total.saturating_sub(unsent);
        let count = self.watched.iter().take_while(|(_, end)| *end <= gone).count();
        self.watched.drain(..count).next_back().map(|(number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::router::Answer;
    use crate::wire::Uuid;

    fn stream(byte: u8) -> Told {
        Told::Live(vec![byte; 3].into())
    }

    /// Writes `at_once` bytes at a time, to the end.
    fn written(outbox: &mut Outbox, at_once: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !outbox.is_empty() {
            let Ok(()) = outbox.write_with::<Infallible>(|slices| {
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).take(at_once).collect();
                out.extend_from_slice(&bytes);
                Ok(bytes.len())
            });
        }
        out
    }

    #[test]
    fn partial_writes_give_the_same_bytes_and_streams_go_out_binary() {
        let wanted =
            [b"{\"MessageType\":\"Confirm\",\"MessageUuid\":\"u\",\"Status\":3}", &[0x82, 3, 1, 1, 1][..]]
                .concat();
        for at_once in [1, 2, 7, 1_000] {
            let (mut outbox, tails) = (Outbox::default(), Tails::default());
            outbox.push(stream(1), &tails);
            outbox.push(Told::Answer { token: "u".into(), answer: Answer::Stored }, &tails);
            let got = written(&mut outbox, at_once);
            assert_eq!(got[2..], wanted, "behind the first header");
        }
    }

    #[test]
    fn old_audio_is_dropped_first_and_nothing_else_is() {
        let (mut outbox, tails) = (Outbox::default(), Tails::default());
        outbox.push(Told::Ask { item: Uuid::from_hash(1) }, &tails);
        let dropped: usize = (0..20).map(|byte| outbox.push(stream(byte), &tails)).sum();
        assert_eq!((outbox.frames.len(), dropped), (1 + STREAMS_WAITING_MAX, 12));
        let out = written(&mut outbox, 9);
        assert!(out.ends_with(&[0x82, 3, 19, 19, 19]));
        assert!(!out.contains(&11) && out.contains(&12));
    }

    /// The kinds of what is written: `c` a Confirm, `9` a ping, `a` a pong, `8` a close,
    /// else the byte of a Stream.
    fn order(outbox: &mut Outbox) -> Vec<u8> {
        let out = written(outbox, 1_000_000);
        let mut frames = Vec::new();
        let mut rest = &out[..];
        while let [first, length, tail @ ..] = rest {
            let (body, after) = tail.split_at(usize::from(*length));
            frames.push(match first & 0xf {
                1 => b'c',
                2 => body[0],
                control => b"89a"[usize::from(control - 8)],
            });
            rest = after;
        }
        frames
    }

    #[test]
    fn confirms_and_control_frames_wait_behind_the_message_that_is_half_written_and_no_other() {
        let (mut outbox, tails) = (Outbox::default(), Tails::default());
        for byte in [b'0', b'1', b'2'] {
            outbox.push(stream(byte), &tails);
        }
        // Given one that is half written,
        let half = outbox.write_with::<Infallible>(|_| Ok(3));
        assert_eq!(half, Ok(()));
        let said = Told::Answer { token: "u".into(), answer: Answer::Stored };
        outbox.push(said.clone(), &tails);
        outbox.push_pong(b"x");
        outbox.push(stream(b'3'), &tails);
        outbox.push_probe(7);
        // then it is ended before what is urgent, in its order,
        assert_eq!(outbox.write_with::<Infallible>(|_| Ok(2)), Ok(()));
        outbox.push(said, &tails);
        assert_eq!(order(&mut outbox), *b"ca9c123");
        assert_eq!((outbox.urgent, outbox.streams), (0, 0));
    }

    #[test]
    fn a_close_is_the_last_frame_and_waits_for_no_message_that_is_not_begun() {
        let (mut outbox, tails) = (Outbox::default(), Tails::default());
        for byte in [b'0', b'1', b'2'] {
            outbox.push(stream(byte), &tails);
        }
        assert_eq!(outbox.write_with::<Infallible>(|_| Ok(3)), Ok(()));
        outbox.push(Told::Answer { token: "u".into(), answer: Answer::Stored }, &tails);
        outbox.push_close(1001, "");
        assert_eq!(outbox.write_with::<Infallible>(|_| Ok(2)), Ok(()));
        assert_eq!(order(&mut outbox), *b"c8");
        assert_eq!((outbox.urgent, outbox.streams), (0, 0));
    }

    #[test]
    fn a_frame_has_left_only_when_all_its_bytes_have() {
        let (mut outbox, tails) = (Outbox::default(), Tails::default());
        outbox.push(Told::Ask { item: Uuid::from_hash(1) }, &tails);
        outbox.push(Told::Ask { item: Uuid::from_hash(2) }, &tails);
        assert!(outbox.is_watching());
        let all = written(&mut outbox, 5).len() as u64;
        assert_eq!(outbox.departed(all), None);
        assert_eq!(outbox.departed(all / 2 + 1), None);
        assert_eq!(outbox.departed(all / 2), Some(1));
        assert_eq!(outbox.departed(1), None);
        assert_eq!(outbox.departed(0), Some(2));
        assert!(!outbox.is_watching());
    }
}
