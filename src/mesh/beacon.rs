//! Beacons as datagrams: a short header, what the node sends, and a tag that
//! only the mesh's key makes. Knows no sockets.
//!
//! ```text
//! 0      magic 0xF3
//! 1      version (2 bits), what is left out (2 bits), hint which key (4 bits)
//! 2..6   sequence, big-endian, from 1
//! then   the sender's id (16), its life's counter (4) and random number (8)
//! then   what the node sends
//! last   tag (16): HMAC-SHA-256 of all before, cut (RFC 2104, section 5)
//! ```
//!
//! What the node sends usually begins with two bytes and then says again who
//! sends it, and often in which life (as `fau3-election`'s datagrams do). What
//! stands there is left out of the header: a heartbeat stays below 130 bytes
//! on the wire.

use fau3_election::{DATAGRAM_MAX_BYTES, Incarnation, RouterId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::psk::Key;

/// Most bytes that one beacon carries.
pub const BEACON_MAX_BYTES: usize = DATAGRAM_MAX_BYTES;

/// Longest datagram, in bytes.
pub(super) const SEALED_MAX_BYTES: usize = FIXED_BYTES + NAME_BYTES + BEACON_MAX_BYTES + TAG_BYTES;

const MAGIC: u8 = 0xF3;
const VERSION: u8 = 1;
/// Magic, flags and sequence.
const FIXED_BYTES: usize = 6;
const ID_BYTES: usize = 16;
/// Id, counter and random number.
const NAME_BYTES: usize = 28;
const TAG_BYTES: usize = 16;
/// Where the node's bytes may repeat the sender's name.
const NAME_AT: usize = 2;
/// What the key of the beacons is derived for (RFC 5869, "info").
const LABEL: &[u8] = b"fau3 beacon 1";

/// Who sends, and the how manieth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) sender: RouterId,
    pub(super) incarnation: Incarnation,
    pub(super) sequence: u32,
}

impl Stamp {
    fn name(&self) -> [u8; NAME_BYTES] {
        let mut name = [0; NAME_BYTES];
        name[..16].copy_from_slice(&self.sender.0);
        name[16..20].copy_from_slice(&self.incarnation.counter.to_be_bytes());
        name[20..].copy_from_slice(&self.incarnation.random.to_be_bytes());
        name
    }

    fn read(sequence: [u8; 4], name: &[u8; NAME_BYTES]) -> Self {
        let mut stamp = Self {
            sender: RouterId([0; 16]),
            incarnation: Incarnation::default(),
            sequence: u32::from_be_bytes(sequence),
        };
        let (id, life) = name.split_at(ID_BYTES);
        stamp.sender.0.copy_from_slice(id);
        stamp.incarnation.counter = u32::from_be_bytes([life[0], life[1], life[2], life[3]]);
        stamp.incarnation.random = life[4..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        stamp
    }
}

/// One mesh key, ready for signing.
#[derive(Clone)]
pub(super) struct BeaconKey {
    /// Has taken in the key: what a clone costs is copying.
    mac: Hmac<Sha256>,
    hint: u8,
}

impl BeaconKey {
    /// Derives the beacons' key from the mesh's.
    pub(super) fn new(key: &Key) -> Option<Self> {
        let derived = hkdf_sha256(&[], key.bytes(), LABEL)?;
        Some(Self { mac: keyed(&derived)?, hint: derived[31] & 0x0F })
    }

    fn tag(&self, bytes: &[u8]) -> Hmac<Sha256> {
        self.mac.clone().chain_update(bytes)
    }

    /// Writes the datagram; `None` if the node's bytes are too many.
    pub(super) fn seal(&self, stamp: &Stamp, payload: &[u8]) -> Option<Vec<u8>> {
        if payload.len() > BEACON_MAX_BYTES {
            return None;
        }
        let name = stamp.name();
        let said = payload.get(NAME_AT..).unwrap_or_default();
        let left_out =
            if said.starts_with(&name) { 2 } else { u8::from(said.starts_with(&name[..ID_BYTES])) };
        let mut bytes = Vec::with_capacity(FIXED_BYTES + NAME_BYTES + payload.len() + TAG_BYTES);
        bytes.extend_from_slice(&[MAGIC, VERSION << 6 | left_out << 4 | self.hint]);
        bytes.extend_from_slice(&stamp.sequence.to_be_bytes());
        bytes.extend_from_slice(&name[repeated_bytes(left_out)?..]);
        bytes.extend_from_slice(payload);
        let tag = self.tag(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
        Some(bytes)
    }
}

/// How much of the name stands in the node's bytes only.
fn repeated_bytes(left_out: u8) -> Option<usize> {
    [0, ID_BYTES, NAME_BYTES].get(usize::from(left_out)).copied()
}

/// Who sent a datagram, and what the node's part of it is; `None` unless one
/// of the `keys` made its tag. What is no beacon costs a glance, what is one of
/// another mesh costs at most one tag for each key.
pub(super) fn open<'a>(keys: &[BeaconKey], bytes: &'a [u8]) -> Option<(Stamp, &'a [u8])> {
    let [MAGIC, flags, sequence @ ..] = *bytes.first_chunk::<FIXED_BYTES>()? else { return None };
    if flags >> 6 != VERSION || bytes.len() > SEALED_MAX_BYTES {
        return None;
    }
    let repeated = repeated_bytes(flags >> 4 & 0b11)?;
    let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>()?;
    let (said, payload) = signed.get(FIXED_BYTES..)?.split_at_checked(NAME_BYTES - repeated)?;
    let mut name = [0; NAME_BYTES];
    name[..repeated]
        .copy_from_slice(payload.get(NAME_AT..NAME_AT + repeated).or((repeated == 0).then_some(&[]))?);
    name[repeated..].copy_from_slice(said);
    let mut hinted = keys.iter().filter(|key| key.hint == flags & 0x0F);
    let fits = hinted.any(|key| key.tag(signed).verify_truncated_left(tag).is_ok());
    fits.then(|| (Stamp::read(sequence, &name), payload))
}

/// HKDF for one block of output (RFC 5869, sections 2.2 and 2.3).
fn hkdf_sha256(salt: &[u8], secret: &[u8], info: &[u8]) -> Option<[u8; 32]> {
    let extracted = keyed(salt)?.chain_update(secret).finalize().into_bytes();
    Some(keyed(&extracted)?.chain_update(info).chain_update([1]).finalize().into_bytes().into())
}

/// HMAC takes keys of any length: there is always one.
fn keyed(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

#[cfg(test)]
mod tests {
    use fau3_election::Heartbeat;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn key(byte: u8) -> BeaconKey {
        BeaconKey::new(&Key::new([byte; 32])).unwrap()
    }

    fn stamp(sequence: u32) -> Stamp {
        let incarnation = Incarnation { counter: 5, random: 0x0102_0304_0506_0708 };
        Stamp { sender: RouterId([9; 16]), incarnation, sequence }
    }

    fn heartbeat() -> Vec<u8> {
        let Stamp { sender, incarnation, sequence } = stamp(77);
        let beat = Heartbeat { origin: sender, incarnation, sequence, revision: 1, digest: 2 };
        beat.encode().as_bytes().to_vec()
    }

    #[test]
    fn the_key_is_derived_as_rfc_5869_says() {
        // RFC 5869, A.1, as far as the first block goes.
        let salt: Vec<u8> = (0..13).collect();
        let info: Vec<u8> = (0xF0..=0xF9).collect();
        let hex: String = hkdf_sha256(&salt, &[0x0B; 22], &info)
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }

    #[test]
    fn a_heartbeat_stays_within_130_bytes_on_the_wire() {
        let sealed = key(1).seal(&stamp(1), &heartbeat()).unwrap();
        // Ethernet, IPv6, UDP.
        assert!(14 + 40 + 8 + sealed.len() <= 130, "{}", sealed.len());
        assert_eq!(open(&[key(1)], &sealed), Some((stamp(1), &heartbeat()[..])));
    }

    #[test]
    fn what_others_sealed_or_changed_is_not_opened() {
        let sealed = key(1).seal(&stamp(3), b"hello").unwrap();
        assert!(open(&[key(1)], &sealed).is_some());
        for other in (2..60).map(key) {
            assert!(open(&[other], &sealed).is_none());
        }
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(open(&[key(1)], &forged).is_none(), "byte {at}");
            assert!(open(&[key(1)], &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn while_a_key_is_changed_both_are_good() {
        let sealed = [key(1).seal(&stamp(1), b"a").unwrap(), key(2).seal(&stamp(1), b"b").unwrap()];
        for keys in [[key(1), key(2)], [key(2), key(1)]] {
            assert!(sealed.iter().all(|bytes| open(&keys, bytes).is_some()));
        }
    }

    #[test]
    fn too_long_is_not_sealed() {
        assert!(key(1).seal(&stamp(1), &[0; BEACON_MAX_BYTES]).is_some());
        assert!(key(1).seal(&stamp(1), &[0; BEACON_MAX_BYTES + 1]).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_is_opened_as_it_was(
            payload in vec(any::<u8>(), 0..200), named in 0..3_usize, sequence in any::<u32>()
        ) {
            // Payloads that say nothing, the id, or the id and the life.
            let name = stamp(0).name();
            let payload = [&[0, 0], &name[..[0, ID_BYTES, NAME_BYTES][named]], &payload].concat();
            let sealed = key(1).seal(&stamp(sequence), &payload).unwrap();
            prop_assert_eq!(open(&[key(1)], &sealed), Some((stamp(sequence), &payload[..])));
        }

        #[test]
        fn no_bytes_are_a_beacon_by_chance(mut bytes in vec(any::<u8>(), 0..200), flags in any::<u8>()) {
            for (at, byte) in [MAGIC, flags].into_iter().enumerate().take(bytes.len()) {
                bytes[at] = byte;
            }
            prop_assert!(open(&[key(1), key(2)], &bytes).is_none());
        }
    }
}
