//! Takes the frames of Speex out of Ogg (RFC 3533; the Speex manual, "Ogg
//! file format"), as they come.

use std::io::{self, Read};

use crate::client::SPEEX_FRAME_BYTES;

/// Bytes of a page before its table of segments.
const PAGE_HEAD_BYTES: usize = 27;
/// The largest packet, in bytes: a comment may be long.
const PACKET_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the first packet.
const SPEEX_HEAD_BYTES: usize = 80;

/// Bare frames, read from Ogg.
pub(super) struct OggSpeex<R> {
    input: R,
    /// Lengths of the page's segments that are not read yet, in reverse.
    segments: Vec<u8>,
    packet: Vec<u8>,
    /// How much of the packet has been read.
    at: usize,
    /// Packets until the audio begins; `None`: the first one says it.
    heads: Option<u32>,
}

impl<R: Read> OggSpeex<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, segments: Vec::new(), packet: Vec::new(), at: 0, heads: None }
    }

    /// Reads the next packet; `false` at the end.
    fn next_packet(&mut self) -> io::Result<bool> {
        self.packet.clear();
        self.at = 0;
        loop {
            let Some(length) = self.segments.pop() else {
                if self.next_page()? {
                    continue;
                }
                return if self.packet.is_empty() { Ok(false) } else { Err(wrong("it is cut off")) };
            };
            let old = self.packet.len();
            self.packet.resize(old + usize::from(length), 0);
            exactly(&mut self.input, &mut self.packet[old..])?;
            if length < u8::MAX {
                return Ok(true);
            }
            if self.packet.len() > PACKET_BYTES_MAX {
                return Err(wrong("a packet is longer than 64 KiB"));
            }
        }
    }

    fn next_page(&mut self) -> io::Result<bool> {
        let mut head = Vec::with_capacity(PAGE_HEAD_BYTES);
        self.input.by_ref().take(PAGE_HEAD_BYTES as u64).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(false);
        }
        if head.len() < PAGE_HEAD_BYTES || !head.starts_with(b"OggS") {
            return Err(wrong("it is cut off, or something else follows"));
        }
        self.segments.resize(usize::from(head[PAGE_HEAD_BYTES - 1]), 0);
        exactly(&mut self.input, &mut self.segments)?;
        self.segments.reverse();
        Ok(true)
    }

    /// Takes a packet that is no audio; `false`: it is.
    fn take_head(&mut self) -> io::Result<bool> {
        self.heads = match self.heads {
            None => Some(check_head(&self.packet)?),
            // Another stream behind the first one.
            Some(_) if self.packet.starts_with(b"Speex   ") => Some(check_head(&self.packet)?),
            Some(0) => return Ok(false),
            Some(left) => Some(left - 1),
        };
        Ok(true)
    }
}

impl<R: Read> Read for OggSpeex<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.packet.len() {
            if !self.next_packet()? {
                return Ok(0);
            }
            if self.take_head()? {
                self.packet.clear();
            } else if !self.packet.is_empty() && self.packet.len() != SPEEX_FRAME_BYTES {
                let length = self.packet.len();
                return Err(wrong(&format!("its frames have {length} bytes, those of quality 8 have 38")));
            }
        }
        let count = (&self.packet[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

/// How many packets follow before the audio.
fn check_head(packet: &[u8]) -> io::Result<u32> {
    if packet.len() < SPEEX_HEAD_BYTES || !packet.starts_with(b"Speex   ") {
        return Err(wrong("its first packet is not that of Speex"));
    }
    let field = |at: usize| {
        let bytes = packet[at..at + 4].try_into().unwrap_or_else(|_| unreachable!("four bytes"));
        u32::from_le_bytes(bytes)
    };
    let (rate, mode, channels, frames, more) = (field(36), field(40), field(48), field(64), field(68));
    if (rate, mode, channels, frames.max(1)) != (8_000, 0, 1, 1) {
        return Err(wrong(&format!(
            "it has {rate} Hz, mode {mode}, {channels} channels and {frames} frames a packet, and not 8000, 0 \
             (narrowband), 1 and 1"
        )));
    }
    Ok(more.saturating_add(1))
}

fn exactly(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<()> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => wrong("it is cut off"),
        _ => error,
    })
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A page with one packet, as an encoder writes it; its checksum is not looked at.
    fn page(packets: &[&[u8]]) -> Vec<u8> {
        let mut table = Vec::new();
        for packet in packets {
            table.extend(std::iter::repeat_n(255, packet.len() / 255));
            table.push((packet.len() % 255) as u8);
        }
        [&b"OggS"[..], &[0; 22], &[table.len() as u8], &table, &packets.concat()].concat()
    }

    fn head(rate: u32, channels: u32) -> Vec<u8> {
        let mut head = [b"Speex   1.2.1".as_slice(), &[0; SPEEX_HEAD_BYTES - 13]].concat();
        for (at, value) in [(36, rate), (48, channels), (64, 1)] {
            head[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        head
    }

    /// A whole file with these frames.
    pub(in crate::client::talk) fn file(frames: &[&[u8]]) -> Vec<u8> {
        [page(&[&head(8_000, 1)]), page(&[&[b'c'; 600]]), page(frames)].concat()
    }

    fn unwrapped(file: &[u8]) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = OggSpeex::new(file).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn frames_come_out_of_ogg_as_they_went_in_and_a_second_stream_behind_them() {
        let (one, two) = ([1; SPEEX_FRAME_BYTES], [2; SPEEX_FRAME_BYTES]);
        let file = file(&[&one, &two]);
        assert_eq!(unwrapped(&file).unwrap(), [one, two].concat());
        assert_eq!(unwrapped(&[&file[..], &file[..]].concat()).unwrap(), [one, two, one, two].concat());
    }

    #[test]
    fn what_radios_cannot_play_is_refused_with_the_reason() {
        let frame = [1; SPEEX_FRAME_BYTES];
        for (file, why) in [
            (page(&[&head(16_000, 1)]), "16000 Hz"),
            (page(&[&head(8_000, 2)]), "2 channels"),
            (file(&[&[1; 20]]), "20 bytes"),
            (file(&[&frame])[..700].to_vec(), "cut off"),
            ([file(&[&frame]), b"and more, which is no page of Ogg".to_vec()].concat(), "something else"),
            (page(&[b"OpusHead"]), "not that of Speex"),
            ([page(&[&head(8_000, 1)]), vec![b'O'; 5]].concat(), "cut off"),
        ] {
            let error = unwrapped(&file).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn a_packet_without_an_end_is_not_taken_in() {
        let endless = [&b"OggS"[..], &[0; 22], &[255], &[255; 255], &[0; 255 * 255]].concat();
        assert!(unwrapped(&endless.repeat(2)).unwrap_err().contains("64 KiB"));
    }
}
