//! Where the log goes: to standard error, or to the system's log.

use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};
use tz::UtcDateTime;

use super::stderr::{self, Stderr};
use crate::config::LogLevel;

/// Where the system's log listens (syslog(3)).
const DEV_LOG: &str = "/dev/log";
/// The longest line that is sent, in bytes, as RFC 3164 (section 4.1) has it.
const LINE_LEN_MAX: usize = 1_024;
/// `LOG_DAEMON` (RFC 5424, section 6.2.1).
const FACILITY: u8 = 3;

/// Changes what is logged while the program runs.
pub(super) struct LogFilter(reload::Handle<LevelFilter, Registry>);

impl LogFilter {
    /// Begins the log of this process.
    pub(super) fn start(level: LogLevel, to_syslog: bool) -> Self {
        let (filter, handle) = reload::Layer::new(filter(level));
        let lines = fmt::layer().with_target(false);
        let lines = if to_syslog {
            // Time and level are the system log's own.
            lines.without_time().with_level(false).with_ansi(false).with_writer(Syslog::new(DEV_LOG)).boxed()
        } else {
            lines.with_ansi(io::stderr().is_terminal()).with_writer(Stderr).boxed()
        };
        // A second start in one process, as in tests, keeps the first's log.
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
        Self(handle)
    }

    /// From now on this and what is more severe.
    pub(super) fn set(&self, level: LogLevel) {
        let _ = self.0.modify(|current| *current = filter(level));
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    level.as_str().parse().unwrap_or(LevelFilter::INFO)
}

/// The system's log: a datagram a line, in the manner of RFC 3164, which every
/// system's log takes, OpenWrt's `logd` among them.
struct Syslog {
    path: PathBuf,
    pid: u32,
}

impl Syslog {
    fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().into(), pid: std::process::id() }
    }
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { log: self, severity: severity(Level::INFO) }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { log: self, severity: severity(*meta.level()) }
    }
}

/// RFC 5424, section 6.2.1.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// One event on its way to the log.
struct Line<'a> {
    log: &'a Syslog,
    severity: u8,
}

impl Line<'_> {
    /// On a socket of its own, since whoever listens may be another one by now.
    fn send(&self, text: &str) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let line = datagram(self.severity, SystemTime::now(), self.log.pid, text);
        socket.send_to(line.as_bytes(), &self.log.path).map(drop)
    }
}

/// An event is written at once. Where there is no log, at boot say, or it does not
/// keep up, standard error has to do.
impl Write for Line<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.trim_end();
        if self.send(text).is_err() {
            stderr::write_line(text.as_bytes());
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `<30>Nov 21 09:30:00 fau3[123]: text`, on one line and not longer than
/// [`LINE_LEN_MAX`]. The time is UTC; `logd` puts its own in its place.
fn datagram(severity: u8, now: SystemTime, pid: u32, text: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = UtcDateTime::from_timespec(i64::try_from(seconds).unwrap_or(0), 0);
    let time = time.map_or_else(
        |_| "Jan  1 00:00:00".to_owned(),
        |time| {
            let month = MONTHS[usize::from(time.month() - 1)];
            let (day, hour, minute, second) = (time.month_day(), time.hour(), time.minute(), time.second());
            format!("{month} {day:2} {hour:02}:{minute:02}:{second:02}")
        },
    );
    let mut line = format!("<{}>{time} fau3[{pid}]: ", FACILITY * 8 + severity);
    line.extend(text.chars().map(|char| if char.is_control() { ' ' } else { char }));
    let end = (0..=LINE_LEN_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end));
    line.truncate(end.unwrap_or(0));
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::Folder;

    #[test]
    fn a_datagram_is_one_line_with_priority_time_and_process() {
        let at = UNIX_EPOCH + Duration::from_secs(1_795_253_405);
        assert_eq!(datagram(4, at, 7, "two\nlines"), "<28>Nov 21 09:30:05 fau3[7]: two lines");
        let early = UNIX_EPOCH + Duration::from_secs(86_400 * 4);
        assert_eq!(datagram(3, early, 7, "x"), "<27>Jan  5 00:00:00 fau3[7]: x");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = datagram(6, UNIX_EPOCH, 7, &"ü".repeat(LINE_LEN_MAX));
        assert!((LINE_LEN_MAX - 1..=LINE_LEN_MAX).contains(&line.len()), "{}", line.len());
    }

    #[test]
    fn each_event_has_its_severity_and_a_log_that_comes_back_is_found_again() {
        let folder = Folder::new();
        let path = folder.path().join("log");
        let log = Syslog::new(&path);
        let lines = fmt::layer().with_target(false).without_time().with_level(false).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(lines.with_writer(log));
        tracing::subscriber::with_default(subscriber, || {
            for life in 0..2 {
                let listener = UnixDatagram::bind(&path).unwrap();
                tracing::error!("e");
                tracing::warn!(life, "w");
                tracing::info!("i");
                tracing::debug!("d");
                let mut heard = Vec::new();
                for _ in 0..4 {
                    let mut buffer = [0; LINE_LEN_MAX];
                    let length = listener.recv(&mut buffer).unwrap();
                    heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                }
                let priorities: Vec<_> = heard.iter().map(|line| &line[..4]).collect();
                assert_eq!(priorities, ["<27>", "<28>", "<30>", "<31>"]);
                assert!(heard[1].ends_with(&format!(": w life={life}")), "{}", heard[1]);
                drop(listener);
                std::fs::remove_file(&path).unwrap();
                // To standard error meanwhile, and no harm done.
                tracing::error!("nobody listens");
            }
        });
    }
}
