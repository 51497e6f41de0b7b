use std::time::Duration;

use tokio::time::Instant;

use super::source::Source;
use super::{Event, Talk};
use crate::client::core::{Input, Invalid};
use crate::client::error::Error;
use crate::client::{SPEEX_FRAME_BYTES, SPEEX_FRAME_MS};

/// Time between two frames.
const FRAME_SPAN: Duration = Duration::from_millis(SPEEX_FRAME_MS);
/// What is late by less is caught up with; by more, the rest is sent later: no
/// burst of old audio.
const CATCH_UP_MAX: Duration = Duration::from_millis(200);

impl Talk {
    /// Sends files live. Without a connection it pauses: a file can wait.
    pub(super) async fn stream(&mut self, sources: &[Source]) -> Result<(), Error> {
        for source in sources {
            let sent = self.stream_one(source).await?;
            let seconds = seconds(sent);
            self.report(&format!("streamed {source} ({sent} frames, {seconds:.1} s)"));
        }
        Ok(())
    }

    async fn stream_one(&mut self, source: &Source) -> Result<u64, Error> {
        let total = source.bytes()?.map(|bytes| bytes.div_ceil(SPEEX_FRAME_BYTES as u64));
        let mut frames = source.frames();
        let mut next_frame = None;
        let mut pace = Pace::new(Instant::now());
        let mut waiting_since = Instant::now();
        let mut sent = 0;
        loop {
            let is_ready = self.link.is_ready();
            tokio::select! {
                event = self.link.next() => {
                    let event = event?;
                    self.note(&event);
                    match event {
                        Event::Down(_) if is_ready => waiting_since = Instant::now(),
                        Event::Invalid(Invalid::Subscribe) => {
                            return Err(Error::Invalid { what: format!("the room {}", self.room) });
                        }
                        _ => {}
                    }
                }
                received = frames.recv(), if next_frame.is_none() => match received {
                    Some(frame) => next_frame = Some(self.whole(source, frame?)),
                    None => return Ok(sent),
                },
                () = tokio::time::sleep_until(pace.due), if is_ready && next_frame.is_some() => {
                    if !self.link.is_clear() {
                        // The frame before has not left: a slow link is not
                        // loaded with more.
                        pace.pause(Instant::now());
                    } else if let Some(frame) = next_frame.take() {
                        self.link.give(Input::Stream(&frame));
                        pace.sent(Instant::now());
                        sent += 1;
                        self.progress.show(|| progress(source, sent, total));
                    }
                }
                () = tokio::time::sleep_until(waiting_since + self.timeout), if !is_ready => {
                    return Err(self.timed_out(source, None));
                }
            }
        }
    }

    /// Tells of a frame that is none: it is sent all the same, for what it is.
    fn whole(&mut self, source: &Source, frame: Vec<u8>) -> Vec<u8> {
        if frame.len() != SPEEX_FRAME_BYTES {
            let length = frame.len();
            self.progress.notice(&format!(
                "{source} is not a whole number of {SPEEX_FRAME_BYTES}-byte frames: the last one has {length}"
            ));
        }
        frame
    }
}

fn seconds(frames: u64) -> f64 {
    (frames * SPEEX_FRAME_MS) as f64 / 1_000.0
}

fn progress(source: &Source, sent: u64, total: Option<u64>) -> String {
    let of = total.map_or(String::new(), |total| format!(" of {:.1}", seconds(total)));
    format!("streaming {source}: {:.1}{of} s", seconds(sent))
}

/// When the next frame is due: every 20 ms, without drift.
struct Pace {
    due: Instant,
}

impl Pace {
    const fn new(now: Instant) -> Self {
        Self { due: now }
    }

    fn sent(&mut self, now: Instant) {
        self.due += FRAME_SPAN;
        if now.saturating_duration_since(self.due) > CATCH_UP_MAX {
            self.pause(now);
        }
    }

    fn pause(&mut self, now: Instant) {
        self.due = now + FRAME_SPAN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_to_20_ms_and_a_long_pause_is_not_caught_up_with() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(start);
        // A little late each time: no drift.
        for number in 0..100 {
            assert_eq!(pace.due, at(number * 20));
            pace.sent(at(number * 20 + 3));
        }
        // 100 ms late: caught up with at once.
        pace.sent(at(2_100));
        assert_eq!(pace.due, at(2_020));
        // A second late: from here on.
        pace.sent(at(3_100));
        assert_eq!(pace.due, at(3_120));
    }
}
