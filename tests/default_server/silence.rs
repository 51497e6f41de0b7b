//! A server out of reach without a word: cables cut in a network of namespaces.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Net, Program, TempDir, fau3, finish, wait_for};
use crate::default_server::PATIENCE;
use crate::legacy::{self, Legacy, Quirks};

/// A router on host 0, below a server on host 1.
struct Pair {
    net: Net,
    server: Legacy,
    router: Program,
    dir: TempDir,
}

impl Pair {
    fn start() -> Option<Self> {
        let net = Net::new(2)?;
        let address = (net.ipv4(1), 8901).into();
        let server =
            net.inside(1, move || legacy::Legacy::start_at(address, Quirks::default())).join().unwrap();
        let dir = TempDir::new("silence");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let mut command = net.command(0, env!("CARGO_BIN_EXE_fau3"));
        command.arg("node");
        for option in [
            format!("default_server.url={}", server.url()),
            "default_server.hold_ms=500".into(),
            "mesh.enabled=0".into(),
            "node.console=".into(),
            format!("node.data_dir={}", at("data")),
            format!("node.identity={}", at("identity.key")),
            format!("node.control={}", at("control.sock")),
        ] {
            command.args(["--set", &option]);
        }
        let router = Program::start(command);
        let pair = Self { net, server, router, dir };
        pair.until_reachable(true);
        Some(pair)
    }

    fn said(&self) -> Option<Value> {
        let control = self.dir.path().join("control.sock");
        let asked = finish(fau3(&["status", "--json", "--control", control.to_str().unwrap()]));
        let status: Value = serde_json::from_str(&asked.stdout).ok()?;
        Some(status["default_server"].clone())
    }

    fn until_reachable(&self, reachable: bool) -> Duration {
        let since = Instant::now();
        wait_for(&format!("reachable: {reachable}"), PATIENCE, || {
            self.said().is_some_and(|said| said["reachable"] == reachable)
        });
        since.elapsed()
    }
}

#[test]
fn a_half_open_connection_is_found_in_two_seconds_and_a_healed_one_taken_up_again() {
    let Some(pair) = Pair::start() else { return };
    // Given a way on which nothing comes back, though all that is written leaves,
    pair.net.one_way(1, 0);
    let took = pair.until_reachable(false);
    assert!(
        took > Duration::from_millis(1_500) && took < Duration::from_secs(4),
        "{took:?}\n{}",
        pair.router.stderr()
    );
    pair.net.heal();
    pair.until_reachable(true);
    // the same where nothing gets there.
    pair.net.one_way(0, 1);
    let took = pair.until_reachable(false);
    assert!(took < Duration::from_secs(4), "{took:?}");
    pair.net.heal();
    pair.until_reachable(true);
    assert_eq!(pair.server.crashes(), [""; 0], "no id has connected twice");
}

#[test]
fn a_fifth_of_all_packets_lost_for_half_a_minute_moves_nobody() {
    let Some(pair) = Pair::start() else { return };
    pair.net.loss_everywhere(20);
    std::thread::sleep(Duration::from_secs(30));
    let said = pair.said().unwrap();
    assert_eq!((&said["reachable"], &said["outages"]), (&true.into(), &0.into()), "{}", pair.router.stderr());
    assert_eq!(pair.server.crashes(), [""; 0]);
}
