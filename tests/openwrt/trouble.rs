//! What goes wrong on routers, against the real program: it says what, and where, and
//! what to do, serves as far as it can, and goes on by itself once it can.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::desktop::Desktop;
use crate::common::{Disk, Finished, Net, Node, Program, TempDir, fau3, finish, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);
const STORED: i64 = 3;

/// Options that keep a node apart from others, in `dir`.
fn apart(dir: &Path) -> Vec<String> {
    let at = |name: &str| dir.join(name).display().to_string();
    vec![
        format!("node.data_dir={}", at("data")),
        format!("node.identity={}", at("identity.key")),
        format!("node.control={}", at("control.sock")),
        format!("mesh.key={}", at("mesh.key")),
        "node.console=".to_owned(),
        "mesh.discovery=off".to_owned(),
    ]
}

fn set(command: &mut Command, options: &[String]) {
    for option in options {
        command.args(["--set", option]);
    }
}

/// A node that is expected to end by itself.
fn fails(options: &[String]) -> Finished {
    let mut command = fau3(&["node"]);
    set(&mut command, options);
    finish(command)
}

/// A node on a host of a network.
fn on(net: &Net, host: usize, options: &[String]) -> Program {
    let mut command = net.command(host, env!("CARGO_BIN_EXE_fau3"));
    command.arg("node");
    set(&mut command, options);
    Program::start(command)
}

fn ip(net: &Net, host: usize, arguments: &[&str]) {
    let mut command = net.command(host, "ip");
    command.args(arguments);
    let ran = finish(command);
    assert!(ran.status.success(), "{ran}");
}

/// Whether a client on this host of the network is let in at `address`.
fn is_served(net: &Net, host: usize, address: SocketAddr) -> bool {
    net.inside(host, move || TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok())
        .join()
        .unwrap()
}

#[test]
fn without_key_files_an_identity_is_made_and_the_missing_mesh_key_is_warned_of() {
    let node = Node::with(&[
        "mesh.enabled=1",
        "mesh.discovery=off",
        "mesh.listen=127.0.0.1:0",
        "mesh.key=/nonexistent/key",
    ])
    .start();
    let key = node.dir().join("identity.key");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    let warned = node.status()["warnings"].to_string();
    assert!(warned.contains("no mesh key") && warned.contains("fau3 keys --new-mesh-key"), "{warned}");
}

#[test]
fn a_key_that_others_may_read_is_warned_of_and_used() {
    let mut node = Node::start();
    assert!(node.terminate().success());
    let key = node.dir().join("identity.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    node.start_again();
    let told = node.log();
    assert!(told.contains("others may read or change this secret; run: chmod 600"), "{told}");
}

#[test]
fn a_key_that_its_user_may_not_read_is_told_with_what_to_do_and_stays_as_it_is() {
    // Given a key that is another's, for all the router can tell,
    let mut node = Node::start();
    assert!(node.terminate().success());
    let key = node.dir().join("identity.key");
    let content = fs::read(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    // (root may read what it likes, unless it gives that up, as the service's user has)
    let mut command = match rustix::process::geteuid().is_root() {
        false => fau3(&["node"]),
        true => {
            let mut command = Command::new("setpriv");
            let rights = "-dac_override,-dac_read_search";
            command.args([
                "--bounding-set",
                rights,
                "--inh-caps",
                rights,
                env!("CARGO_BIN_EXE_fau3"),
                "node",
            ]);
            command
        }
    };
    let mut options = apart(node.dir());
    options.extend(["clients.listen=127.0.0.1:0".to_owned(), "mesh.enabled=0".to_owned()]);
    set(&mut command, &options);
    let ended = finish(command);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(
        ended.stderr.contains("identity.key: cannot be read")
            && ended.stderr.contains("mend its permissions"),
        "{ended}"
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fs::read(&key).unwrap(), content);
}

#[test]
fn on_a_read_only_overlay_a_router_with_an_identity_serves_and_says_what_it_cannot_keep() {
    let Some(overlay) = Disk::mount("size=1m") else { return };
    let identity = format!("node.identity={}", overlay.path().join("identity.key").display());
    let mesh = ["mesh.enabled=1", "mesh.discovery=off", "mesh.listen=127.0.0.1:0", &identity];
    let mut node = Node::with(&mesh).start();
    let id = node.status()["id"].clone();
    assert!(node.terminate().success());
    overlay.remount("ro");
    node.start_again();
    assert_eq!(node.status()["id"], id);
    let mut client = Desktop::connect(node.address(), "AA:01");
    assert_eq!(client.say("hall", "u", b"hello"), STORED);
    wait_for("a word about it", PATIENCE, || node.log().contains("identity.key.state: cannot be written"));
}

#[test]
fn on_a_read_only_overlay_without_an_identity_it_says_what_to_do_and_starts_once_that_is_done() {
    let Some(overlay) = Disk::mount("size=1m") else { return };
    overlay.remount("ro");
    let mut options = apart(overlay.path());
    options.extend(["clients.listen=127.0.0.1:0".to_owned(), "mesh.enabled=0".to_owned()]);
    let ended = fails(&options);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(
        ended.stderr.contains("identity.key: cannot be written")
            && ended.stderr.contains("make its folder writable"),
        "{ended}"
    );
    // procd tries again every five seconds.
    overlay.remount("rw");
    let mut command = fau3(&["node"]);
    set(&mut command, &options);
    Program::start(command).wait_until_it_says("serving clients on");
}

#[test]
fn with_a_full_tmp_clients_are_served_and_their_messages_kept() {
    // Given a /tmp into which nothing goes any more,
    let Some(tmp) = Disk::mount("size=64k") else { return };
    let fill = fs::write(tmp.path().join("fill"), vec![0; 100_000]);
    assert!(fill.is_err(), "it is full");
    let at = |name: &str| tmp.path().join(name).display().to_string();
    let node = Node::with(&[
        &format!("node.data_dir={}", at("data")),
        &format!("clients.hosts_file={}", at("hosts")),
    ])
    .start();
    let mut client = Desktop::connect(node.address(), "AA:01");
    assert_eq!(client.say("hall", "u", b"hello"), STORED);
    // A mangled hosts file is not left there either.
    assert_eq!(fs::read(tmp.path().join("hosts")).unwrap_or_default(), b"");
}

#[test]
fn two_routers_that_started_before_their_network_meet_when_it_is_there() {
    let Some(net) = Net::new(2) else { return };
    let dirs = [TempDir::new("boot"), TempDir::new("boot")];
    let started: Vec<_> = (0..2)
        .map(|host| {
            // Given no network at boot,
            net.down(host);
            let mut options = apart(dirs[host].path());
            options.push(format!("node.name=router-{host}"));
            options.push(format!("mesh.peer={}:8902", net.ipv4(1 - host)));
            let mut node = on(&net, host, &options);
            node.wait_until_it_says("serving clients on");
            node
        })
        .collect();
    // when it comes, then they find each other.
    std::thread::sleep(Duration::from_secs(1));
    net.up(0);
    net.up(1);
    wait_for("they meet", PATIENCE, || {
        let control = dirs[0].path().join("control.sock");
        let asked = finish(fau3(&["status", "--json", "--control", control.to_str().unwrap()]));
        asked.stdout.contains("\"neighbours\":[\"router-1\"]")
    });
    drop(started);
}

#[test]
fn an_address_and_an_interface_that_appear_later_are_served_from_then_on() {
    let Some(net) = Net::new(2) else { return };
    let dir = TempDir::new("late");
    // Given a router that shall listen where nothing is yet: on a late address it does,
    let late: IpAddr = net.virtual_ipv4().into();
    let mut options = apart(dir.path());
    options.push("mesh.enabled=0".to_owned());
    options.push(format!("clients.listen={late}:8901"));
    let mut node = on(&net, 0, &options);
    node.wait_until_it_says("serving clients on");
    assert!(!is_served(&net, 1, SocketAddr::new(late, 8901)));
    // when the address appears, then clients are served there.
    ip(&net, 0, &["addr", "add", &format!("{late}/24"), "dev", "eth0"]);
    wait_for("clients are served", PATIENCE, || is_served(&net, 1, SocketAddr::new(late, 8901)));
    // An interface that is not there is waited for, and that is said once.
    let dir = TempDir::new("late");
    let mut options = apart(dir.path());
    options.push("mesh.enabled=0".to_owned());
    options.push("clients.listen=[fe80::77%late0]:8911".to_owned());
    let mut node = on(&net, 0, &options);
    node.wait_until_it_says("waiting for interface late0");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(node.stderr().matches("waiting for").count(), 1, "{}", node.stderr());
    ip(&net, 0, &["link", "add", "late0", "type", "bridge"]);
    ip(&net, 0, &["addr", "add", "fe80::77/64", "dev", "late0", "nodad"]);
    ip(&net, 0, &["link", "set", "late0", "up"]);
    node.wait_until_it_says("serving clients on");
}

#[test]
fn a_second_instance_ends_with_the_reason_and_disturbs_nobody() {
    let node = Node::start();
    let mut client = Desktop::connect(node.address(), "AA:01");
    client.subscribe("hall");
    let before = fs::read_dir(node.dir()).unwrap().count();
    let mut options = apart(node.dir());
    options.push("mesh.enabled=0".to_owned());
    options.push(format!("clients.listen={}", node.address()));
    let ended = fails(&options);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("the port is taken. Is another router running?"), "{ended}");
    // With doors of its own, but the same control socket.
    *options.last_mut().unwrap() = "clients.listen=127.0.0.1:0".to_owned();
    let ended = fails(&options);
    assert!(ended.stderr.contains("another router answers there; stop it"), "{ended}");
    assert_eq!(fs::read_dir(node.dir()).unwrap().count(), before);
    assert_eq!(client.say("hall", "u", b"hello"), STORED);
    assert!(node.status()["name"].is_string());
}

#[test]
fn a_configuration_of_another_version_is_used_as_far_as_it_is_understood() {
    // Given options that this version does not have, or no longer,
    let file = TempDir::new("old");
    let path = file.path().join("fau3");
    fs::write(&path, "config fau3 'main'\n\toption port '8901'\nconfig clients 'clients'\n\toption max_client '7'\n\toption max_clients '9'\n").unwrap();
    let node = Node::with(&[]).configured_by(&path).start();
    // then each is warned of with its line, and the others hold.
    let told = node.log();
    for wanted in [
        "fau3:1: unknown section 'fau3', ignored",
        "fau3:4: clients.max_client: unknown option, ignored; did you mean 'max_clients'?",
    ] {
        assert!(told.contains(wanted), "{wanted}:\n{told}");
    }
}

#[test]
fn the_system_s_log_has_each_line_with_its_level() {
    // Given a system with a log, as OpenWrt's logd makes one,
    let Some(_) = Disk::mount("size=4k") else { return };
    let dir = TempDir::new("syslog");
    let socket = dir.path().join("log");
    let log = UnixDatagram::bind(&socket).unwrap();
    log.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs fau3-test /dev && ln -s \"$0\" /dev/log && exec \"$@\"",
    ]);
    command.arg(&socket).args([env!("CARGO_BIN_EXE_fau3"), "node", "--syslog"]);
    let file = dir.path().join("fau3");
    let mut text = String::from(
        "config clients 'clients'\n\tlist listen '127.0.0.1:0'\n\toption odd '1'\nconfig mesh 'mesh'\n\toption enabled '0'\n",
    );
    text.push_str("config node 'node'\n\toption console 'off'\n");
    for (option, name) in [("data_dir", "data"), ("identity", "identity.key"), ("control", "control.sock")] {
        text.push_str(&format!("\toption {option} '{}'\n", dir.path().join(name).display()));
    }
    fs::write(&file, &text).unwrap();
    command.arg("--config").arg(&file);
    // when a router runs, gets a broken file, and is asked to end,
    let mut node = Program::start(command);
    let mut heard = Vec::new();
    let mut hear_until = |wanted: &str| {
        wait_for(wanted, PATIENCE, || {
            let mut buffer = [0; 2_048];
            while let Ok(length) = log.recv(&mut buffer) {
                heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            heard.iter().any(|line| line.contains(wanted))
        });
    };
    hear_until("serving clients on");
    fs::write(&file, text.replace("odd '1'", "copies '0'")).unwrap();
    node.signal("HUP");
    hear_until("is not applied");
    // then each line is there with who says it and how much it matters,
    let level_of = |wanted: &str| {
        let line =
            heard.iter().find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("{wanted}: {heard:#?}"));
        assert!(line.contains(&format!(" fau3[{}]: ", node.pid())), "{line}");
        line[1..].split('>').next().unwrap().parse::<u8>().unwrap() - 24
    };
    assert_eq!(level_of("unknown option, ignored"), 4);
    assert_eq!(level_of("serving clients on"), 6);
    assert_eq!(level_of("fau3:3: clients.copies: '0' is not"), 3);
    // and nothing twice.
    assert_eq!(node.stderr(), "");
    assert!(node.terminate().success());
}
