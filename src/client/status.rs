//! `fau3 status`: what a running node says of itself, over its control socket.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::error::Error;
use crate::config::Config;

/// What is asked.
const QUESTION: &[u8] = b"status\n";
/// A node answers at once; one that has not after this long hangs.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The longest answer believed, in bytes: thousands of clients and rooms.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Show how the router on this machine is doing: clients, rooms and records
///
/// Asks over its control socket, and shows what it warns of. Exit status: 0 if
/// it answers, 1 if not.
#[derive(Debug, Clone, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    fau3 status\n  \
    fau3 status --json --control /var/run/fau3.sock"
)]
pub struct StatusArgs {
    /// Print the answer as it is, in JSON
    #[arg(long)]
    json: bool,

    /// The node's control socket [default: where `fau3 node` without arguments
    /// puts it]
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

/// Asks the node at `--control`, else where a node without arguments would be,
/// and prints its answer.
///
/// # Errors
/// [`Error::Unanswered`] if the node cannot say; [`Error::Control`] if nobody answers there, or not in JSON;
/// [`Error::Config`] if the socket is to be found in a configuration that
/// cannot be read.
pub async fn status(args: StatusArgs) -> Result<(), Error> {
    let path = match args.control {
        Some(path) => path,
        None => Config::load(None, &[]).map_err(Error::Config)?.0.node.control,
    };
    let failed = |reason: String| Error::Control { path: path.clone(), reason };
    let answer = match tokio::time::timeout(ANSWER_MAX, ask(&path)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("no answer within {} s", ANSWER_MAX.as_secs()))),
    };
    if let Ok(Refusal { error }) = serde_json::from_str(&answer) {
        return Err(Error::Unanswered { path, error });
    }
    let not_json = |error: serde_json::Error| failed(format!("its answer is not a status: {error}"));
    let text = if args.json {
        serde_json::from_str::<serde::de::IgnoredAny>(&answer).map_err(not_json)?;
        format!("{}\n", answer.trim())
    } else {
        render(&serde_json::from_str(&answer).map_err(not_json)?)
    };
    // Whoever closed standard output has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

async fn ask(path: &Path) -> std::io::Result<String> {
    let mut socket = UnixStream::connect(path).await?;
    socket.write_all(QUESTION).await?;
    let mut answer = String::new();
    socket.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// What a node answers when it cannot say how it is.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
}

/// The fields that people are shown (DESIGN.md, "Interfaces"); a node of
/// another version may have more, or fewer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    name: String,
    peer_id: String,
    version: String,
    uptime_s: u64,
    mode: String,
    coordinator: Option<String>,
    deputy: Option<String>,
    routers: Vec<Router>,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    records: Records,
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Router {
    name: String,
    mode: String,
    priority: Option<i64>,
    clients: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Client {
    client_id: String,
    room: Option<String>,
    router: String,
    alive_s: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Room {
    room: String,
    clients: u64,
    records: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Records {
    count: u64,
    bytes: u64,
    expired: u64,
    confirmed_single: u64,
}

fn render(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("name", &status.name);
    line("peer id", &status.peer_id);
    line("version", &status.version);
    line("up for", &span(status.uptime_s));
    line("mode", &status.mode);
    line("coordinator", status.coordinator.as_deref().unwrap_or("-"));
    line("deputy", status.deputy.as_deref().unwrap_or("-"));
    let records = &status.records;
    let kib = records.bytes.div_ceil(1024);
    line("records", &format!("{} ({kib} KiB), {} expired", records.count, records.expired));
    line("", &format!("{} confirmed by this router alone", records.confirmed_single));
    for warning in &status.warnings {
        line("warning", warning);
    }

    let routers = status.routers.iter().map(|router| {
        let priority = router.priority.map_or("-".to_owned(), |priority| priority.to_string());
        [router.name.clone(), router.mode.clone(), priority, router.clients.to_string()]
    });
    table(&mut text, ["ROUTER", "MODE", "PRIORITY", "CLIENTS"], routers);
    let clients = status.clients.iter().map(|client| {
        let room = client.room.clone().filter(|room| !room.is_empty()).unwrap_or("-".to_owned());
        [client.client_id.clone(), room, client.router.clone(), span(client.alive_s)]
    });
    table(&mut text, ["CLIENT", "ROOM", "ROUTER", "ALIVE"], clients);
    let rooms = status
        .rooms
        .iter()
        .map(|room| [room.room.clone(), room.clients.to_string(), room.records.to_string()]);
    table(&mut text, ["ROOM", "CLIENTS", "RECORDS"], rooms);
    text
}

/// Appends a table with columns as wide as what stands in them; nothing for no
/// rows.
fn table<const N: usize>(text: &mut String, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    if lines.len() == 1 {
        return;
    }
    let chars = |cell: &String| cell.chars().count();
    let widths: [usize; N] =
        std::array::from_fn(|column| lines.iter().map(|line| chars(&line[column])).max().unwrap_or(0));
    text.push('\n');
    for line in lines {
        let cells: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
}

/// `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_tables_with_aligned_columns() {
        let status: Status = serde_json::from_str(
            r#"{"name":"router-a","uptime_s":90061,"mode":"server","new_field":[1],
            "clients":[{"client_id":"AA:BB:CC:DD:EE:FF","room":"кухня","router":"router-a","alive_s":59},
                       {"client_id":"b","room":null,"router":"router-a","alive_s":3600}],
            "records":{"count":3,"bytes":1025},"warnings":["no console"]}"#,
        )
        .unwrap();
        let text = render(&status);
        let wanted = "\
CLIENT             ROOM   ROUTER    ALIVE
AA:BB:CC:DD:EE:FF  кухня  router-a  59 s
b                  -      router-a  1 h 0 min
";
        assert!(text.ends_with(wanted), "{text}");
        assert!(text.contains("up for       1 d 1 h\n") && text.contains("3 (2 KiB), 0 expired"), "{text}");
        assert!(text.contains("\nwarning      no console\n"), "{text}");
        assert!(!text.contains("ROUTER  MODE"), "no routers, no table");
    }
}
