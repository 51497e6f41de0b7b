//! `fau3 listen`: shows what is said in a room, and keeps it.

mod archive;
mod report;
mod watch;

use std::io;
use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use self::archive::Archive;
use self::report::Report;
use self::watch::{StreamSeen, StreamWatch};
use super::args::{ServerArgs, Url};
use super::clock::WallClock;
use super::core::{Event, Input, Invalid, Settings, Token};
use super::error::Error;
use super::link::{ClientSocket, seed};
use super::progress::Progress;
use crate::wire::RoomId;
use crate::wire::fau3d::from_router::Record;

/// Show, and save, what is said in a room, one line a voice message
///
/// Reconnects by itself, for ever, and shows nothing twice. What was said while
/// it was away for less than a minute is shown when it is back. Ctrl-C ends it.
#[derive(Debug, Clone, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    fau3 listen --room kitchen\n  \
    fau3 listen --room kitchen --url ws://192.168.1.1:8901 --save messages\n  \
    fau3 listen --room kitchen --json --count 1"
)]
pub struct ListenArgs {
    #[command(flatten)]
    server: ServerArgs,

    /// Keep each message as a file in this folder: bare Speex frames
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    /// Exit after this many voice messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Listens until SIGINT, SIGTERM, `--count` or the end of standard output.
///
/// # Errors
/// Where trying again is no use: a client that the router will not have, an id
/// that another client has taken over, a folder that cannot be written to.
pub async fn listen(args: ListenArgs) -> Result<(), Error> {
    let seed = seed()?;
    let client_id = args.server.client_id_or(seed);
    let url = args.server.url();
    let room = args.server.room;
    let settings = Settings { room: Some(room.clone()), listens: true, seed };
    let mut listen = Listen {
        report: Report::new(args.json, room.clone()),
        archive: args.save.map(Archive::open).transpose()?,
        clock: WallClock::new(),
        notices: Notices {
            greeting: format!("listening in room {room} as {client_id} at"),
            ..Notices::new(url.clone())
        },
        stream: StreamWatch::default(),
        left: args.count,
        room,
    };
    let mut link = ClientSocket::new(url, client_id, settings);
    let outcome = listen.run(&mut link).await;
    listen.notices.progress.clear();
    let ended = listen.end_stream();
    link.leave().await;
    match outcome.and(ended) {
        Err(Stop::Failed(error)) => Err(error),
        Ok(()) | Err(Stop::OutputClosed) => Ok(()),
    }
}

/// Why listening ends early.
enum Stop {
    /// Nobody reads standard output any more: quietly.
    OutputClosed,
    Failed(Error),
}

/// One run of the command.
struct Listen {
    report: Report,
    archive: Option<Archive>,
    clock: WallClock,
    notices: Notices,
    stream: StreamWatch,
    /// Records until the end; `None`: no end.
    left: Option<u64>,
    room: RoomId,
}

impl Listen {
    async fn run(&mut self, link: &mut ClientSocket) -> Result<(), Stop> {
        let mut interrupt = on(SignalKind::interrupt())?;
        let mut terminate = on(SignalKind::terminate())?;
        while self.left != Some(0) {
            let silence = self.stream.silent_at();
            let event = tokio::select! {
                event = link.next() => event.map_err(Stop::Failed)?,
                () = tokio::time::sleep_until(silence.unwrap_or_else(Instant::now)), if silence.is_some() => {
                    self.end_stream()?;
                    continue;
                }
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            };
            self.notices.note(&event);
            match event {
                Event::Playlist(token, records) => {
                    let kept = self.playlist(token, &records)?;
                    link.give(kept);
                }
                Event::Stream(audio) => self.audio(&audio)?,
                Event::Invalid(Invalid::Subscribe) => {
                    return Err(Stop::Failed(Error::Invalid { what: format!("the room {}", self.room) }));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Saves and shows: only what has been both counts as kept.
    fn playlist(&mut self, token: Token, records: &[Record]) -> Result<Input<'static>, Stop> {
        let moment = self.clock.now();
        let mut files = Vec::new();
        if let Some(archive) = &mut self.archive {
            match archive.save_all(&moment.stamp(), records) {
                Ok(saved) => files = saved,
                Err((path, error)) => {
                    let error = Error::File { what: "write", path, error };
                    self.notices.trouble(&format!("{error}\nthe router will send it again"));
                    return Ok(Input::NotKept(token));
                }
            }
            self.notices.trouble_is_over();
        }
        for (at, record) in records.iter().enumerate() {
            let file = files.get(at).map(PathBuf::as_path);
            stdout(self.report.record(&moment, record, token.message_uuid(), file))?;
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(records.len() as u64);
        }
        Ok(Input::Kept(token))
    }

    fn audio(&mut self, audio: &[u8]) -> Result<(), Stop> {
        let moment = self.clock.now();
        if self.stream.heard(Instant::now(), audio) {
            if let Some(archive) = &mut self.archive {
                let begun = archive.begin_stream(&moment.stamp());
                self.check_stream(begun);
            }
            stdout(self.report.stream_started(&moment))?;
        }
        if let Some(archive) = &mut self.archive {
            let written = archive.add_to_stream(audio);
            self.check_stream(written);
        }
        Ok(())
    }

    fn end_stream(&mut self) -> Result<(), Stop> {
        let Some(seen) = self.stream.end() else { return Ok(()) };
        let mut file = None;
        if let Some(archive) = &mut self.archive {
            match archive.end_stream() {
                Ok(saved) => file = saved,
                Err(error) => self.check_stream(Err(error)),
            }
        }
        stdout(self.report.stream_ended(&self.clock.now(), &seen, file.as_deref()))
    }

    /// Live audio that cannot be saved is not asked for again: it is told.
    fn check_stream(&mut self, written: Result<(), (PathBuf, io::Error)>) {
        if let Err((path, error)) = written {
            let error = Error::File { what: "write", path, error };
            self.notices.trouble(&format!("{error}\nthe rest of this stream is not saved"));
        }
    }
}

fn on(kind: SignalKind) -> Result<Signal, Stop> {
    signal(kind).map_err(|error| Stop::Failed(Error::System(error)))
}

fn stdout(written: io::Result<()>) -> Result<(), Stop> {
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::OutputClosed,
        _ => Stop::Failed(Error::File { what: "write", path: "standard output".into(), error }),
    })
}

/// What is told on standard error: once for each outage, not for each try.
struct Notices {
    progress: Progress,
    url: Url,
    greeting: String,
    was_up: bool,
    is_down: bool,
    in_trouble: bool,
}

impl Notices {
    fn new(url: Url) -> Self {
        let progress = Progress::new();
        Self { progress, url, greeting: String::new(), was_up: false, is_down: false, in_trouble: false }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Ready => {
                self.progress.notice(&format!("{} {}", self.greeting, self.url));
                (self.was_up, self.is_down) = (true, false);
            }
            Event::Down(reason) if !self.is_down => {
                let url = &self.url;
                let text = if self.was_up {
                    format!("the connection to {url} is lost: {reason}\ntrying again until it is back")
                } else {
                    let error = Error::CannotConnect { url: url.clone(), reason: reason.clone() };
                    format!("{error}\ntrying again until there is one")
                };
                self.progress.notice(&text);
                self.is_down = true;
            }
            _ => {}
        }
    }

    fn trouble(&mut self, text: &str) {
        if !std::mem::replace(&mut self.in_trouble, true) {
            self.progress.notice(text);
        }
    }

    fn trouble_is_over(&mut self) {
        self.in_trouble = false;
    }
}
