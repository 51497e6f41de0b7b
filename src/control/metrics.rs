//! The metrics of a router in the text format of Prometheus, version 0.0.4.
//!
//! No label holds what a stranger chose: every name that a client makes up
//! would be a time series that stays for ever.

use std::fmt::Write;

use super::status::{dropped, drops, election, trouble_counts};
use crate::control::{DoorsReport, Report};
use crate::gateway::DoorReport;
use crate::router::{LATENCY_BOUNDS_MS, Stats};
use crate::store::Counters;

/// For the header `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted. `resident_bytes` is the process's memory, where
/// it is known.
pub(super) fn render(report: &Report, resident_bytes: Option<u64>) -> String {
    let mut text = Text(String::with_capacity(8 * 1_024));
    this_router(&mut text, report);
    what_it_holds(&mut text, report);
    what_it_did(&mut text, &report.router.stats);
    doors(&mut text, &report.doors);
    latency(&mut text, &report.router.stats);
    store(&mut text, report);
    mesh(&mut text, report);
    default_server(&mut text, report);
    if let Some(bytes) = resident_bytes {
        text.gauge("process_resident_memory_bytes", "Memory that is really there.", bytes);
    }
    text.0
}

fn this_router(text: &mut Text, report: &Report) {
    text.counter(
        "fau3_log_lines_dropped_total",
        "Lines of the log that nobody read.",
        report.log_lines_dropped.into(),
    );
    text.head("fau3_info", "gauge", "Which router this is.");
    text.labelled(
        "fau3_info",
        &[
            ("name", &report.identity.name),
            ("peer_id", &report.identity.peer_id),
            ("version", env!("CARGO_PKG_VERSION")),
        ],
        1,
    );
    text.head("fau3_uptime_seconds", "gauge", "Since the start.");
    text.sample("fau3_uptime_seconds", format_args!("{:.3}", report.uptime.as_secs_f64()));
}

fn what_it_holds(text: &mut Text, report: &Report) {
    let router = &report.router;
    text.gauge("fau3_clients", "Clients that are connected.", router.clients.len());
    text.gauge("fau3_sessions_detached", "Sessions that wait for their client.", router.detached);
    text.gauge("fau3_rooms", "Rooms with clients or records.", router.rooms.len());
    text.gauge("fau3_records", "Records that are held.", router.records);
    text.gauge("fau3_record_bytes", "What they cost.", router.record_bytes);
}

fn what_it_did(text: &mut Text, stats: &Stats) {
    text.counter("fau3_records_stored_total", "Records taken in.", stats.records_stored);
    text.counter(
        "fau3_confirmed_single_total",
        "Records confirmed while no other router held them.",
        stats.confirmed_single,
    );
    text.counter("fau3_records_replicated_total", "Taken in from other routers.", stats.records_replicated);
    text.counter("fau3_records_sent_total", "Sent to other routers, once for each.", stats.records_sent);
    text.counter("fau3_playlists_sent_total", "Playlists sent for the first time.", stats.playlists_sent);
    text.counter("fau3_deliveries_total", "Playlists that were confirmed.", stats.deliveries);
    text.counter("fau3_resends_total", "Playlists and Monitors sent again.", stats.resends);
    text.counter("fau3_given_up_total", "Playlists that wait for their client's return.", stats.given_up);
    text.counter(
        "fau3_put_behind_total",
        "Playlists that wait behind others, since connections have ended on them.",
        stats.put_behind,
    );
    text.by(
        "fau3_streams_total",
        "Live audio frames.",
        "direction",
        &[("in", stats.streams_in), ("out", stats.streams_out), ("passed", stats.streams_passed)],
    );
    text.by("fau3_drops_total", "What was dropped.", "reason", &drops(stats));
    text.counter("fau3_refused_total", "Clients that were not let in.", stats.refused);
    text.by(
        "fau3_disconnects_total",
        "Connections ended by the router.",
        "reason",
        &[
            ("ping_unanswered", stats.pings_unanswered),
            ("roamed", stats.roamed),
            ("silent", stats.silent),
            ("takeover", stats.takeovers),
        ],
    );
    text.counter("fau3_sessions_ended_total", "Sessions whose client stayed away.", stats.sessions_ended);
}

fn doors(text: &mut Text, doors: &DoorsReport) {
    let by = |of: fn(&DoorReport) -> usize| -> Vec<(&str, u64)> {
        doors.each.iter().map(|door| (door.name, of(door) as u64)).collect()
    };
    let through = "What clients have said, by their door.";
    text.by("fau3_door_messages_total", through, "door", &by(|door| door.messages));
    let refused = "Connections that were not let in, by the door.";
    text.by("fau3_door_turned_away_total", refused, "door", &by(|door| door.turned_away));
    let dropped = "Live frames that clients did not take in time, by their door.";
    text.by("fau3_door_live_dropped_total", dropped, "door", &by(|door| door.live_dropped));
    text.counter(
        "fau3_pages_refused_total",
        "Requests of pages that may not connect (clients.allow_origin).",
        doors.pages as u64,
    );
    text.counter(
        "fau3_crowded_out_total",
        "Connections for which there was no place before they said who they are.",
        doors.crowded_out as u64,
    );
}

/// Buckets are cumulative here, and separate in [`Stats`].
fn latency(text: &mut Text, stats: &Stats) {
    const NAME: &str = "fau3_delivery_latency_seconds";
    const BUCKET: &str = "fau3_delivery_latency_seconds_bucket";
    text.head(NAME, "histogram", "From the first sending of a Playlist to its Confirm.");
    let mut total = 0;
    for (bound_ms, count) in LATENCY_BOUNDS_MS.iter().zip(stats.latency) {
        total += count;
        text.labelled(BUCKET, &[("le", &(*bound_ms as f64 / 1_000.0).to_string())], total);
    }
    total += stats.latency[LATENCY_BOUNDS_MS.len()];
    text.labelled(BUCKET, &[("le", "+Inf")], total);
    let micros = stats.latency_sum_us;
    text.sample(&format!("{NAME}_sum"), format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
    text.sample(&format!("{NAME}_count"), total);
}

/// What is on the disk: with storage `ram`, too, so that alerts need not know.
fn store(text: &mut Text, report: &Report) {
    let nothing = Counters::default();
    let store = report.store.as_ref().unwrap_or(&nothing);
    text.counter("fau3_store_transactions_total", "Writes to the disk.", store.transactions);
    text.counter("fau3_store_records_total", "Records in them.", store.records);
    text.counter("fau3_store_failures_total", "Writes to the disk that failed.", store.failures);
    text.counter(
        "fau3_store_written_anew_total",
        "Times the database was gone and was written anew from memory.",
        store.written_anew,
    );
    text.gauge("fau3_store_failing", "1 where the latest one failed.", u8::from(store.failing));
}

/// What happens among routers: in one without a mesh, too.
fn mesh(text: &mut Text, report: &Report) {
    let (stats, mesh) = (&report.router.stats, report.router.mesh.as_ref());
    let (routers, connected) = mesh.map_or((1, 0), |mesh| (mesh.routers.len(), mesh.neighbours.len()));
    let leads = mesh.is_none_or(|mesh| mesh.view.leads());
    let epoch = mesh.and_then(|mesh| mesh.view.epoch).map_or(0, |epoch| epoch.number);
    text.gauge("fau3_leads", "1 where this router leads.", u8::from(leads));
    text.gauge("fau3_epoch", "Number of the term of leading.", epoch);
    text.gauge("fau3_routers", "Routers in reach, this one included.", routers);
    text.gauge("fau3_routers_connected", "Routers to which a connection stands.", connected);
    text.gauge(
        "fau3_clients_elsewhere",
        "Clients that are connected to other routers.",
        mesh.map_or(0, |mesh| mesh.elsewhere.len()),
    );
    const TROUBLES: &str = "fau3_mesh_troubles";
    text.head(TROUBLES, "gauge", "What does not work between this router and others, now.");
    for (kind, count) in trouble_counts(report) {
        text.labelled(TROUBLES, &[("kind", kind)], count);
    }
    text.by("fau3_election_total", "What the election did.", "what", &election(report));
    text.by("fau3_mesh_dropped_total", "What the doors to other routers dropped.", "what", &dropped(report));
    text.counter("fau3_fetches_total", "Questions for records that other routers hold.", stats.fetches);
    text.counter("fau3_fetches_unanswered_total", "Those without an answer.", stats.fetches_unanswered);
    text.counter("fau3_states_asked_total", "Questions for all that another one knows.", stats.states_asked);
    text.counter("fau3_queue_full_total", "Times at which a router took no more.", stats.peer_full);
    text.counter("fau3_order_given_up_total", "Playlists sent out of order.", stats.order_given_up);
}

/// What is known of the main server: in a router without one, too.
fn default_server(text: &mut Text, report: &Report) {
    let server = &report.default_server;
    let reachable = server.reachable.is_some_and(|(reaches, _)| reaches);
    let (good, bad) = server.watch.fetches;
    text.gauge(
        "fau3_default_server_reachable",
        "1 where the component reaches the main server.",
        u8::from(reachable),
    );
    text.gauge(
        "fau3_default_server_watched",
        "1 where this router is the one that looks for it.",
        u8::from(server.watch.watching),
    );
    text.counter("fau3_default_server_outages_total", "Times it went away.", server.watch.outages);
    text.by(
        "fau3_default_server_lists_total",
        "Fetches of its ExtraServers list.",
        "outcome",
        &[("good", good), ("none", bad)],
    );
    text.counter(
        "fau3_default_server_streams_dropped_total",
        "Live audio that it did not take in time.",
        server.streams_dropped,
    );
    let (relay, stats) = (report.router.upstream.as_ref(), &report.router.stats);
    text.gauge(
        "fau3_default_server_carried",
        "Clients here that have a connection to it.",
        relay.map_or(0, |relay| relay.carried),
    );
    text.gauge(
        "fau3_default_server_mesh_only",
        "Clients here that it cannot take.",
        relay.map_or(0, |relay| relay.mesh_only.len()),
    );
    text.gauge(
        "fau3_default_server_waiting",
        "Records that wait to be pushed to it.",
        relay.map_or(0, |relay| relay.waiting),
    );
    text.by(
        "fau3_default_server_records_total",
        "What became of records there.",
        "outcome",
        &[
            ("pushed", stats.upstream_pushed),
            ("repeated", stats.upstream_repeated),
            ("unsure", stats.upstream_unsure),
            ("refused", stats.upstream_refused),
            ("expired", stats.upstream_expired),
            ("taken_in", stats.upstream_taken_in),
            ("paired", stats.upstream_paired),
        ],
    );
}

/// The memory of this process; `None` where the system does not tell.
pub(super) fn resident_bytes() -> Option<u64> {
    parse_resident_bytes(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The line `VmRSS` (proc(5)): in KiB, whatever the size of a page.
fn parse_resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// Lines of the format. Writing to a `String` cannot fail.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        self.sample(name, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.sample(name, value);
    }

    /// One counter with a sample for each value of one label.
    fn by(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, "counter", help);
        for (value, count) in values {
            self.labelled(name, &[(label, value)], *count);
        }
    }

    fn labelled(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.0, "}} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::status::tests::{NASTY_ROOM, report};
    use super::*;

    /// Samples by name with labels; the format is checked on the way.
    fn samples(text: &str) -> BTreeMap<String, f64> {
        let mut typed = BTreeSet::new();
        let mut samples = BTreeMap::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(typed.insert(name.to_owned()), "twice: {line}");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let family = name.split('{').next().unwrap();
                let suffixes = ["_bucket", "_sum", "_count"];
                let stem = suffixes.iter().find_map(|suffix| family.strip_suffix(suffix)).unwrap_or(family);
                assert!(typed.contains(family) || typed.contains(stem), "no type: {line}");
                assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
            }
        }
        samples
    }

    #[test]
    fn everything_that_is_counted_is_there() {
        let samples = samples(&render(&report(), Some(4_096)));
        for (name, value) in [
            ("fau3_clients", 2.0),
            ("fau3_rooms", 1.0),
            ("fau3_door_messages_total{door=\"fau3d\"}", 30.0),
            ("fau3_door_turned_away_total{door=\"fau3d\"}", 7.0),
            ("fau3_door_live_dropped_total{door=\"fau3d\"}", 6.0),
            ("fau3_records", 2.0),
            ("fau3_record_bytes", 19_000.0),
            ("fau3_deliveries_total", 100.0),
            ("fau3_resends_total", 5.0),
            ("fau3_drops_total{reason=\"invalid\"}", 4.0),
            ("fau3_drops_total{reason=\"expired\"}", 10.0),
            ("fau3_streams_total{direction=\"out\"}", 250.0),
            ("fau3_store_transactions_total", 8.0),
            ("fau3_store_failing", 1.0),
            ("fau3_leads", 1.0),
            ("fau3_default_server_reachable", 0.0),
            ("fau3_default_server_outages_total", 0.0),
            ("fau3_default_server_lists_total{outcome=\"good\"}", 0.0),
            ("fau3_routers", 1.0),
            ("fau3_election_total{what=\"probes\"}", 0.0),
            ("fau3_uptime_seconds", 61.5),
            ("process_resident_memory_bytes", 4_096.0),
        ] {
            assert_eq!(samples.get(name), Some(&value), "{name}");
        }
    }

    #[test]
    fn buckets_of_the_latency_are_cumulative_in_seconds() {
        // Given 90 deliveries within 1 ms, 9 within 10 ms, 1 beyond 5 s,
        let samples = samples(&render(&report(), None));
        let at_most =
            |le: &str| samples[&format!("fau3_delivery_latency_seconds_bucket{{le=\"{le}\"}}")] as u64;
        assert_eq!([at_most("0.001"), at_most("0.005"), at_most("0.01")], [90, 90, 99]);
        assert_eq!([at_most("5"), at_most("+Inf")], [99, 100]);
        assert_eq!(samples["fau3_delivery_latency_seconds_count"], 100.0);
        assert_eq!(samples["fau3_delivery_latency_seconds_sum"], 6.25);
    }

    #[test]
    fn no_label_holds_what_a_stranger_chose() {
        let text = render(&report(), None);
        assert!(!text.contains("AA:BB") && !text.contains(NASTY_ROOM) && !text.contains("script"));
        // and what an administrator chose is escaped.
        let mut named = report();
        named.identity.name = "a\"b\\c\nd".into();
        let text = render(&named, None);
        assert!(text.contains(r#"fau3_info{name="a\"b\\c\nd",peer_id="12D3KooW",version=""#), "{text}");
    }

    #[test]
    fn memory_is_read_from_the_process_status() {
        assert_eq!(parse_resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t    1234 kB\n"), Some(1_263_616));
        assert_eq!(parse_resident_bytes("Name:\tfau3\n"), None);
        assert!(resident_bytes().is_none_or(|bytes| bytes > 100_000));
    }
}
