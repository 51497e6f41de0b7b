//! What waits for one router. Knows no sockets.

use std::collections::VecDeque;

use bytes::Bytes;

use super::api::{Frame, FrameKind, SendOutcome};
use super::frame::FRAME_MAX_BYTES;

/// Most reliable frames that wait for one router.
pub const QUEUE_MAX_FRAMES: usize = 1_024;
/// Most bytes of reliable frames that wait for one router: more than the
/// longest frame.
pub const QUEUE_MAX_BYTES: usize = 2 * 1_024 * 1_024;
/// Most stream frames that wait for one router: 160 ms of voice.
pub const STREAMS_MAX: usize = 8;

/// Frames that wait, in two lanes: streams first, since they are worthless
/// when late, but never more than [`STREAMS_MAX`] of them in a row.
#[derive(Debug, Default)]
pub(super) struct Queue {
    reliable: VecDeque<Bytes>,
    reliable_bytes: usize,
    streams: VecDeque<Bytes>,
    streams_in_a_row: usize,
    /// Someone was told that it is full.
    full: bool,
}

impl Queue {
    /// Takes a frame; also says how many stream frames it pushed out.
    pub(super) fn push(&mut self, frame: Frame) -> (SendOutcome, u32) {
        if frame.bytes.len() > FRAME_MAX_BYTES {
            return (SendOutcome::TooLong, 0);
        }
        match frame.kind {
            FrameKind::Stream => {
                let dropped = self.streams.len() >= STREAMS_MAX && self.streams.pop_front().is_some();
                self.streams.push_back(frame.bytes);
                (SendOutcome::Queued, u32::from(dropped))
            }
            FrameKind::Reliable => {
                let bytes = self.reliable_bytes + frame.bytes.len();
                self.full |= self.reliable.len() >= QUEUE_MAX_FRAMES || bytes > QUEUE_MAX_BYTES;
                if self.full {
                    return (SendOutcome::Full, 0);
                }
                self.reliable_bytes = bytes;
                self.reliable.push_back(frame.bytes);
                (SendOutcome::Queued, 0)
            }
        }
    }

    /// The frame whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let turn_of_reliable = self.streams_in_a_row >= STREAMS_MAX && !self.reliable.is_empty();
        if !turn_of_reliable && let Some(frame) = self.streams.pop_front() {
            self.streams_in_a_row += 1;
            return Some(frame);
        }
        self.streams_in_a_row = 0;
        let frame = self.reliable.pop_front()?;
        self.reliable_bytes -= frame.len();
        Some(frame)
    }

    /// Whether a queue that was full is now half empty. Said once each time.
    pub(super) fn drained(&mut self) -> bool {
        let low = self.reliable.len() <= QUEUE_MAX_FRAMES / 2 && self.reliable_bytes <= QUEUE_MAX_BYTES / 2;
        let drained = self.full && low;
        self.full &= !drained;
        drained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reliable(length: usize) -> Frame {
        Frame::reliable(vec![1; length])
    }

    fn stream(number: u8) -> Frame {
        Frame::stream(vec![number])
    }

    #[test]
    fn a_full_queue_says_so_until_it_is_half_empty_and_then_once() {
        let mut queue = Queue::default();
        let mut taken = 0;
        while queue.push(reliable(9_500)).0 == SendOutcome::Queued {
            taken += 1;
        }
        assert_eq!(taken, QUEUE_MAX_BYTES / 9_500);
        assert_eq!(queue.push(reliable(0)).0, SendOutcome::Full, "order is kept: none slips past");
        let mut said = 0;
        for left in (0..taken).rev() {
            queue.pop().unwrap();
            if queue.drained() {
                said += 1;
                assert!(left * 9_500 <= QUEUE_MAX_BYTES / 2 && (left + 1) * 9_500 > QUEUE_MAX_BYTES / 2);
            }
        }
        assert_eq!(said, 1);
        assert_eq!(queue.push(reliable(1)).0, SendOutcome::Queued);
    }

    #[test]
    fn many_small_frames_are_bounded_by_number() {
        let mut queue = Queue::default();
        let taken = (0..5_000).filter(|_| queue.push(reliable(1)).0 == SendOutcome::Queued).count();
        assert_eq!(taken, QUEUE_MAX_FRAMES);
    }

    #[test]
    fn at_most_eight_streams_wait_and_the_oldest_goes_first() {
        let mut queue = Queue::default();
        let dropped: u32 = (0..20).map(|number| queue.push(stream(number)).1).sum();
        assert_eq!(dropped, 12);
        let left: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|frame| frame[0]).collect();
        assert_eq!(left, (12..20).collect::<Vec<_>>());
    }

    #[test]
    fn streams_overtake_reliable_frames_but_do_not_starve_them() {
        let mut queue = Queue::default();
        let _ = queue.push(reliable(2));
        let mut order = Vec::new();
        for number in 0..12 {
            let _ = queue.push(stream(number));
            order.push(queue.pop().unwrap().len());
        }
        assert_eq!(order.iter().position(|length| *length == 2), Some(STREAMS_MAX));
    }

    #[test]
    fn a_frame_over_the_limit_is_never_taken() {
        let mut queue = Queue::default();
        assert_eq!(queue.push(reliable(FRAME_MAX_BYTES + 1)).0, SendOutcome::TooLong);
        assert_eq!(queue.push(reliable(FRAME_MAX_BYTES)).0, SendOutcome::Queued);
    }
}
