//! `fau3 talk`: says files in a room, as records or live.

mod format;
mod ogg;
mod source;
mod stream;

use std::io::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use self::source::Source;
use super::args::{ServerArgs, Url};
use super::core::{Event, Settings};
use super::error::Error;
use super::link::{ClientSocket, seed};
use super::progress::Progress;
use super::speex_seconds;
use crate::wire::fau3d::{self, FRAME_BYTES_MAX, Status};
use crate::wire::{BODY_BYTES_MAX, ClientId, RoomId, Uuid};

/// Send files to a room: each one as a voice message, or live
///
/// Each file is sent as one record, and the next one once the router has
/// stored the one before. A file holds bare frames of Speex, or Speex in Ogg
/// (narrowband, quality 8: 38 bytes for 20 ms). Prints a line for each. Connects again by itself, and
/// sends again what was not confirmed, which the router then stores once. Exit
/// status: 0 once everything is stored, 1 if not, 2 for wrong usage.
#[derive(Debug, Clone, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    fau3 talk --room kitchen message.speex\n  \
    fau3 talk --room kitchen --url ws://192.168.1.1:8901 one.speex two.speex\n  \
    ffmpeg -i message.wav -ar 8000 -ac 1 -c:a libspeex message.spx && fau3 talk --room kitchen message.spx\n  \
    record-speex | fau3 talk --room kitchen --stream -"
)]
pub struct TalkArgs {
    #[command(flatten)]
    server: ServerArgs,

    /// Send the files live: 38 bytes, one Speex frame, every 20 ms, not stored
    /// anywhere
    #[arg(long)]
    stream: bool,

    /// Give up on a file that is not stored after this many seconds, or on a
    /// stream that has no connection for so long
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    timeout_s: u32,

    /// Files to send, in this order; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<Source>,
}

/// Sends everything, and returns once it is stored (or, live, has left).
///
/// # Errors
/// The first file that could not be read, sent or stored ends it; those before
/// it are stored, those after it are not sent.
pub async fn talk(args: TalkArgs) -> Result<(), Error> {
    let seed = seed()?;
    let client_id = args.server.client_id_or(seed);
    let limit = payload_bytes_max(&args.server.room, &client_id);
    for source in &args.files {
        // What is wrong with the last file shall be known before the first is
        // sent.
        source.check((!args.stream).then_some(limit))?;
    }
    // Live audio goes to the room that the speaker is in.
    let room = args.stream.then(|| args.server.room.clone());
    let settings = Settings { room, listens: false, seed };
    let mut talk = Talk {
        link: ClientSocket::new(args.server.url(), client_id, settings),
        url: args.server.url(),
        room: args.server.room,
        timeout: Duration::from_secs(args.timeout_s.into()),
        limit,
        progress: Progress::new(),
        was_up: false,
        down: None,
    };
    let outcome = if args.stream { talk.stream(&args.files).await } else { talk.send(&args.files).await };
    talk.progress.clear();
    talk.link.leave().await;
    outcome
}

/// The largest payload, in bytes, that fits a frame on its way to the router
/// as well as on its way to a listener.
fn payload_bytes_max(room: &RoomId, client_id: &ClientId) -> usize {
    let uuid = Uuid::from_hash(0);
    let mut propogate = Vec::new();
    fau3d::propogate(&mut propogate, &uuid.to_string(), room, &[]);
    let playlist = fau3d::playlist_frame_bytes(client_id, 0);
    ((FRAME_BYTES_MAX - propogate.len().max(playlist)) / 4 * 3).min(BODY_BYTES_MAX)
}

/// One run of the command.
struct Talk {
    link: ClientSocket,
    url: Url,
    room: RoomId,
    timeout: Duration,
    /// Bytes of a record.
    limit: usize,
    progress: Progress,
    /// There has been a connection.
    was_up: bool,
    /// There is none, for this reason.
    down: Option<String>,
}

impl Talk {
    async fn send(&mut self, sources: &[Source]) -> Result<(), Error> {
        for (at, source) in sources.iter().enumerate() {
            let payload = self.read(source).await?;
            self.link.say(&self.room, &payload);
            let label = format!("{source} ({} of {})", at + 1, sources.len());
            self.wait_until_stored(source, &label).await?;
            let bytes = payload.len();
            let seconds = speex_seconds(bytes as u64);
            let seconds = seconds.map_or(String::new(), |seconds| format!(", {seconds:.1} s of Speex"));
            self.report(&format!("stored {source} ({bytes} bytes{seconds})"));
        }
        Ok(())
    }

    /// Reads a file while the connection is kept going: standard input may
    /// take its time.
    async fn read(&mut self, source: &Source) -> Result<Vec<u8>, Error> {
        let mut reading = source.read(self.limit);
        loop {
            let event = tokio::select! {
                read = &mut reading => return read,
                event = self.link.next() => event?,
            };
            self.note(&event);
        }
    }

    async fn wait_until_stored(&mut self, source: &Source, label: &str) -> Result<(), Error> {
        let since = Instant::now();
        let mut redraw = tokio::time::interval(Duration::from_millis(200));
        let mut refused = None;
        loop {
            let event = tokio::select! {
                event = self.link.next() => event?,
                () = tokio::time::sleep_until(since + self.timeout) => {
                    return Err(self.timed_out(source, refused));
                }
                _ = redraw.tick() => {
                    let seconds = since.elapsed().as_secs();
                    self.progress.show(|| format!("sending {label}, unconfirmed for {seconds} s"));
                    continue;
                }
            };
            self.note(&event);
            match event {
                Event::Stored => return Ok(()),
                Event::Invalid(_) => return Err(Error::Invalid { what: source.to_string() }),
                Event::Refused(status) if refused.is_none() => {
                    self.progress.notice(&format!("{source}: {}; trying again", refusal(status)));
                    refused = Some(status);
                }
                _ => {}
            }
        }
    }

    fn timed_out(&self, source: &Source, refused: Option<Status>) -> Error {
        if let Some(error) = self.no_connection() {
            return error;
        }
        let reason = refused.map_or("the router does not answer".to_owned(), refusal);
        Error::NotStored { what: source.to_string(), waited: self.timeout, reason }
    }

    /// The error that it is to have waited this long without a connection.
    fn no_connection(&self) -> Option<Error> {
        let reason = match &self.down {
            Some(reason) => reason.clone(),
            None if self.was_up => return None,
            None => "no answer".to_owned(),
        };
        let url = self.url.clone();
        Some(if self.was_up {
            Error::Lost { url, reason, waited: self.timeout }
        } else {
            Error::CannotConnect { url, reason }
        })
    }

    /// Keeps track of the connection, and tells of its loss once.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Ready => {
                self.was_up = true;
                if self.down.take().is_some() {
                    self.progress.notice(&format!("connected to {}", self.url));
                }
            }
            Event::Down(reason) => {
                if self.down.replace(reason.clone()).is_none()
                    && let Some(error) = self.no_connection()
                {
                    let seconds = self.timeout.as_secs();
                    let text = if self.was_up {
                        format!("the connection to {} is lost: {reason}", self.url)
                    } else {
                        error.to_string()
                    };
                    self.progress.notice(&format!("{text}\ntrying again for up to {seconds} s"));
                }
            }
            _ => {}
        }
    }

    fn report(&mut self, line: &str) {
        self.progress.clear();
        // Whoever closed standard output does not want to know.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

fn refusal(status: Status) -> String {
    if status == Status::SERROR {
        "the router cannot store it now (FAU3_SERROR: is its storage full?)".to_owned()
    } else {
        format!("the router answers with status {}", status.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_payload_fits_a_frame_both_ways_and_one_more_group_does_not() {
        for (room, id) in [("r", "c"), (&*"я".repeat(64), &*"\"".repeat(64))] {
            let (room, id) = (RoomId::new(room).unwrap(), ClientId::new(id).unwrap());
            let limit = payload_bytes_max(&room, &id);
            let largest = |bytes: usize| {
                let uuid = Uuid::from_hash(0);
                let (mut propogate, mut playlist) = (Vec::new(), Vec::new());
                fau3d::propogate(&mut propogate, &uuid.to_string(), &room, &vec![0; bytes]);
                fau3d::playlist_head(&mut playlist, uuid);
                fau3d::playlist_tail(&mut playlist, &id, &vec![0; bytes]);
                propogate.len().max(playlist.len())
            };
            assert!(largest(limit) <= FRAME_BYTES_MAX, "{limit}");
            assert!(largest(limit + 1) > FRAME_BYTES_MAX || limit == BODY_BYTES_MAX, "{limit}");
        }
    }
}
