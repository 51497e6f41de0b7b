//! The configuration as people meet it: DESIGN.md's file, what is said about
//! a wrong one, `--set`, and a reload.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use fau3::config::{
    Address, Config, Diagnostic, Discovery, LogLevel, Peer, Places, SECTIONS, Scheme, Storage, Surroundings,
    bounds, uci,
};
use std::path::Path;

/// "Interfaces that people and scripts rely on", word for word.
const DESIGN: &str = r"
config node 'node'
	option enabled '1'
	option name 'router-a'                  # default: the host's name
	option data_dir '/tmp/fau3'             # what may be lost with the power
	option identity '/etc/fau3/identity.key'
	option control '/var/run/fau3.sock'
	option console '127.0.0.1:8903'         # HTTP: page, /status, /metrics; empty: off
	option log 'info'

config clients 'clients'                        # FAU3VOM-D
	list listen '[::]:8901'
	option max_clients '256'
	option retry_interval_s '5'
	option retry_count '3'
	option session_grace_s '60'
	option storage 'ram'                    # ram | disk: what FAU3_STORED promises
	option storage_max_kib '4096'           # some 440 messages of 5 s
	option storage_max_age_s '3600'
	option copies '2'                       # routers that must hold a record before FAU3_STORED
	list allow_client 'AA:BB:CC:DD:EE:FF'   # none: anyone

config mesh 'mesh'                              # FAU3VOM-E
	option enabled '1'
	list listen '[::]:8902'                 # TCP (libp2p, WebSocket) and UDP (beacons)
	option key '/etc/fau3/mesh.key'         # no file: the well-known key, LAN only, a warning at every start
	option beacon_ms '250'
	list discovery 'mdns'                   # mdns, batman
	list peer '192.168.1.2:8902'

config default_server 'default_server'          # none: the mesh leads itself
	option name 'fau3vomdMain'
	option url 'ws://10.10.11.156:8901'
	option check_interval_ms '250'          # over one standing connection
	option hold_ms '3000'                   # answers so long before it counts as back

config extra_server                             # highest priority first
	option name 'router-a'
";

fn around() -> Surroundings {
    Surroundings { host_name: "host".to_owned(), places: Places::of_system() }
}

fn owned(sets: &[&str]) -> Vec<String> {
    sets.iter().map(|set| (*set).to_owned()).collect()
}

/// The configuration of `text` and `sets`, which may be warned about.
fn read(text: &str, sets: &[&str]) -> Config {
    Config::read(Some((Path::new("f"), text)), &owned(sets), &around()).unwrap().0
}

/// Each error of `text` and `sets`, as it is printed.
fn errors(text: &str, sets: &[&str]) -> Vec<String> {
    let result = Config::read(Some((Path::new("f"), text)), &owned(sets), &around());
    result.unwrap_err().0.iter().map(Diagnostic::to_string).collect()
}

/// Each warning of `text`, as it is printed.
fn warnings(text: &str) -> Vec<String> {
    let (_, warnings) = Config::read(Some((Path::new("f"), text)), &[], &around()).unwrap();
    warnings.iter().map(Diagnostic::to_string).collect()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn peer(text: &str) -> Peer {
    text.parse().unwrap()
}

#[test]
fn the_design_s_file_holds_the_defaults_it_states() {
    // Given the file of DESIGN.md, in which all but six values are the defaults.
    let config = read(DESIGN, &[]);
    assert_eq!(warnings(DESIGN), [""; 0]);
    // Then they are as given,
    let mut expected = Config::defaults(&around());
    assert_eq!(config.node.name, "router-a");
    assert_eq!(config.clients.allow_client[0].as_str(), "AA:BB:CC:DD:EE:FF");
    assert_eq!(config.mesh.peer, [peer("192.168.1.2:8902")]);
    assert_eq!(config.default_server.url.as_ref().unwrap().to_string(), "ws://10.10.11.156:8901/");
    assert_eq!(config.extra_servers, ["router-a"]);
    // the control socket has since moved to a folder of the service's user,
    assert_eq!(config.node.control, Path::new("/var/run/fau3.sock"));
    expected.node.control.clone_from(&config.node.control);
    // and all the others are as they are without a file.
    expected.node.name.clone_from(&config.node.name);
    expected.clients.allow_client.clone_from(&config.clients.allow_client);
    expected.mesh.peer.clone_from(&config.mesh.peer);
    expected.default_server.url.clone_from(&config.default_server.url);
    expected.default_server.is_configured = true;
    expected.extra_servers.clone_from(&config.extra_servers);
    assert_eq!(config, expected);
}

#[test]
fn the_design_s_file_names_every_option_there_is() {
    let sections = uci::parse(DESIGN).unwrap();
    let given = sections.iter().flat_map(|section| {
        section.entries.iter().map(|entry| format!("{}.{}", section.kind, entry.name)).collect::<Vec<_>>()
    });
    let known = SECTIONS.iter().flat_map(|section| {
        section.options.iter().map(|option| format!("{}.{}", section.name, option.name)).collect::<Vec<_>>()
    });
    // and what was added to it since.
    const ADDED: [&str; 4] =
        ["clients.hosts_file", "clients.allow_origin", "mesh.interface", "node.instance"];
    let known = known.filter(|name| !ADDED.contains(&&**name));
    assert_eq!(given.collect::<Vec<_>>(), known.collect::<Vec<_>>());
}

#[test]
fn the_package_s_file_is_the_defaults_and_shows_every_option() {
    let text = include_str!("../openwrt/fau3/files/etc/config/fau3");
    assert_eq!(read(text, &[]), Config::defaults(&around()));
    assert_eq!(warnings(text), [""; 0]);
    // Also with every example in it made real, nothing is misspelt.
    let shown = text.lines().map(|line| {
        let bare = line.trim_start().trim_start_matches('#').trim_start();
        let is_code = ["config ", "option ", "list "].iter().any(|word| bare.starts_with(word));
        if is_code { bare } else { "" }
    });
    let shown = shown.collect::<Vec<_>>().join("\n");
    assert_eq!(warnings(&shown), [""; 0]);
    for (section, option) in SECTIONS.iter().flat_map(|s| s.options.iter().map(move |o| (s, o))) {
        let sections = uci::parse(&shown).unwrap();
        let mut entries = sections.iter().filter(|given| given.kind == section.name).flat_map(|s| &s.entries);
        assert!(entries.any(|entry| entry.name == option.name), "{}.{}", section.name, option.name);
    }
}

#[test]
fn an_error_names_file_line_section_option_value_and_what_would_be_right() {
    assert_eq!(
        errors("\nconfig clients 'clients'\n\toption retry_count 'many'\n", &[]),
        ["f:3: clients.retry_count: 'many' is not a whole number from 0 to 100"]
    );
}

#[test]
fn all_errors_are_told_in_the_order_of_the_file() {
    let text =
        "config clients\noption copies 0\nopton x\nconfig mesh\noption enabled maybe\nlist peer here\n";
    let told = errors(text, &["node.log=loud", "nod.name=x"]);
    let starts = [
        "f:2: clients.copies: '0' is not",
        "f:3: 'opton' is not one of config,",
        "f:5: mesh.enabled: 'maybe' is not one of 1, 0, on,",
        "f:6: mesh.peer: 'here' is not an IP address or a host's name with its port, such as",
        "--set: ",
        "--set: ",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (line, start) in told.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn a_hosts_file_is_a_path_or_off() {
    assert_eq!(read("", &["clients.hosts_file=/tmp/x"]).clients.hosts_file, Some("/tmp/x".into()));
    assert_eq!(read("", &["clients.hosts_file=off"]).clients.hosts_file, None);
    let openwrt = Path::new("/var/run/fau3").is_dir().then(|| "/var/run/fau3/hosts".into());
    assert_eq!(read("", &[]).clients.hosts_file, openwrt, "where a file is read");
    assert_eq!(Places::inside(Path::new("/x")).hosts_file, None);
}

#[test]
fn booleans_are_the_words_of_uci() {
    for (words, expected) in
        [(["1", "on", "true", "yes", "enabled"], true), (["0", "off", "false", "no", "disabled"], false)]
    {
        for word in words {
            assert_eq!(read("", &[&format!("mesh.enabled={word}")]).mesh.enabled, expected, "{word}");
        }
    }
    assert_eq!(errors("", &["mesh.enabled=2"]).len(), 1);
}

#[test]
fn every_number_keeps_its_bounds() {
    let numbers = [
        ("node.instance", bounds::INSTANCE),
        ("clients.max_clients", bounds::MAX_CLIENTS),
        ("clients.retry_interval_s", bounds::RETRY_INTERVAL_S),
        ("clients.retry_count", bounds::RETRY_COUNT),
        ("clients.session_grace_s", bounds::SESSION_GRACE_S),
        ("clients.storage_max_kib", bounds::STORAGE_MAX_KIB),
        ("clients.storage_max_age_s", bounds::STORAGE_MAX_AGE_S),
        ("clients.copies", bounds::COPIES),
        ("mesh.beacon_ms", bounds::BEACON_MS),
        ("default_server.check_interval_ms", bounds::CHECK_INTERVAL_MS),
        ("default_server.hold_ms", bounds::HOLD_MS),
    ];
    for (name, bounds::Number { min, max }) in numbers {
        for inside in [min, max] {
            read("", &[&format!("{name}={inside}")]);
        }
        let outside = [i64::from(min) - 1, i64::from(max) + 1].map(|number| number.to_string());
        for outside in outside.iter().map(String::as_str).chain([
            "+1",
            "1.5",
            "0x10",
            " 100",
            "0100",
            "00",
            "4294967396",
        ]) {
            let told = errors("", &[&format!("{name}={outside}")]);
            let expected = format!("--set: {name}: '{outside}' is not a whole number from {min} to {max}");
            assert_eq!(told, [expected]);
        }
    }
}

#[test]
fn the_byte_bound_of_storage_fits_32_bits() {
    assert!(u32::try_from(u64::from(bounds::STORAGE_MAX_KIB.max) * 1024).is_ok());
}

#[test]
fn a_listen_address_is_ipv4_or_bracketed_ipv6_with_port_and_perhaps_zone() {
    for right in ["0.0.0.0:8901", "[::]:8901", "[fe80::1%br-lan]:8901", "[fe80::1%3]:8901", "127.0.0.1:0"] {
        let config = read("", &[&format!("clients.listen={right}")]);
        assert_eq!(config.clients.listen[0].to_string(), right);
    }
    let wrong = [
        "8901",
        ":8901",
        "::8901",
        "[::]",
        "[::]8901",
        "0.0.0.0",
        "localhost:8901",
        "[::]:65536",
        "[::]:+1",
        "[::]:",
        "[fe80::1%]:1",
        "[fe80::1%a/b]:1",
        "1.2.3.4%lan:1",
        "[1.2.3.4]:1",
        "[fe80::1%sixteen-letters-]:1",
    ];
    for wrong in wrong {
        let told = errors("", &[&format!("clients.listen={wrong}")]);
        assert!(
            told[0].contains("is not an IP address with its port, such as [::]:8901"),
            "{wrong}: {told:?}"
        );
    }
}

#[test]
fn a_zone_becomes_the_interface_s_number() {
    let number = |name: &str| (name == "br-lan").then_some(7);
    let scoped = |text: &str| address(text).socket_addr(number).map(|address| address.to_string());
    assert_eq!(scoped("[fe80::1%br-lan]:1").as_deref(), Some("[fe80::1%7]:1"));
    assert_eq!(scoped("[fe80::1%3]:1").as_deref(), Some("[fe80::1%3]:1"));
    assert_eq!(scoped("[fe80::1%gone]:1"), None);
    assert_eq!(scoped("[::]:1").as_deref(), Some("[::]:1"));
    assert_eq!(scoped("1.2.3.4:1").as_deref(), Some("1.2.3.4:1"));
}

#[test]
fn a_peer_has_a_port_that_can_be_called() {
    for wrong in ["192.168.1.2:0", "router-b.lan:0", "router-b.lan", "192.168.1.256:8902", "a b:1", ":1"] {
        assert_eq!(errors("", &[&format!("mesh.peer={wrong}")]).len(), 1, "{wrong}");
    }
}

#[test]
fn a_peer_is_an_address_or_a_name() {
    assert_eq!(peer("[fe80::1%br-lan]:8902"), Peer::Address(address("[fe80::1%br-lan]:8902")));
    assert_eq!(peer("router-b.lan:8902"), Peer::Name { name: "router-b.lan".to_owned(), port: 8902 });
    assert_eq!(read("", &["mesh.peer=router-b.lan:8902"]).mesh.peer[0].to_string(), "router-b.lan:8902");
}

#[test]
fn the_default_server_s_url_has_a_scheme_a_host_and_a_port() {
    let url = |text: &str| read("", &[&format!("default_server.url={text}")]).default_server.url.unwrap();
    let v6 = url("ws://[fe80::1%br-lan]:8901/x?y=1");
    assert_eq!((v6.host.as_str(), v6.port, v6.path.as_str()), ("fe80::1%br-lan", 8901, "/x?y=1"));
    assert_eq!(url("WS://main.example:80").to_string(), "ws://main.example:80/");
    let node = url("fau3://main.example.org:8902");
    assert_eq!((node.scheme, node.host.as_str(), node.port), (Scheme::Fau3, "main.example.org", 8902));
    assert_eq!(node.to_string(), "fau3://main.example.org:8902");
    let through_proxy = url("fau3+ws://[2001:db8::1]:443/mesh");
    assert_eq!((through_proxy.scheme, through_proxy.path.as_str()), (Scheme::Fau3Ws, "/mesh"));
    assert_eq!(through_proxy.to_string(), "fau3+ws://[2001:db8::1]:443/mesh");
    let wrong = [
        "10.0.0.1:8901",
        "wss://10.0.0.1:8901",
        "http://10.0.0.1:8901",
        "ws://10.0.0.1",
        "ws://10.0.0.1:0",
        "ws://:8901",
        "ws://10.0.0.256:8901",
        "ws://a b:8901",
        "ws://u@host:8901",
        "ws://::1:8901",
        "ws://h:1/#x",
        "fau3://main.example.org",
        "fau3://main.example.org:8902/path",
        "fau3+wss://main.example.org:8902",
        "main.example.org:8902",
    ];
    for wrong in wrong {
        let told = errors("", &[&format!("default_server.url={wrong}")]);
        assert!(
            told[0].contains("is not a URL with its port: ws://10.10.11.156:8901 (a server that speaks"),
            "{wrong}: {told:?}"
        );
    }
}

#[test]
fn a_default_server_without_url_is_warned_about() {
    let told = warnings("config default_server 'default_server'\n\toption name 'main'\n");
    assert!(told[0].starts_with("f:1: default_server: no url is given"), "{told:?}");
}

#[test]
fn a_default_server_that_is_a_node_without_a_mesh_is_warned_about() {
    for (url, is_node) in [("fau3://m:8902", true), ("fau3+ws://m:80/x", true), ("ws://m:8901", false)] {
        let file = format!(
            "config mesh 'mesh'\n\toption enabled '0'\nconfig default_server 'd'\n\toption url '{url}'\n"
        );
        let told = warnings(&file);
        assert_eq!(
            told.iter().any(|told| told.contains("mesh.enabled is 0: it is never there")),
            is_node,
            "{told:?}"
        );
        assert!(warnings(&file.replace("'0'", "'1'")).iter().all(|told| !told.contains("mesh.enabled")));
    }
}

#[test]
fn a_router_whose_name_is_the_default_server_s_is_it_and_needs_no_url() {
    let file = "config node 'node'\n\toption name 'main'\nconfig default_server 'default_server'\n\toption name 'main'\n";
    assert!(warnings(file).is_empty(), "{:?}", warnings(file));
    assert!(read(file, &[]).is_default_server() && !read("", &[]).is_default_server());
    let told = warnings(&format!("{file}\toption url 'fau3://main.example.org:8902'\n"));
    assert!(told[0].contains("this router is the main server itself"), "{told:?}");
}

#[test]
fn discovery_and_storage_and_log_are_one_of_a_few_words() {
    assert_eq!(
        read("", &["mesh.discovery=batman", "mesh.discovery=mdns"]).mesh.discovery,
        [Discovery::Batman, Discovery::Mdns]
    );
    assert_eq!(read("", &["node.log=trace"]).node.log, LogLevel::Trace);
    assert_eq!(read("", &["clients.storage=ram"]).clients.storage, Storage::Ram);
    assert_eq!(
        errors("", &["mesh.discovery=dns"]),
        ["--set: mesh.discovery: 'dns' is not mdns or batman, or off alone"]
    );
    assert_eq!(errors("", &["node.log=loud"]).len(), 1);
}

#[cfg(feature = "disk")]
#[test]
fn storage_on_disk_can_be_chosen() {
    assert_eq!(read("", &["clients.storage=disk"]).clients.storage, Storage::Disk);
    assert_eq!(
        errors("", &["clients.storage=flash"]),
        ["--set: clients.storage: 'flash' is not ram or disk"]
    );
}

#[cfg(not(feature = "disk"))]
#[test]
fn storage_on_disk_is_refused_where_it_is_not_built_in() {
    assert!(errors("", &["clients.storage=disk"])[0].contains("'disk' is not ram"));
}

#[test]
fn discovery_and_console_can_be_off() {
    assert_eq!(read("", &["mesh.discovery=off"]).mesh.discovery, []);
    assert_eq!(errors("", &["mesh.discovery=off", "mesh.discovery=mdns"]).len(), 1);
    for off in ["option console 'off'", "option console ''"] {
        assert_eq!(read(&format!("config node\n{off}\n"), &[]).node.console, None, "{off}");
    }
}

#[test]
fn allowed_clients_are_client_ids() {
    let config = read("config clients\nlist allow_client 'a b'\nlist allow_client 'c'\n", &[]);
    assert_eq!(config.clients.allow_client.len(), 2);
    for wrong in [" a", "a ", "ä", &"x".repeat(65)] {
        let told = errors("", &[&format!("clients.allow_client={wrong}")]);
        assert!(told[0].contains("is not a client id: 1 to 64 printable ASCII"), "{told:?}");
    }
}

#[test]
fn allowed_origins_are_as_browsers_say_them() {
    let right =
        ["https://intercom.example", "http://10.0.0.1:8080", "http://[fd00::1]", "null", "*", "file://"];
    let lines: String = right.iter().map(|origin| format!("list allow_origin '{origin}'\n")).collect();
    assert_eq!(read(&format!("config clients\n{lines}"), &[]).clients.allow_origin, right);
    for wrong in ["intercom.example", "https://", "https://a/", "https://a/b", "://a", "https://a b"] {
        let told = errors("", &[&format!("clients.allow_origin={wrong}")]);
        assert!(
            told[0].contains("is not where a page is from, without a path, such as https://"),
            "{told:?}"
        );
    }
}

#[test]
fn router_names_are_letters_digits_and_a_few_signs() {
    assert_eq!(read("", &["node.name=Router_1.lan-a"]).node.name, "Router_1.lan-a");
    for wrong in ["a b", "ä", "a/b", &"x".repeat(65)] {
        assert_eq!(errors("", &[&format!("node.name={wrong}")]).len(), 1, "{wrong}");
    }
}

#[test]
fn a_socket_s_path_fits_the_system() {
    let path = |len| format!("node.control=/{}", "x".repeat(len - 1));
    read("", &[&path(bounds::SOCKET_PATH_LEN_MAX)]);
    let told = errors("", &[&path(bounds::SOCKET_PATH_LEN_MAX + 1)]);
    assert!(told[0].ends_with("...' is not a path (1 to 107 bytes)"), "{told:?}");
}

#[test]
fn extra_servers_keep_the_order_of_their_sections() {
    let text = "config extra_server\noption name 'b'\nconfig extra_server x\noption name 'a'\n";
    assert_eq!(read(text, &[]).extra_servers, ["b", "a"]);
    let told = errors("config extra_server\n", &[]);
    assert_eq!(told, ["f:1: extra_server: has no name; add: option name 'VALUE'"]);
}

#[test]
fn an_option_given_twice_is_warned_about_and_the_last_counts() {
    let text = "config clients\noption copies 3\noption copies 4\n";
    assert_eq!(read(text, &[]).clients.copies, 4);
    assert_eq!(warnings(text), ["f:3: clients.copies: given already in line 2 as '3'; the last one counts"]);
    let text = "config extra_server\noption name 'a'\noption name 'b'\n";
    assert_eq!(read(text, &[]).extra_servers, ["b"]);
    assert_eq!(warnings(text).len(), 1);
}

#[test]
fn an_option_after_a_list_replaces_it_and_a_list_after_an_option_adds() {
    let text = "config mesh\nlist peer '1.1.1.1:1'\noption peer '2.2.2.2:2'\nlist peer '3.3.3.3:3'\n";
    assert_eq!(read(text, &[]).mesh.peer, [peer("2.2.2.2:2"), peer("3.3.3.3:3")]);
    assert_eq!(warnings(text).len(), 1);
}

#[test]
fn a_value_stands_once_in_a_list() {
    let text = "config mesh\nlist peer '1.1.1.1:1'\nlist peer '1.1.1.1:1'\n";
    assert_eq!(read(text, &[]).mesh.peer.len(), 1);
    assert_eq!(warnings(text), ["f:3: mesh.peer: '1.1.1.1:1' is in the list already"]);
}

#[test]
fn lists_are_bounded() {
    let entry = |n: usize| format!("list peer '10.0.{}.{}:1'\n", n / 256, n % 256);
    let entries = |n: usize| format!("config mesh\n{}", (0..n).map(entry).collect::<String>());
    assert_eq!(read(&entries(bounds::PEER_LEN_MAX), &[]).mesh.peer.len(), bounds::PEER_LEN_MAX);
    let told = errors(&entries(bounds::PEER_LEN_MAX + 1), &[]);
    assert_eq!(told, ["f:258: mesh.peer: 256 values are the most; remove some"]);
}

#[test]
fn an_empty_option_is_not_set() {
    let config =
        read("config clients\noption copies ''\noption max_clients\nconfig node\noption name ''\n", &[]);
    assert_eq!(config, Config::defaults(&around()));
}

#[test]
fn a_section_given_twice_is_one_with_a_warning() {
    let text = "config clients 'clients'\noption copies 3\nconfig clients\noption max_clients 9\n";
    let config = read(text, &[]);
    assert_eq!((config.clients.copies, config.clients.max_clients), (3, 9));
    assert_eq!(warnings(text), ["f:3: clients: begun in line 1 already; both are read as one section"]);
}

#[test]
fn unknown_names_are_warned_about_with_the_nearest_known_one() {
    let text =
        "config client 'c'\nconfig clients\noption max_client 3\noption peer x\noption zzz y\nconfig zzz\n";
    assert_eq!(
        warnings(text),
        [
            "f:1: unknown section 'client', ignored; did you mean 'clients'?",
            "f:3: clients.max_client: unknown option, ignored; did you mean 'max_clients'?",
            "f:4: clients.peer: unknown option, ignored; it belongs in section 'mesh'",
            "f:5: clients.zzz: unknown option, ignored; known are: listen, max_clients, retry_interval_s, retry_count, \
         session_grace_s, storage, storage_max_kib, storage_max_age_s, copies, hosts_file, allow_client, \
         allow_origin",
            "f:6: unknown section 'zzz', ignored; known are: node, clients, mesh, default_server, extra_server",
        ]
    );
    assert_eq!(
        warnings("config fau3 'mesh'\n"),
        ["f:1: unknown section 'fau3', ignored; did you mean 'mesh'?"]
    );
}

#[test]
fn a_forgotten_quote_is_hinted_at() {
    let told = errors("config node\noption name 'a\noption log 'info\n", &[]);
    let message = r"f:2: node.name: 'a\noption log info' is not a name of letters, digits, '.', '_' and '-' (1 to 64 bytes) (is a quote missing in this line?)";
    assert_eq!(told, [message]);
}

#[test]
fn one_address_is_listened_on_once() {
    let told = errors("config mesh\nlist listen '[::]:8901'\n", &[]);
    assert_eq!(
        told,
        ["f:2: mesh.listen: '[::]:8901' is taken by clients.listen already; give one another port"]
    );
    let told = errors("", &["clients.listen=127.0.0.1:8903"]);
    assert_eq!(told.len(), 1);
    read("config mesh\noption enabled 0\nlist listen '[::]:8901'\n", &[]);
    read("", &["clients.listen=127.0.0.1:0", "mesh.listen=127.0.0.1:0", "node.console=127.0.0.1:0"]);
}

#[test]
fn set_overrides_the_file_and_the_last_set_counts() {
    let config = read("config clients\noption copies 3\n", &["clients.copies=4", "clients.copies=5"]);
    assert_eq!(config.clients.copies, 5);
}

#[test]
fn the_first_set_of_a_list_replaces_and_the_next_ones_add() {
    let config =
        read("config mesh\nlist peer '1.1.1.1:1'\n", &["mesh.peer=2.2.2.2:2", "mesh.peer=3.3.3.3:3"]);
    assert_eq!(config.mesh.peer, [peer("2.2.2.2:2"), peer("3.3.3.3:3")]);
    assert_eq!(read("", &["clients.listen=127.0.0.1:1"]).clients.listen, [address("127.0.0.1:1")]);
}

#[test]
fn an_empty_set_empties_a_list_that_may_be_empty() {
    assert_eq!(read("config mesh\nlist peer '1.1.1.1:1'\n", &["mesh.peer="]).mesh.peer, []);
    assert_eq!(read("", &["mesh.discovery="]).mesh.discovery, []);
    assert!(
        errors("", &["clients.listen="])[0]
            .starts_with("--set: clients.listen: needs at least one value: an IP")
    );
}

#[test]
fn each_set_of_extra_server_name_adds_a_server() {
    let config = read("", &["extra_server.name=b", "extra_server.name=a"]);
    assert_eq!(config.extra_servers, ["b", "a"]);
}

#[test]
fn a_set_that_cannot_be_meant_is_an_error_that_shows_the_form() {
    for (set, part) in [
        ("copies", "'copies' has no '='; write: --set SECTION.OPTION=VALUE"),
        ("copies=3", "'copies' has no '.'; write: --set SECTION.OPTION=VALUE"),
        ("clients.copy=3", "there is no option 'clients.copy'; did you mean clients.copies?"),
        ("a.b=c", "there is no option 'a.b'; known are: node.enabled, node.instance, node.name,"),
    ] {
        let told = errors("", &[set]);
        assert!(told[0].starts_with(&format!("--set: {part}")), "{told:?}");
    }
}

#[test]
fn a_reload_tells_what_is_live_and_what_needs_a_restart() {
    let old = Config::defaults(&around());
    let sets =
        ["clients.copies=3", "mesh.peer=1.1.1.1:1", "clients.listen=127.0.0.1:1", "extra_server.name=a"];
    let new = read("", &sets);
    // When the running program is told of the new file
    let changes = old.diff(&new);
    // Then it knows which changes to apply and which to report,
    assert_eq!(changes.live, ["clients.copies", "mesh.peer", "extra_server.name"]);
    assert_eq!(changes.restart, ["clients.listen"]);
    // and once applied, only the latter is left.
    let mut running = old.clone();
    running.apply_live(&new);
    let left = running.diff(&new);
    assert_eq!((left.live.len(), left.restart), (0, changes.restart));
    assert_eq!(old.diff(&old), fau3::config::Changes::default());
}

#[test]
fn a_printed_configuration_reads_the_same_again() {
    let sets = ["mesh.discovery=off", "node.console=off", "clients.allow_client=it's", "extra_server.name=a"];
    for config in [read(DESIGN, &[]), read("", &sets), Config::defaults(&around())] {
        let text = uci::print(&config.sections());
        assert_eq!(read(&text, &[]), config, "{text}");
        let told = warnings(&text).into_iter().filter(|warning| !warning.contains("no url is given"));
        assert_eq!(told.collect::<Vec<_>>(), [""; 0], "{text}");
    }
}

#[test]
fn no_file_means_a_state_folder_and_a_file_means_the_system_s_places() {
    let (with, without) = (Surroundings::of_this_process(true), Surroundings::of_this_process(false));
    assert_eq!(with.places, Places::of_system());
    let folder = without.places.control.parent().unwrap();
    assert_eq!(without.places, Places::inside(folder));
    let (config, _) = Config::load(None, &owned(&["clients.copies=3"])).unwrap();
    assert_eq!((config.clients.copies, config.node.control), (3, without.places.control));
}

#[test]
fn what_is_told_is_bounded() {
    let told = warnings(&format!("config node\n{}", "option x y\n".repeat(1_000)));
    assert_eq!((told.len(), told[64].as_str()), (65, "and 936 more"));
    let told = errors(
        &format!("config mesh\n{}", (0..250).map(|n| format!("list peer {n}\n")).collect::<String>()),
        &[],
    );
    assert_eq!((told.len(), told[64].as_str()), (65, "and 186 more"));
}

/// xorshift: the same numbers on every machine.
struct Random(u32);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        usize::try_from(self.0).unwrap() % end
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn text(&mut self, of: &[char], len_min: usize) -> String {
        let len = len_min + self.below(12);
        (0..len).map(|_| *self.pick(of)).collect()
    }
}

/// Whatever comes in, both layers answer, and what they accept (then true) they
/// print and read again.
fn survives(text: &str) -> bool {
    let (sections, errors) = uci::parse_all(text);
    assert!(errors.len() <= uci::ERRORS_MAX);
    assert_eq!(uci::parse(text).is_ok(), errors.is_empty());
    assert!(errors.iter().all(|error| error.line >= 1 && !error.message.contains('\n')), "{errors:?}");
    assert!(sections.iter().all(|section| section.line >= 1));
    let _ = Config::read(None, &[text.to_owned()], &around());
    if let Ok((config, _)) = Config::read(Some((Path::new("f"), text)), &[], &around()) {
        assert_eq!(read(&uci::print(&config.sections()), &[]), config);
        return true;
    }
    false
}

#[test]
fn no_random_bytes_make_the_parser_panic() {
    let mut random = Random(0x5eed_0001);
    let telling = "config option list package '\"\\\n\r\t ;#abc=.[]:%_0\u{0}ü";
    let telling: Vec<char> = telling.chars().collect();
    for _ in 0..20_000 {
        let text: String = (0..random.below(60)).map(|_| *random.pick(&telling)).collect();
        survives(&text);
        let bytes: Vec<u8> =
            (0..random.below(60)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        survives(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn no_mutated_file_makes_the_parser_panic() {
    let mut random = Random(0x5eed_0002);
    let characters: Vec<char> = DESIGN.chars().collect();
    let mut accepted = 0;
    for _ in 0..3_000 {
        let mut mutated = characters.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(mutated.len() - 1);
            let other = *random.pick(&characters);
            match random.below(4) {
                0 => drop(mutated.remove(at)),
                1 => mutated.insert(at, other),
                2 => mutated[at] = other,
                _ => mutated.truncate(at + 2),
            }
        }
        accepted += usize::from(survives(&mutated.into_iter().collect::<String>()));
    }
    // Both ways out were taken, each many times.
    assert!((500..2_500).contains(&accepted), "{accepted}");
}

#[test]
fn what_is_printed_is_read_back() {
    let mut random = Random(0x5eed_0003);
    let name: Vec<char> = "abz_AZ09".chars().collect();
    let kind: Vec<char> = "ab-.+'\"\\#;_9".chars().collect();
    let value: Vec<char> = "ab '\"\\#;\n\r\t=ü€".chars().collect();
    for _ in 0..5_000 {
        // Given sections of any kind, under names that differ,
        let section = |random: &mut Random, n: usize| uci::Section {
            kind: random.text(&kind, 1),
            name: (random.below(2) == 0).then(|| format!("{}{n}", random.text(&name, 1))),
            line: 0,
            entries: (0..random.below(5))
                .map(|_| uci::Entry {
                    name: random.text(&name, 1),
                    value: random.text(&value, 0),
                    is_list: random.below(2) == 0,
                    line: 0,
                })
                .collect(),
        };
        let sections: Vec<_> = (0..random.below(5)).map(|n| section(&mut random, n)).collect();
        // When they are printed and read
        let mut read = uci::parse(&uci::print(&sections)).unwrap();
        // Then all but the lines is the same.
        for section in &mut read {
            section.line = 0;
            section.entries.iter_mut().for_each(|entry| entry.line = 0);
        }
        assert_eq!(read, sections);
    }
}

#[test]
fn a_second_router_on_one_machine_is_one_option() {
    // Given the instance in the file or on the command line,
    let (first, second) = (read("", &[]), read("", &["node.instance=2"]));
    assert_eq!(read("config node\noption instance '2'\n", &[]), second);
    // then everything that only one can have is another one's by default,
    let shown = |config: &Config| {
        let console = config.node.console.as_ref().unwrap().to_string();
        let ports = [&config.clients.listen[0], &config.mesh.listen[0]].map(ToString::to_string);
        (ports, console, config.node.name.clone(), config.node.control.clone())
    };
    let (ports, console, name, control) = shown(&second);
    assert_eq!(
        (ports, &*console, &*name),
        (["[::]:8911".into(), "[::]:8912".into()], "127.0.0.1:8913", "host-2")
    );
    assert_eq!(control, Path::new("/var/run/fau3/fau3-2.sock"));
    assert_ne!((&first.node.identity, &first.node.data_dir), (&second.node.identity, &second.node.data_dir));
    // the command line counts more than the file, and what is given more than the default.
    let third = read("config node\noption instance '2'\n", &["node.instance=3", "node.name=mine"]);
    assert_eq!((third.clients.listen[0].port, &*third.node.name), (8921, "mine"));
    assert_eq!(
        errors("", &["node.instance=10"]),
        ["--set: node.instance: '10' is not a whole number from 1 to 9"]
    );
}

#[test]
fn addresses_of_which_one_is_every_address_need_one_socket_and_two_doors_need_two_ports() {
    let told = warnings("config clients\nlist listen '0.0.0.0:8901'\nlist listen '[::]:8901'\n");
    assert_eq!(
        told,
        ["f:3: clients.listen: '0.0.0.0:8901' is left out: [::]:8901 is every address, it too"],
        "and check-config says so"
    );
    for (given, left) in [
        (&["0.0.0.0:8901", "[::]:8901"][..], &["[::]:8901"][..]),
        (&["[::]:8901", "192.168.1.1:8901", "[fe80::1%br-lan]:8901"], &["[::]:8901"]),
        (&["0.0.0.0:8901", "10.0.0.1:8901", "[fd00::1]:8901"], &["0.0.0.0:8901", "[fd00::1]:8901"]),
        (&["0.0.0.0:8901", "[::]:8911"], &["0.0.0.0:8901", "[::]:8911"]),
    ] {
        for option in ["clients.listen", "mesh.listen"] {
            let other = if option == "mesh.listen" { "clients.listen=[::]:1" } else { "mesh.listen=[::]:1" };
            let sets: Vec<_> = given.iter().map(|address| format!("{option}={address}")).collect();
            let sets: Vec<_> = sets.iter().map(String::as_str).chain([other]).collect();
            let config = read("", &sets);
            let list = if option == "mesh.listen" { config.mesh.listen } else { config.clients.listen };
            assert_eq!(list, left.iter().map(|text| address(text)).collect::<Vec<_>>(), "{option}");
        }
    }
    assert_eq!(
        errors("", &["clients.listen=0.0.0.0:8902"]),
        [
            "--set: mesh.listen: '[::]:8902' is taken by 0.0.0.0:8902 of clients.listen already; give one another port"
        ]
    );
}

#[test]
fn a_name_that_is_not_known_is_told_also_where_something_is_wrong() {
    let folder = std::env::temp_dir().join(format!("fau3-both-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("fau3");
    std::fs::write(&file, "config clients\n\toption max_client '9'\n\toption copies '0'\n").unwrap();
    let (read, warnings) = Config::load_all(Some(&file), &[]);
    assert_eq!(read.unwrap_err().0.len(), 1);
    assert!(warnings[0].to_string().contains("did you mean 'max_clients'?"), "{warnings:?}");
    std::fs::remove_dir_all(folder).unwrap();
}
