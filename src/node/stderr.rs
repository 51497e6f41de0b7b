//! Standard error as a place for logs that nobody waits for. Whoever reads it may
//! have stopped to; then lines are dropped and counted, and the router goes on.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written; those beyond are dropped.
const LINES_MAX: usize = 256;
/// The longest one, in bytes: the rest of it is cut off.
const LINE_BYTES_MAX: usize = 2_048;
/// How long the last lines of a program that ends may take.
const LAST_LINES_TIME_MAX: Duration = Duration::from_millis(100);

static DROPPED: AtomicU32 = AtomicU32::new(0);

/// Lines of the log that were dropped since the start, since nobody read them or they could not be written.
#[must_use]
pub fn dropped() -> u32 {
    DROPPED.load(Ordering::Relaxed)
}

/// One thing for the thread that writes.
enum Task {
    Line(Vec<u8>),
    /// All before it is written.
    Done(std::sync::mpsc::Sender<()>),
}

/// Writes a line, or drops and counts it; never waits.
pub(super) fn write_line(line: &[u8]) {
    let mut line = line[..line.len().min(LINE_BYTES_MAX)].to_vec();
    if line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    if queue().try_send(Task::Line(line)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives what waits to be written a moment; to be asked at the end.
pub(super) fn flush() {
    let (done, answer) = channel();
    if queue().try_send(Task::Done(done)).is_ok() {
        let _ = answer.recv_timeout(LAST_LINES_TIME_MAX);
    }
}

/// The writer's queue. Its thread lives as long as the process: it may be
/// waiting for a reader that never comes.
fn queue() -> SyncSender<Task> {
    static QUEUE: OnceLock<Mutex<SyncSender<Task>>> = OnceLock::new();
    let queue = QUEUE.get_or_init(|| {
        let (sender, tasks) = sync_channel(LINES_MAX);
        // Without a thread everything is dropped, and counted.
        let _ = thread::Builder::new().name("log".into()).spawn(move || write_all(&tasks, &mut io::stderr()));
        Mutex::new(sender)
    });
    queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn write_all(tasks: &Receiver<Task>, to: &mut impl Write) {
    let mut told = 0;
    for task in tasks {
        match task {
            // A disk that is full may have room again for the next one.
            Task::Line(line) if to.write_all(&line).is_err() => {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
            Task::Line(_) => {}
            Task::Done(done) => drop(done.send(())),
        }
        let dropped = dropped();
        if dropped != told {
            let text =
                format!("{} lines of the log were dropped: nobody read them\n", dropped.wrapping_sub(told));
            if to.write_all(text.as_bytes()).is_ok() {
                told = dropped;
            }
        }
    }
}

/// One event on its way. [`MakeWriter`] gives each its own.
pub(super) struct Line;

impl Write for Line {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        write_line(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error for `tracing_subscriber`.
pub(super) struct Stderr;

impl MakeWriter<'_> for Stderr {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_counted_and_said_when_it_can() {
        /// A disk that is full for the first two writes.
        struct Full(u32, Vec<u8>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 <= 2 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.1.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sender, tasks) = sync_channel(2);
        for line in ["lost\n", "kept\n"] {
            sender.send(Task::Line(line.into())).unwrap();
        }
        drop(sender);
        let mut disk = Full(0, Vec::new());
        write_all(&tasks, &mut disk);
        let said = String::from_utf8(disk.1).unwrap();
        assert!(said.starts_with("kept\n") && said.contains("of the log were dropped"), "{said}");
        assert!(dropped() >= 1);
    }
}
