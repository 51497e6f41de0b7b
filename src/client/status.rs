//! `fau3 status`: what a running node says of itself, over its control socket.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use super::control::{Answer, ControlArgs, harmless};
use super::error::Error;
use super::output::print;

/// Show how the router on this machine is doing: clients, rooms and records
///
/// Asks over its control socket, and shows what it warns of. Exit status: 0 if
/// it answers, 1 if not.
#[derive(Debug, Clone, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    fau3 status\n  \
    fau3 status --instance 2\n  \
    fau3 status --json --control /var/run/fau3/fau3.sock"
)]
pub struct StatusArgs {
    /// Print the answer as it is, in JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    control: ControlArgs,
}

/// Asks the node that is meant, else each place where one may be,
/// and prints its answer.
///
/// # Errors
/// [`Error::Unanswered`] if the node cannot say; [`Error::Control`] if nobody answers there, or not in JSON;
/// [`Error::Config`] if the socket is to be found in a configuration that
/// cannot be read.
pub async fn status(args: StatusArgs) -> Result<(), Error> {
    let answer = Answer::ask(&args.control).await?;
    let text = if args.json {
        answer.read::<serde::de::IgnoredAny>()?;
        answer.line()
    } else {
        render(&answer.read()?, answer.path())
    };
    print(&text)
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
    epoch: (u64, String),
    list_version: u64,
    neighbours: Vec<String>,
    mesh: Option<Mesh>,
    routers: Vec<Router>,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    records: Records,
    default_server: DefaultServer,
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DefaultServer {
    name: String,
    url: Option<String>,
    kind: Option<String>,
    reachable: Option<bool>,
    since_s: Option<u64>,
    watched_here: bool,
    outages: u64,
    trouble: Option<String>,
    list: Option<FetchedList>,
    carried: u64,
    mesh_only: Vec<String>,
    waiting: u64,
    waiting_bytes: u64,
    maybe_doubled: u64,
    refused: u64,
    expired: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FetchedList {
    age_s: u64,
    version: Option<u64>,
    servers: Option<u64>,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Router {
    name: String,
    id: String,
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
    replicated: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mesh {
    list: Vec<String>,
    held_down: bool,
    troubles: Vec<Trouble>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Trouble {
    router: Option<String>,
    place: String,
    text: String,
}

fn render(status: &Status, socket: &Path) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {}", harmless(value));
    };
    line("name", &status.name);
    line("peer id", &status.peer_id);
    line("socket", &socket.display().to_string());
    line("version", &status.version);
    line("up for", &span(status.uptime_s));
    line("mode", &status.mode);
    line("coordinator", status.coordinator.as_deref().unwrap_or("-"));
    line("deputy", status.deputy.as_deref().unwrap_or("-"));
    if let Some(mesh) = &status.mesh {
        let held = if mesh.held_down { "; this router is held down after flaps" } else { "" };
        line("epoch", &format!("{}{held}", status.epoch.0));
        line("list", &format!("version {}: {}", status.list_version, listed(&mesh.list)));
        line("neighbours", &listed(&status.neighbours));
        for trouble in &mesh.troubles {
            let router = trouble.router.as_ref().map_or_else(String::new, |router| format!("{router}, "));
            line("trouble", &format!("{router}{}: {}", trouble.place, trouble.text));
        }
    }
    let names = std::iter::once("default").chain(std::iter::repeat(""));
    for (name, value) in names.zip(default_server(&status.default_server)) {
        line(name, &value);
    }
    let records = &status.records;
    let kib = records.bytes.div_ceil(1024);
    line("records", &format!("{} ({kib} KiB), {} expired", records.count, records.expired));
    line("", &format!("{} confirmed by this router alone", records.confirmed_single));
    if status.mesh.is_some() {
        line("", &format!("{} from other routers", records.replicated));
    }
    for warning in &status.warnings {
        line("warning", warning);
    }

    routers(&mut text, &status.routers);
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

/// Lines about the main server; none where there is none.
fn default_server(server: &DefaultServer) -> Vec<String> {
    let Some(url) = &server.url else { return Vec::new() };
    let since = server.since_s.map_or_else(String::new, |seconds| format!(" for {}", span(seconds)));
    let is_there = match (server.reachable, &server.trouble) {
        (Some(true), _) => format!("reachable{since}"),
        (Some(false), Some(trouble)) => format!("not reachable{since}: {trouble}"),
        (Some(false), None) => format!("not reachable{since}"),
        (None, _) => "not looked for yet".to_owned(),
    };
    let mut lines = vec![format!("{} at {url}", server.name), is_there];
    // One that is a node is a router of the mesh: it has the list and the clients as all have them.
    let is_node = server.kind.as_deref() == Some("node");
    if server.watched_here && is_node {
        lines.push(format!("went away {} times while this router looked", server.outages));
    } else if server.watched_here {
        let list = server.list.as_ref().map_or("its list not fetched yet".to_owned(), |list| {
            let what = match (list.version, list.servers, &list.reason) {
                (Some(version), Some(servers), _) => format!("version {version} with {servers} servers"),
                (_, _, Some(reason)) => reason.clone(),
                _ => "-".to_owned(),
            };
            format!("its list {} ago: {what}", span(list.age_s))
        });
        lines.push(format!("went away {} times; {list}", server.outages));
    }
    if !is_node {
        lines.push(format!("carries {} clients of this router", server.carried));
    }
    if !server.mesh_only.is_empty() {
        let ids = server.mesh_only.join(", ");
        lines.push(format!(
            "cannot take {} of them, which the mesh alone serves: {ids}",
            server.mesh_only.len()
        ));
    }
    if server.waiting > 0 {
        let kib = server.waiting_bytes / 1_024;
        lines.push(format!("lacks {} records ({kib} KiB), which wait for it", server.waiting));
    }
    let came_to = [
        (server.maybe_doubled, "it may have twice"),
        (server.refused, "it refused"),
        (server.expired, "grew too old before it was back"),
    ];
    let came_to = came_to.iter().filter(|(count, _)| *count > 0);
    let came_to: Vec<String> = came_to.map(|(count, what)| format!("{count} {what}")).collect();
    if !came_to.is_empty() {
        lines.push(format!("of its records {}", came_to.join(", ")));
    }
    lines
}

fn routers(text: &mut String, routers: &[Router]) {
    let priority = |router: &Router| router.priority.map_or("-".to_owned(), |priority| priority.to_string());
    let cells = |router: &Router| {
        [router.name.clone(), router.mode.clone(), priority(router), router.clients.to_string()]
    };
    let names: BTreeSet<_> = routers.iter().map(|router| &router.name).collect();
    if names.len() == routers.len() {
        return table(text, ["ROUTER", "MODE", "PRIORITY", "CLIENTS"], routers.iter().map(cells));
    }
    let rows = routers.iter().map(|router| {
        let [name, mode, priority, clients] = cells(router);
        [name, mode, priority, clients, router.id.clone()]
    });
    table(text, ["ROUTER", "MODE", "PRIORITY", "CLIENTS", "ID"], rows);
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

/// Appends a table with columns as wide as what stands in them; nothing for no
/// rows.
fn table<const N: usize>(text: &mut String, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.map(|row| row.map(|cell| harmless(&cell))));
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
        let text = render(&status, Path::new("/s"));
        let wanted = "\
CLIENT             ROOM   ROUTER    ALIVE
AA:BB:CC:DD:EE:FF  кухня  router-a  59 s
b                  -      router-a  1 h 0 min
";
        assert!(text.ends_with(wanted), "{text}");
        assert!(text.contains("up for       1 d 1 h\n") && text.contains("3 (2 KiB), 0 expired"), "{text}");
        assert!(text.contains("\nwarning      no console\n"), "{text}");
        assert!(!text.contains("ROUTER  MODE"), "no routers, no table");
        assert!(!text.contains("epoch"), "no mesh, no epoch");
    }

    #[test]
    fn the_default_server_is_shown_where_there_is_one() {
        let text = |json: &str| render(&serde_json::from_str(json).unwrap(), Path::new("/s"));
        assert!(!text(r#"{"default_server":{"name":"main","url":null}}"#).contains("default"));
        let gone = text(
            r#"{"default_server":{"name":"main","url":"ws://a:1/","reachable":false,"since_s":61,"trouble":"refused"}}"#,
        );
        let there = text(
            r#"{"default_server":{"name":"main","url":"ws://a:1/","reachable":true,"since_s":5,"outages":2,
            "watched_here":true,"list":{"age_s":7,"version":3,"servers":2},"carried":4,
            "mesh_only":["one","two"],"waiting":3,"waiting_bytes":30720,"maybe_doubled":1,"expired":2}}"#,
        );
        let node = text(
            r#"{"default_server":{"name":"main","url":"fau3://a:1","kind":"node","reachable":false,"since_s":5,
            "outages":2,"watched_here":true,"trouble":"it does not answer"}}"#,
        );
        assert!(!node.contains("carries") && !node.contains("fetched"), "{node}");
        let first = "default      main at ws://a:1/";
        for (text, line) in [
            (&gone, first),
            (&gone, "             not reachable for 1 min: refused"),
            (&node, "             not reachable for 5 s: it does not answer"),
            (&node, "             went away 2 times while this router looked"),
            (&there, "             reachable for 5 s"),
            (&there, "             went away 2 times; its list 7 s ago: version 3 with 2 servers"),
            (&there, "             carries 4 clients of this router"),
            (&there, "             cannot take 2 of them, which the mesh alone serves: one, two"),
            (&there, "             lacks 3 records (30 KiB), which wait for it"),
            (&there, "             of its records 1 it may have twice, 2 grew too old before it was back"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn what_does_not_work_between_routers_is_shown_by_router_and_place() {
        let json = r#"{"mesh":{"troubles":[{"router":"b","place":"10.0.0.2:8902","kind":"tcp","text":"TCP"},
            {"router":null,"place":"mesh.peer c:8902","kind":"setting","text":"no such name"}]}}"#;
        let text = render(&serde_json::from_str(json).unwrap(), Path::new("/s"));
        for line in ["trouble      b, 10.0.0.2:8902: TCP", "trouble      mesh.peer c:8902: no such name"] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn a_mesh_is_shown_with_ids_only_where_a_name_is_there_twice() {
        let mesh = |names: [&str; 2]| {
            let router = |name: &str, id: &str| {
                format!(r#"{{"name":"{name}","id":"{id}","mode":"follower","priority":1,"clients":2}}"#)
            };
            let [one, other] = names;
            let json = format!(
                r#"{{"epoch":[7,"aa"],"list_version":3,"neighbours":["b"],"routers":[{},{}],
                "mesh":{{"list":["b","a"],"held_down":true}},"records":{{"replicated":5}}}}"#,
                router(one, "aa"),
                router(other, "bb")
            );
            render(&serde_json::from_str(&json).unwrap(), Path::new("/s"))
        };
        let text = mesh(["a", "b"]);
        for line in [
            "epoch        7; this router is held down after flaps",
            "list         version 3: b, a",
            "neighbours   b",
            "             5 from other routers",
            "ROUTER  MODE      PRIORITY  CLIENTS",
            "a       follower  1         2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        let text = mesh(["a", "a"]);
        assert!(text.contains("CLIENTS  ID\n") && text.contains("2        bb\n"), "{text}");
        // What a router calls itself does not reach the terminal as a command.
        assert!(!mesh(["a", "\\u001b[2J"]).contains('\u{1b}'));
    }
}
