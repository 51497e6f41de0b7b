use std::time::Duration;

use tokio::time::Instant;

/// Silence for longer than this ends a stream: FAU3VOM-D has no other end.
const GAP_MAX: Duration = Duration::from_secs(1);

/// Where a stream begins and ends. Frames do not say who speaks: two who speak
/// at once are one stream.
#[derive(Debug, Default)]
pub(super) struct StreamWatch {
    current: Option<(Instant, StreamSeen)>,
}

/// What a stream held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StreamSeen {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl StreamWatch {
    /// Takes a frame in; whether it begins a stream.
    pub(super) fn heard(&mut self, now: Instant, audio: &[u8]) -> bool {
        let begins = self.current.is_none();
        let (last, seen) = self.current.get_or_insert((now, StreamSeen::default()));
        *last = now;
        seen.frames += 1;
        seen.bytes += audio.len() as u64;
        begins
    }

    /// When the stream is over if nothing more comes; `None` without a stream.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        self.current.map(|(last, _)| last + GAP_MAX)
    }

    /// Ends the stream, if there is one.
    pub(super) fn end(&mut self) -> Option<StreamSeen> {
        self.current.take().map(|(_, seen)| seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_a_second_after_its_last_frame() {
        let start = Instant::now();
        let mut watch = StreamWatch::default();
        assert_eq!((watch.silent_at(), watch.end()), (None, None));
        assert!(watch.heard(start, &[0; 38]));
        assert!(!watch.heard(start + GAP_MAX, &[0; 38]));
        assert_eq!(watch.silent_at(), Some(start + GAP_MAX * 2));
        assert_eq!(watch.end(), Some(StreamSeen { frames: 2, bytes: 76 }));
        assert!(watch.heard(start + GAP_MAX * 3, b"x"), "a new one");
    }
}
