//! What people take for a voice message: files of sound in a container, and
//! text. Told by their first bytes. Pure.

use std::path::Path;

use crate::client::SPEEX_FRAME_BYTES;

/// Bytes by which a format is told: one frame, so that live audio does not wait for more.
pub(super) const HEAD_BYTES: usize = SPEEX_FRAME_BYTES;

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Nothing that is known: taken for bare frames.
    Bare,
    /// Speex in Ogg, which is unwrapped.
    OggSpeex,
    /// Something else, by its name.
    Foreign(&'static str),
}

/// Where in a file something stands, what, and what it is.
const MARKS: [(usize, &[u8], &str); 20] = [
    (8, b"WAVE", "a WAV file"),
    (0, b"RIFF", "a RIFF file"),
    (0, b"RF64", "a WAV file"),
    (8, b"AIFF", "an AIFF file"),
    (0, b".snd", "an AU file"),
    (28, b"OpusHead", "Opus in Ogg"),
    (28, b"\x01vorbis", "Vorbis in Ogg"),
    (28, b"\x7fFLAC", "FLAC in Ogg"),
    (0, b"OggS", "an Ogg file"),
    (0, b"fLaC", "a FLAC file"),
    (0, b"ID3", "an MP3 file"),
    (0, b"\xff\xfb", "an MP3 file"),
    (0, b"\xff\xf3", "an MP3 file"),
    (0, b"\xff\xf2", "an MP3 file"),
    (0, b"\xff\xf1", "an AAC file"),
    (4, b"ftyp", "an MP4 file"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"\x1f\x8b", "a compressed file"),
    (0, b"PK\x03\x04", "a compressed file"),
];

impl Format {
    /// By the first [`HEAD_BYTES`], or all that there is.
    pub(super) fn of(head: &[u8]) -> Self {
        let holds = |at: usize, mark: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(mark));
        if holds(0, b"OggS") && holds(28, b"Speex   ") {
            return Self::OggSpeex;
        }
        let found = MARKS.iter().find(|(at, mark, _)| holds(*at, mark)).map(|(.., name)| *name);
        found.or_else(|| is_text(head).then_some("text")).map_or(Self::Bare, Self::Foreign)
    }
}

/// A frame of Speex that happens to be text is one of 10^16. Less than a frame
/// may be anything.
fn is_text(head: &[u8]) -> bool {
    let is_written = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
    let is_utf_8 = || match std::str::from_utf8(head) {
        Ok(_) => true,
        // Cut within a character.
        Err(error) => error.error_len().is_none(),
    };
    head.len() >= HEAD_BYTES && head.iter().all(is_written) && is_utf_8()
}

/// The line that makes of a file what can be sent.
pub(super) fn conversion(file: &Path) -> String {
    let out = file.with_extension("spx");
    let out = if out == file { file.with_extension("new.spx") } else { out };
    let (file, out) = (quoted(&file.display().to_string()), quoted(&out.display().to_string()));
    format!(
        "convert it, and send {out}:\n  ffmpeg -i {file} -ar 8000 -ac 1 -c:a libspeex {out}\nor\n  \
         sox {file} -r 8000 -c 1 -b 16 -t wav - | speexenc --narrowband --quality 8 - {out}"
    )
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@".contains(&byte);
    match text.starts_with('-') {
        true => quoted(&format!("./{text}")),
        false if !text.is_empty() && text.bytes().all(is_plain) => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_take_for_a_voice_message_is_told_by_its_first_bytes() {
        let padded = |bytes: &[u8]| [bytes, &[0; HEAD_BYTES]].concat();
        let ogg = |what: &[u8]| padded(&[b"OggS\0\x02", &[0; 22][..], what].concat());
        for (head, name) in [
            (padded(b"RIFF\x24\0\0\0WAVEfmt "), "a WAV file"),
            (padded(b"ID3\x04"), "an MP3 file"),
            (padded(b"\xff\xfb\x90"), "an MP3 file"),
            (padded(b"fLaC\0"), "a FLAC file"),
            (ogg(b"OpusHead"), "Opus in Ogg"),
            (ogg(b"\x01vorbis"), "Vorbis in Ogg"),
            (ogg(b"what"), "an Ogg file"),
            (padded(b"\0\0\0\x20ftypM4A "), "an MP4 file"),
            (b"[package]\nname = \"fau3\"\nversion = \"0.1.0\"".to_vec(), "text"),
            ("Добрый день, как слышно? Приём".as_bytes()[..HEAD_BYTES].to_vec(), "text"),
        ] {
            assert_eq!(Format::of(&head), Format::Foreign(name), "{head:?}");
        }
        assert_eq!(Format::of(&ogg(b"Speex   1.2")), Format::OggSpeex);
    }

    #[test]
    fn frames_of_speex_and_what_is_less_than_one_are_taken_as_they_are() {
        let voice = include_bytes!("../../../tests/fixtures/voice/voice.speex");
        assert_eq!(voice.chunks(HEAD_BYTES).find(|frame| Format::of(frame) != Format::Bare), None);
        assert_eq!(Format::of(b"hello\n"), Format::Bare);
        assert_eq!(Format::of(&[7; HEAD_BYTES]), Format::Bare);
        assert_eq!(Format::of(b""), Format::Bare);
    }

    #[test]
    fn the_line_to_type_is_one_that_a_shell_takes() {
        let line = conversion(Path::new("my voice.wav"));
        assert!(line.contains("\n  ffmpeg -i 'my voice.wav' -ar 8000 -ac 1 -c:a libspeex 'my voice.spx'\n"));
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("-x.wav"), "./-x.wav");
        assert!(conversion(Path::new("a.spx")).contains("libspeex a.new.spx"), "not onto itself");
    }
}
