use std::time::{Duration, Instant};

use fau3_election::{Coordinator, Epoch, Incarnation, Role, RouterId, ServerEntry, ServerList, View};
use serde_json::{Value, json};

use super::*;
use crate::control::{DefaultServerReport, DoorsReport, Identity, MeshReport, MeshTrouble};
use crate::gateway::DoorReport;
use crate::mesh::Counts;
use crate::router::{self, ServerKind, Snapshot};
use crate::store::Counters;
use crate::upstream::{ListReport, WatchReport};
use crate::wire::Present;
use crate::wire::fau3e::Neighbour;
use crate::wire::{ClientId, RoomId};

/// A room as only an attacker would name it.
pub(in crate::control) const NASTY_ROOM: &str = "<script>\"'&\\\u{202e}";

/// A router with two clients, one of them in a room with a nasty name.
pub(in crate::control) fn report() -> Report {
    let client = |id, room: Option<&str>, alive_s| Present {
        client_id: ClientId::new(id).unwrap(),
        room: room.map(|room| RoomId::new(room).unwrap()),
        alive_s,
    };
    let mut latency = [0; LATENCY_BOUNDS_MS.len() + 1];
    (latency[0], latency[3], latency[LATENCY_BOUNDS_MS.len()]) = (90, 9, 1);
    Report {
        identity: Identity {
            name: "router-a".into(),
            peer_id: "12D3KooW".into(),
            router_id: RouterId([0xaa; 16]),
        },
        uptime: Duration::from_millis(61_500),
        doors: DoorsReport {
            each: vec![DoorReport {
                name: "fau3d",
                clients: 2,
                messages: 30,
                live: 40,
                live_dropped: 6,
                turned_away: 7,
            }],
            pages: 4,
            crowded_out: 5,
        },
        router: Snapshot {
            clients: vec![client("AA:BB", Some(NASTY_ROOM), 7), client("new", None, 0)],
            detached: 3,
            rooms: vec![router::RoomStatus {
                room: RoomId::new(NASTY_ROOM).unwrap(),
                clients: 1,
                records: 2,
            }],
            records: 2,
            record_bytes: 19_000,
            stats: Stats {
                records_stored: 12,
                records_expired: 10,
                confirmed_single: 12,
                duplicates: 1,
                invalid: 4,
                playlists_sent: 101,
                deliveries: 100,
                resends: 5,
                streams_in: 50,
                streams_out: 250,
                latency,
                latency_sum_us: 6_250_000,
                ..Stats::default()
            },
            upstream: None,
            mesh: None,
        },
        store: Some(Counters {
            transactions: 8,
            records: 12,
            failures: 1,
            failing: true,
            last_error: Some("disk full".into()),
            written_anew: 0,
        }),
        files_written: 2,
        log_lines_dropped: 3,
        mesh: None,
        default_server: DefaultServerReport { name: "main".into(), ..DefaultServerReport::default() },
    }
}

fn parsed(report: &Report) -> Value {
    let json = Status::new(report, vec!["careful".into()]).to_json();
    assert_eq!(json.lines().count(), 1);
    serde_json::from_str(&json).unwrap()
}

#[test]
fn fields_are_named_as_design_has_them() {
    // Given "Interfaces that people and scripts rely on",
    let json = parsed(&report());
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let has_all = |value: &Value, names: &[&str]| {
        let keys = keys(value);
        names.iter().for_each(|name| assert!(keys.iter().any(|key| key == name), "{name} in {keys:?}"));
    };
    // then none of its names is missing.
    #[rustfmt::skip]
    has_all(&json, &[
        "name", "peer_id", "version", "uptime_s", "mode", "coordinator", "deputy", "epoch",
        "list_version", "neighbours", "routers", "clients", "rooms", "records",
    ]);
    has_all(&json["routers"][0], &["name", "peer_id", "priority", "mode", "neighbours", "clients"]);
    has_all(&json["clients"][0], &["client_id", "room", "router", "alive_s"]);
    has_all(&json["rooms"][0], &["room", "clients", "records"]);
    has_all(&json["records"], &["count", "bytes", "expired", "confirmed_single"]);
}

#[test]
fn a_lone_router_leads_itself() {
    let json = parsed(&report());
    assert_eq!(json["mode"], "server");
    assert_eq!(json["coordinator"], "router-a");
    assert_eq!(json["deputy"], "router-a");
    assert_eq!(json["epoch"], json!([0, "aa".repeat(16)]));
    assert_eq!(json["neighbours"], json!([]));
    assert_eq!(json["routers"][0]["name"], "router-a");
    assert_eq!(json["routers"][0]["clients"], 2);
    assert_eq!(Mode::Server.as_str(), json["mode"]);
}

/// Four routers, as `b` sees them: `a` leads and is the deputy, `c` is heard by
/// `a` alone, and two call themselves `c`.
fn report_in_mesh() -> Report {
    let id = |byte| RouterId([byte; 16]);
    let [a, b, c, other] = [id(0x0a), id(0xaa), id(0x0c), id(0x1c)];
    let router = |router, name: &str, mode, neighbours: &[RouterId], clients| router::RouterStatus {
        router,
        name: name.into(),
        priority: (router == a).then_some(0),
        mode,
        neighbours: neighbours.to_vec(),
        clients,
    };
    let incarnation = Incarnation { counter: 1, random: 2 };
    let list = ServerList::new(4, vec![ServerEntry { name: "a".into(), id: None }]);
    let view = View {
        role: Role::Follower,
        coordinator: Coordinator::Router(a),
        deputy: Some(a),
        epoch: Some(Epoch { number: 1_025, router: a, incarnation }),
        list: list.version(),
        members: 4,
        ready: true,
        held: false,
    };
    let mut report = report();
    let client = Present { client_id: ClientId::new("far").unwrap(), room: None, alive_s: 9 };
    report.router.mesh = Some(router::MeshStatus {
        leaves: Vec::new(),
        main: None,
        watches_main: false,
        main_outages: 0,
        names: Vec::new(),
        view,
        list,
        routers: vec![
            router(a, "a", Role::Server, &[b, c, other], 0),
            router(b, "router-a", Role::Follower, &[a], 2),
            router(c, "c", Role::Follower, &[a], 1),
            router(other, "c", Role::Waiting, &[a], 0),
        ],
        neighbours: vec![Neighbour { router: a, contact: None }],
        elsewhere: vec![(client, c)],
        election: fau3_election::Counters { probes: 3, ..Default::default() },
    });
    report.router.stats.records_replicated = 6;
    report.mesh = Some(MeshReport {
        counts: Counts { beacons_strange: 8, ..Counts::default() },
        troubles: vec![MeshTrouble {
            router: Some(a),
            place: "10.0.0.1:8902".into(),
            kind: "tcp",
            text: "TCP does not pass".into(),
        }],
        peer_ids: [(a, "12D3KooWa".to_owned())].into(),
    });
    report
}

#[test]
fn a_mesh_is_shown_as_this_router_sees_it() {
    let json = parsed(&report_in_mesh());
    assert_eq!(
        (&json["mode"], &json["coordinator"], &json["deputy"]),
        (&json!("follower"), &json!("a"), &json!("a"))
    );
    assert_eq!(json["epoch"], json!([1_025, "0a".repeat(16)]));
    assert_eq!((&json["list_version"], &json["mesh"]["list"]), (&json!(4), &json!(["a"])));
    assert_eq!((&json["neighbours"], &json["mesh"]["connected"]), (&json!(["a"]), &json!(["a"])));
    let first = &json["routers"][0];
    assert_eq!(first["peer_id"], "12D3KooWa");
    let trouble =
        json!({"router": "a", "place": "10.0.0.1:8902", "kind": "tcp", "text": "TCP does not pass"});
    assert_eq!(json["mesh"]["troubles"], json!([trouble]));
    assert_eq!((&first["trouble"], &json["routers"][2]["trouble"]), (&trouble["text"], &Value::Null));
    assert_eq!((&first["priority"], &first["mode"]), (&json!(0), &json!("server")));
    assert_eq!(json["routers"][1]["peer_id"], "12D3KooW", "its own is known");
    assert_eq!(json["routers"][2]["peer_id"], Value::Null, "nobody told it");
    assert_eq!(json["records"]["replicated"], 6);
    assert_eq!(json["mesh"]["election"]["probes"], 3);
    assert_eq!(json["mesh"]["dropped"]["beacons_strange"], 8);
}

#[test]
fn a_router_whose_name_another_one_has_is_called_by_its_id() {
    let json = parsed(&report_in_mesh());
    // Given two routers named c, then both have that name,
    assert_eq!((&json["routers"][2]["name"], &json["routers"][3]["name"]), (&json!("c"), &json!("c")));
    // and wherever one of them is meant, its id says which.
    let (c, other) = ("0c".repeat(16), "1c".repeat(16));
    assert_eq!(json["routers"][0]["neighbours"], json!(["router-a", c, other]));
    assert_eq!(json["routers"][3]["id"], json!(other));
    assert_eq!(json["clients"][2]["router"], json!(c));
}

#[test]
fn clients_of_the_whole_mesh_are_shown_with_their_routers() {
    let json = parsed(&report_in_mesh());
    let clients = json["clients"].as_array().unwrap();
    let seen: Vec<_> = clients.iter().map(|client| client["client_id"].as_str().unwrap()).collect();
    assert_eq!(seen, ["AA:BB", "new", "far"]);
    assert_eq!(clients[0]["router"], "router-a");
}

#[test]
fn while_nobody_leads_it_is_said_rather_than_guessed() {
    let mut report = report_in_mesh();
    let mesh = report.router.mesh.as_mut().unwrap();
    mesh.view =
        View { role: Role::Waiting, coordinator: Coordinator::None, deputy: None, epoch: None, ..mesh.view };
    let json = parsed(&report);
    assert_eq!(
        (&json["mode"], &json["coordinator"], &json["deputy"]),
        (&json!("waiting"), &Value::Null, &Value::Null)
    );
    assert_eq!(json["epoch"][0], 0);
    // The main server is called as clients call it.
    let mesh = report.router.mesh.as_mut().unwrap();
    mesh.view = View { role: Role::Default, coordinator: Coordinator::DefaultServer, ..mesh.view };
    let json = parsed(&report);
    assert_eq!((&json["mode"], &json["coordinator"]), (&json!("default"), &json!("main")));
}

#[test]
fn names_come_back_from_json_as_they_were() {
    let json = parsed(&report());
    assert_eq!(json["clients"][0]["room"], NASTY_ROOM);
    assert_eq!(json["clients"][1]["room"], Value::Null, "not subscribed yet");
    assert_eq!(json["rooms"][0], json!({"room": NASTY_ROOM, "clients": 1, "records": 2}));
}

#[test]
fn what_happened_is_counted_by_its_name() {
    let json = parsed(&report());
    assert_eq!(json["uptime_s"], 61);
    assert_eq!(json["records"]["bytes"], 19_000);
    assert_eq!(json["records"]["expired"], 10);
    assert_eq!(json["streams"], json!({"in": 50, "out": 250, "passed": 0}));
    assert_eq!(json["drops"]["invalid"], 4);
    let door = json!({"door": "fau3d", "clients": 2, "messages": 30, "live_frames": 40, "live_dropped": 6, "turned_away": 7});
    assert_eq!(json["doors"], json!([door]));
    assert_eq!((&json["store"]["transactions"], &json["store"]["records"]), (&json!(8), &json!(12)));
    let in_ram = Report { store: None, ..report() };
    assert_eq!(parsed(&in_ram)["store"], Value::Null);
    assert_eq!(json["writes"], json!({"files": 2, "transactions": 8}));
    assert_eq!(parsed(&in_ram)["writes"], json!({"files": 2, "transactions": 0}));
}

#[test]
fn storage_that_fails_is_warned_of_until_it_works_again() {
    // Given a store whose latest write has failed,
    let mut report = report();
    let json = parsed(&report);
    assert_eq!(json["warnings"][0], "careful");
    let warning = json["warnings"][1].as_str().unwrap();
    assert!(warning.contains("disk full") && warning.contains("node.data_dir"), "{warning}");
    // when one works again, then only the count is left.
    report.store.as_mut().unwrap().failing = false;
    let json = parsed(&report);
    assert_eq!(json["warnings"], json!(["careful"]));
    assert_eq!((&json["store"]["failures"], &json["store"]["last_error"]), (&json!(1), &json!("disk full")));
}

#[test]
fn percentiles_are_the_upper_bounds_of_their_buckets() {
    // Given 90 deliveries within 1 ms, 9 within 10 ms, 1 beyond 5 s,
    let mut report = report();
    let json = parsed(&report);
    assert_eq!(json["deliveries"]["latency_ms_mean"], 62.5);
    assert_eq!(json["deliveries"]["latency_ms_p50"], 1);
    assert_eq!(json["deliveries"]["latency_ms_p99"], 10);
    // with a second slow one, 99 of 100 reaches beyond the bounds;
    report.router.stats.latency[LATENCY_BOUNDS_MS.len()] += 1;
    assert_eq!(parsed(&report)["deliveries"]["latency_ms_p99"], Value::Null);
    // before the first delivery nothing is claimed.
    report.router.stats = Stats::default();
    assert_eq!(parsed(&report)["deliveries"]["latency_ms_mean"], Value::Null);
    assert_eq!(parsed(&report)["deliveries"]["latency_ms_p50"], Value::Null);
}

#[test]
fn the_default_server_is_shown_with_since_when_and_why() {
    // Given none, then the fields are there all the same,
    let json = parsed(&report());
    assert_eq!(json["default_server"]["url"], Value::Null);
    // Given one that is gone, and whose list was broken,
    let mut report = report();
    report.default_server = DefaultServerReport {
        url: Some("ws://10.0.0.1:8901/".into()),
        kind: Some(ServerKind::Legacy),
        reachable: Some((false, Duration::from_millis(4_900))),
        watch: WatchReport {
            watching: true,
            outages: 2,
            trouble: Some("Connection refused".into()),
            fetched: Some((Instant::now(), ListReport::Unusable("empty".into()))),
            fetches: (1, 2),
        },
        ..report.default_server
    };
    let server = &parsed(&report)["default_server"];
    assert_eq!((&server["kind"], &server["reachable"]), (&json!("legacy"), &json!(false)));
    assert_eq!((&server["since_s"], &server["outages"]), (&json!(4), &json!(2)));
    assert_eq!(server["trouble"], "Connection refused");
    assert_eq!(
        (&server["list"]["outcome"], &server["list"]["reason"]),
        (&json!("unusable"), &json!("empty"))
    );
    assert!(parsed(&report)["warnings"][2].as_str().unwrap().contains("list of the main server is empty"));
    // when it is back, a router in no mesh follows it, and no trouble is left.
    report.default_server.reachable = Some((true, Duration::ZERO));
    let json = parsed(&report);
    assert_eq!((&json["mode"], &json["coordinator"]), (&json!("default"), &json!("main")));
    assert_eq!(json["default_server"]["trouble"], Value::Null);
}
