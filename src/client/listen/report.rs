use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use super::StreamSeen;
use crate::client::clock::Moment;
use crate::client::speex_seconds;
use crate::wire::RoomId;
use crate::wire::fau3d::from_router::Record;

/// One line for each thing that was heard, on standard output: for people, or
/// as JSON for programs.
pub(super) struct Report {
    json: bool,
    room: RoomId,
}

/// A line of `--json`. Fields may be added, never renamed.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Record {
        time_ms: u64,
        client_id: &'a str,
        room: &'a str,
        bytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        message_uuid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<&'a Path>,
    },
    StreamStarted {
        time_ms: u64,
        room: &'a str,
    },
    StreamEnded {
        time_ms: u64,
        room: &'a str,
        frames: u64,
        bytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<&'a Path>,
    },
}

impl Report {
    pub(super) const fn new(json: bool, room: RoomId) -> Self {
        Self { json, room }
    }

    pub(super) fn record(
        &self,
        moment: &Moment,
        record: &Record,
        message_uuid: &str,
        file: Option<&Path>,
    ) -> io::Result<()> {
        let bytes = record.payload.len() as u64;
        let seconds = speex_seconds(bytes);
        let (time_ms, room, client_id) = (moment.unix_ms, self.room.as_str(), record.client_id.as_str());
        self.print(moment, &Line::Record { time_ms, client_id, room, bytes, seconds, message_uuid, file })
    }

    pub(super) fn stream_started(&self, moment: &Moment) -> io::Result<()> {
        self.print(moment, &Line::StreamStarted { time_ms: moment.unix_ms, room: self.room.as_str() })
    }

    pub(super) fn stream_ended(
        &self,
        moment: &Moment,
        seen: &StreamSeen,
        file: Option<&Path>,
    ) -> io::Result<()> {
        let (frames, bytes, seconds) = (seen.frames, seen.bytes, speex_seconds(seen.bytes));
        let (time_ms, room) = (moment.unix_ms, self.room.as_str());
        self.print(moment, &Line::StreamEnded { time_ms, room, frames, bytes, seconds, file })
    }

    fn print(&self, moment: &Moment, line: &Line<'_>) -> io::Result<()> {
        let mut text = if self.json {
            serde_json::to_string(line)?
        } else {
            format!("{}  {}", moment.time(), for_people(line))
        };
        text.push('\n');
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

fn for_people(line: &Line<'_>) -> String {
    let size = |bytes: u64, seconds: Option<f64>, file: Option<&Path>| {
        let seconds = seconds.map_or(String::new(), |seconds| format!("  {seconds:.1} s"));
        let file = file.map_or(String::new(), |file| format!("  {}", file.display()));
        format!("{bytes} bytes{seconds}{file}")
    };
    match *line {
        Line::Record { client_id, room, bytes, seconds, file, .. } => {
            format!("{}  {room}  {}", printable(client_id), size(bytes, seconds, file))
        }
        Line::StreamStarted { room, .. } => format!("stream started  {room}"),
        Line::StreamEnded { room, frames, bytes, seconds, file, .. } => {
            format!("stream ended  {room}  {frames} frames  {}", size(bytes, seconds, file))
        }
    }
}

/// A legacy server passes on any id: none may steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(client_id: &'a str, bytes: u64) -> Line<'a> {
        let seconds = speex_seconds(bytes);
        let (room, message_uuid) = ("r", "u");
        Line::Record { time_ms: 7, client_id, room, bytes, seconds, message_uuid, file: None }
    }

    #[test]
    fn a_line_has_the_seconds_only_of_whole_speex_frames() {
        assert_eq!(for_people(&record("AA:BB", 38_000)), "AA:BB  r  38000 bytes  20.0 s");
        assert_eq!(for_people(&record("AA:BB", 37)), "AA:BB  r  37 bytes");
    }

    #[test]
    fn an_id_does_not_steer_the_terminal() {
        assert_eq!(for_people(&record("\x1b[2Ja\nb", 1)), "\u{fffd}[2Ja\u{fffd}b  r  1 bytes");
    }

    #[test]
    fn json_has_one_object_a_line_whatever_the_id() {
        let text = serde_json::to_string(&record("a\n\"b", 76)).unwrap();
        assert_eq!(
            text,
            r#"{"type":"record","time_ms":7,"client_id":"a\n\"b","room":"r","bytes":76,"seconds":0.04,"message_uuid":"u"}"#
        );
    }
}
