//! A router starts, serves and ends, whatever its surroundings do: a log that nobody
//! reads, signals at any moment, a name server that does not answer, files that a power
//! cut has emptied.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{Net, Program, TempDir, fau3, finish, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);
/// From SIGTERM to the end of a router, whatever is in flight: a second, and what a busy machine
/// takes to start and stop processes.
const END_MAX: Duration = Duration::from_secs(2);

/// A node with nothing but a folder, on ports of its own, whose output goes where it is told.
fn node(dir: &TempDir, more: &[&str]) -> Command {
    let mut command = fau3(&["node", "--set", "clients.listen=127.0.0.1:0", "--set", "node.console="]);
    for file in ["control", "identity", "data_dir"] {
        command.arg("--set").arg(format!("node.{file}={}", dir.path().join(file).display()));
    }
    command.args(["--set", "mesh.listen=127.0.0.1:0"]);
    if !more.iter().any(|option| option.starts_with("mesh.discovery=")) {
        command.args(["--set", "mesh.discovery=off"]);
    }
    command.arg("--set").arg(format!("mesh.key={}", dir.path().join("mesh.key").display()));
    for option in more {
        command.args(["--set", option]);
    }
    command.stdin(Stdio::null());
    command
}

fn send(signal: &str, child: &Child) {
    Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status().unwrap();
}

/// How a process ends, and how long that takes.
fn end(mut child: Child, within: Duration) -> (ExitStatus, Duration) {
    let began = Instant::now();
    send("TERM", &child);
    while began.elapsed() < within + PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return (status, began.elapsed());
        }
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    panic!("it does not end");
}

/// `fau3 status --json` of the node in this folder.
fn status(dir: &TempDir) -> Option<serde_json::Value> {
    let socket = dir.path().join("control");
    let said = finish(fau3(&["status", "--json", "--control", socket.to_str().unwrap()]));
    serde_json::from_str(&said.stdout).ok()
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_and_what_is_dropped_is_counted() {
    // Given a node whose standard error is a pipe that is never read,
    let dir = TempDir::new("log");
    let child = node(&dir, &["node.log=debug"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the node", PATIENCE, || status(&dir).is_some());

    // when it has more to say than a pipe holds,
    let dropped = || status(&dir).map_or(0, |status| status["log_lines_dropped"].as_u64().unwrap());
    wait_for("lines that are dropped", PATIENCE, || {
        (0..100).for_each(|_| send("HUP", &child));
        sleep(Duration::from_millis(20));
        dropped() > 0
    });

    // then it answers, and ends in time and well.
    let (status, took) = end(child, END_MAX);
    assert_eq!(status.code(), Some(0));
    assert!(took < END_MAX, "it took {took:?}");
}

#[test]
fn signals_of_the_first_moment_neither_kill_nor_get_lost() {
    // At any moment from the first instruction of its own on: before that no program can help it.
    let ended = |signals: &[&str], after: Duration| {
        let dir = TempDir::new("early");
        let mut child = node(&dir, &[]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        // What the kernel has caught for it (proc(5)): bit 0 is SIGHUP.
        let catches = || {
            let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 != 0)
        };
        let began = Instant::now();
        while !catches() && began.elapsed() < PATIENCE {}
        let caught_after = began.elapsed();
        sleep(after);
        for signal in signals {
            send(signal, &child);
        }
        if signals.contains(&"TERM") {
            return (child.wait().unwrap(), caught_after);
        }
        wait_for("the node", PATIENCE, || status(&dir).is_some());
        assert!(child.try_wait().unwrap().is_none(), "SIGHUP ended it");
        (end(child, END_MAX).0, caught_after)
    };
    for after in [0, 1, 3, 10].map(Duration::from_millis) {
        for signals in [&["HUP"][..], &["TERM"], &["HUP", "INT", "TERM"]] {
            let (status, _) = ended(signals, after);
            assert_eq!((status.code(), status.signal()), (Some(0), None), "{signals:?} after {after:?}");
        }
    }
}

#[test]
fn a_name_server_that_does_not_answer_delays_no_end() {
    // Given a network whose name server is out of reach, and options with names,
    let Some(net) = Net::new(2) else { return };
    let dir = TempDir::new("dns");
    let resolver = dir.path().join("resolv.conf");
    fs::write(&resolver, "nameserver 10.83.0.2\noptions timeout:20 attempts:5\n").unwrap();
    net.partition(&[0], &[1]);
    let script = format!("mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"", resolver.display());
    let within = |command: &Command| {
        let mut inside = net.command(0, "unshare");
        inside.args(["--mount", "sh", "-c", &script]).arg(command.get_program()).args(command.get_args());
        inside.stderr(Stdio::null()).stdout(Stdio::null()).stdin(Stdio::null());
        inside
    };
    let named = ["mesh.peer=router.example.org:8902", "default_server.url=ws://main.example.org:8901"];
    let child = within(&node(&dir, &named)).spawn().unwrap();
    wait_for("the node", PATIENCE, || status(&dir).is_some());
    sleep(Duration::from_millis(500));

    // when it is ended while it asks, then it ends at once.
    let (status, took) = end(child, END_MAX);
    assert_eq!(status.code(), Some(0));
    assert!(took < END_MAX, "it took {took:?}");

    // So do the commands of people.
    let talk = fau3(&["listen", "--room", "hall", "--url", "ws://router.example.org:8901"]);
    let child = within(&talk).spawn().unwrap();
    sleep(Duration::from_millis(500));
    let (_, took) = end(child, END_MAX);
    assert!(took < END_MAX, "it took {took:?}");
}

#[test]
fn a_mesh_key_that_a_power_cut_has_emptied_is_not_replaced_by_the_well_known_one() {
    // Given an empty key file, and an identity of zeros,
    let dir = TempDir::new("emptied");
    fs::write(dir.path().join("mesh.key"), "").unwrap();
    fs::write(dir.path().join("identity"), [0; 68]).unwrap();

    // when the router starts,
    let mut program = Program::start(node(&dir, &[]));
    program.wait_until_it_says("serving clients on");

    // then it serves its clients, meets nobody, and says what to do.
    let status = status(&dir).unwrap();
    assert!(status["mesh"].is_null(), "{status}");
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("mesh key is lost") && warnings.contains("Copy it"), "{warnings}");
    assert!(program.stderr().contains("gets a new identity"), "{}", program.stderr());
    assert!(!program.stderr().contains("meeting routers on"), "{}", program.stderr());
}

#[test]
fn a_router_with_the_name_that_main_servers_have_by_default_is_none_without_a_section() {
    let dir = TempDir::new("named");
    let program = Program::start(node(&dir, &["node.name=fau3vomdMain"]));
    let mode = || status(&dir).map(|status| status["mode"].clone());
    wait_for("it to lead its mesh, as any router that is alone", PATIENCE, || {
        mode() == Some("server".into())
    });
    assert!(!program.stderr().contains("this router is the main server"), "{}", program.stderr());
}

#[test]
fn an_interface_that_is_made_anew_is_listened_on_again() {
    // Given a router that serves clients on an address of a bridge,
    let Some(net) = Net::new(1) else { return };
    let run = |script: &str| {
        let status = net.command(0, "sh").args(["-ec", script]).status().unwrap();
        assert!(status.success(), "{script}");
    };
    // What is to be heard comes from the other end of a cable.
    let plug = "ip link add br-lan type veth peer name cable && ip link set cable addrgenmode none up \
                && ip link set br-lan addrgenmode none up && ip addr add fe80::a/64 dev br-lan nodad \
                && ip addr add fe80::b/64 dev cable nodad";
    run(plug);
    let dir = TempDir::new("bridge");
    let node = node(
        &dir,
        &[
            "clients.listen=[fe80::a%br-lan]:8901",
            "mesh.listen=[fe80::a%br-lan]:8902",
            "node.console=[fe80::a%br-lan]:8903",
        ],
    );
    let mut inside = net.command(0, node.get_program());
    inside.args(node.get_args()).stdin(Stdio::null());
    let mut program = Program::start(inside);
    program.wait_until_it_says("serving clients on");
    let reached = |port: u16| {
        // A zone's number is the namespace's own.
        let dial = format!(
            "import socket\nn = socket.if_nametoindex('br-lan')\n\
             socket.create_connection(('fe80::a%br-lan', {port}), 1)"
        );
        let mut python = net.command(0, crate::common::PYTHON);
        finish({
            python.args(["-c", &dial]);
            python
        })
        .status
        .success()
    };
    // What is no beacon is counted.
    let is_heard = || {
        let count = || status(&dir).unwrap()["mesh"]["dropped"]["beacons_strange"].as_u64().unwrap();
        let before = count();
        let send = "import socket\nn = socket.if_nametoindex('br-lan')\n\
                    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'hello', ('fe80::a', 8902, 0, n))";
        let mut python = net.command(0, crate::common::PYTHON);
        finish({
            python.args(["-c", send]);
            python
        });
        std::thread::sleep(Duration::from_millis(100));
        count() > before
    };
    wait_for("a client's connection", PATIENCE, || reached(8901) && reached(8903));
    wait_for("a datagram", PATIENCE, is_heard);

    // when the bridge is deleted and made anew, then clients are heard again.
    run("ip link del br-lan");
    program.wait_until_it_says("the interface br-lan has gone");
    run(plug);
    wait_for("clients, again", PATIENCE, || reached(8901));
    wait_for("the console, again", PATIENCE, || reached(8903));
    wait_for("routers, again", PATIENCE, || reached(8902));
    wait_for("datagrams, again", PATIENCE, is_heard);
}

#[test]
fn where_multicast_dns_cannot_be_heard_is_said() {
    // Given more networks than a program may join the group on,
    let Some(net) = Net::new(1) else { return };
    let script = "for n in $(seq 1 25); do ip link add lan$n type veth peer name far$n; ip addr add 192.168.$n.1/24 dev lan$n; \
                  ip link set lan$n up; \
                  ip link set far$n up; done";
    assert!(net.command(0, "sh").args(["-ec", script]).status().unwrap().success());
    let dir = TempDir::new("lans");
    let node = node(&dir, &["mesh.discovery=mdns"]);
    let mut inside = net.command(0, node.get_program());
    inside.args(node.get_args()).stdin(Stdio::null());
    let mut program = Program::start(inside);
    program.wait_until_it_says("igmp_max_memberships");
    let said = program.stderr();
    let line = |text: &str| said.lines().rfind(|line| line.contains(text)).unwrap().to_owned();
    let (on, not_on) = (line("mDNS: on "), line("mDNS: not on "));
    assert!(!on.contains("mDNS: not on") && (1..25).any(|n| not_on.contains(&format!("lan{n}"))), "{said}");
}
