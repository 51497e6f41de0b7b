//! What waits for one client's socket: packets of a call in order, of which the oldest
//! audio goes first where the client does not keep up.

use std::collections::VecDeque;
use std::time::Duration;

use fau3_election::Time;

use crate::wire::call::{Packet, Parameters};

/// So much audio waits for a slow client, by the call's own rate (PROTOCOLS.md, section
/// 3): more would be heard too late.
const AUDIO_WAITING_MS: u64 = 200;
/// And so many packets in any case, since of large ones one alone may be longer.
const PACKETS_WAITING: usize = 10;
/// However many: with what the sockets hold, a call stays below 256 KiB.
const AUDIO_BYTES_MAX: usize = 128 * 1024;
/// A client that takes nothing for so long cannot be in a call.
pub(super) const BLOCKED_MAX: Duration = Duration::from_secs(5);
/// Other packets that may wait; a client that has more does not read at all.
pub(super) const SIGNALS_MAX: usize = 32;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: VecDeque<Packet>,
    audio_packets: usize,
    audio_bytes: usize,
    /// Since when something waits and nothing was taken.
    waits_since: Option<Time>,
    /// Whole packets of audio that were let go.
    pub(super) dropped: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether the client has been given more than anyone who reads lets wait.
    pub(super) fn is_full(&self) -> bool {
        self.packets.len() - self.audio_packets >= SIGNALS_MAX
    }

    /// By when something has to be taken.
    pub(super) fn due(&self) -> Option<Time> {
        self.waits_since.map(|since| since + BLOCKED_MAX)
    }

    pub(super) fn push(&mut self, now: Time, packet: Packet) {
        self.packets.push_back(packet);
        self.waits_since.get_or_insert(now);
    }

    /// Audio, by how it was agreed upon.
    pub(super) fn push_audio(&mut self, now: Time, audio: std::sync::Arc<[u8]>, parameters: Parameters) {
        self.audio_packets += 1;
        self.audio_bytes += audio.len();
        self.push(now, Packet::Audio(audio));
        let enough = usize::try_from(parameters.bytes_a_second() * AUDIO_WAITING_MS / 1_000);
        let enough = enough.unwrap_or(usize::MAX);
        while self.audio_packets > 1
            && (self.audio_bytes > AUDIO_BYTES_MAX
                || (self.audio_packets > PACKETS_WAITING && self.audio_bytes > enough))
        {
            self.drop_oldest_audio();
        }
    }

    fn drop_oldest_audio(&mut self) {
        let oldest = self.packets.iter().position(|packet| matches!(packet, Packet::Audio(_)));
        if let Some(Packet::Audio(audio)) = oldest.and_then(|at| self.packets.remove(at)) {
            self.audio_packets -= 1;
            self.audio_bytes -= audio.len();
            self.dropped += 1;
        }
    }

    /// The next packet for the socket, which takes it now.
    pub(super) fn next(&mut self, now: Time) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        if let Packet::Audio(audio) = &packet {
            self.audio_packets -= 1;
            self.audio_bytes -= audio.len();
        }
        self.waits_since = (!self.packets.is_empty()).then_some(now);
        Some(packet)
    }

    /// Audio that nobody is to hear any more.
    pub(super) fn forget_audio(&mut self) {
        self.packets.retain(|packet| !matches!(packet, Packet::Audio(_)));
        (self.audio_packets, self.audio_bytes) = (0, 0);
        if self.packets.is_empty() {
            self.waits_since = None;
        }
    }
}
