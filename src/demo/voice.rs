//! What is said: a spoken sentence in a loop, cut into short voice messages of
//! which no two are the same, so that whoever hears one knows which it is.

use std::collections::BTreeMap;

use crate::client::{SPEEX_FRAME_BYTES, SPEEX_FRAME_MS};

/// Six seconds of speech, as bare Speex frames.
static VOICE: &[u8] = include_bytes!("../../tests/fixtures/voice/voice.speex");
/// Frames in the sentence.
const FRAMES: usize = VOICE.len() / SPEEX_FRAME_BYTES;
/// Frames of one message. It has no divisor in common with [`FRAMES`], so that
/// each message of the loop begins elsewhere in the sentence.
const MESSAGE_FRAMES: usize = 11;
/// Messages until they would begin to repeat: 67 s of them.
pub(super) const MESSAGES_MAX: u64 = FRAMES as u64;
/// What one message plays, in milliseconds.
pub(super) const MESSAGE_MS: u64 = MESSAGE_FRAMES as u64 * SPEEX_FRAME_MS;

/// The message of this number, from 0 on.
pub(super) fn message(number: u64) -> Vec<u8> {
    let first = (number % MESSAGES_MAX) as usize * MESSAGE_FRAMES;
    let frame = |at: usize| &VOICE[at % FRAMES * SPEEX_FRAME_BYTES..][..SPEEX_FRAME_BYTES];
    (first..first + MESSAGE_FRAMES).flat_map(frame).copied().collect()
}

/// Knows each message again.
pub(super) struct Ear(BTreeMap<Vec<u8>, u64>);

impl Ear {
    pub(super) fn new() -> Self {
        Self((0..MESSAGES_MAX).map(|number| (message(number), number)).collect())
    }

    /// Its number; `None` if it is none of them.
    pub(super) fn number(&self, payload: &[u8]) -> Option<u64> {
        self.0.get(payload).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_known_again_by_its_sound() {
        let ear = Ear::new();
        assert_eq!(ear.0.len() as u64, MESSAGES_MAX, "two messages are the same");
        for number in 0..MESSAGES_MAX {
            assert_eq!(ear.number(&message(number)), Some(number));
        }
        assert_eq!(ear.number(b"something else"), None);
    }

    #[test]
    fn the_messages_one_after_the_other_are_the_sentence_over_and_over() {
        let said: Vec<u8> = (0..MESSAGES_MAX).flat_map(message).collect();
        assert!(VOICE.len().is_multiple_of(SPEEX_FRAME_BYTES));
        assert_eq!(said, VOICE.repeat(MESSAGE_FRAMES));
    }
}
