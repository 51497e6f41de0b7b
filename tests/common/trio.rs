//! Three nodes on loopback in one mesh, which find each other by fixed peers.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{Node, Setup, TempDir, fau3, finish, wait_for};

/// Finding each other, listening, electing; on a busy machine.
pub(crate) const SETTLED_MAX: Duration = Duration::from_secs(40);

/// Nodes `router-a`, `router-b` and `router-c` with a key of their own.
pub(crate) struct Trio {
    pub(crate) nodes: Vec<Node>,
    ports: Vec<SocketAddr>,
    dir: TempDir,
}

impl Trio {
    /// Starts them, all with these options and each with its own: what `each`
    /// makes of its number.
    pub(crate) fn start(options: &[&str], each: impl Fn(usize, Setup) -> Setup) -> Self {
        let dir = TempDir::new("trio");
        let key = finish(fau3(&["keys", "--new-mesh-key"]));
        let file = dir.path().join("mesh.key");
        std::fs::write(&file, key.stdout).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let ports = (0..3).map(|_| own_address()).collect();
        let mut trio = Self { nodes: Vec::new(), ports, dir };
        for number in 0..3 {
            let setup = trio.setup(number, ["router-a", "router-b", "router-c"][number], options);
            trio.nodes.push(each(number, setup).start());
        }
        trio
    }

    /// What it takes to be one of them.
    pub(crate) fn setup(&self, number: usize, name: &str, options: &[&str]) -> Setup {
        let mut all = vec![
            format!("node.name={name}"),
            "mesh.enabled=1".into(),
            "mesh.discovery=".into(),
            format!("mesh.listen={}", self.ports[number]),
            format!("mesh.key={}", self.dir.path().join("mesh.key").display()),
        ];
        let others = self.ports.iter().filter(|port| **port != self.ports[number]);
        all.extend(others.map(|port| format!("mesh.peer={port}")));
        all.extend(options.iter().map(|&option| option.to_owned()));
        Node::with(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Where one of them meets the others.
    pub(crate) fn port(&self, number: usize) -> SocketAddr {
        self.ports[number]
    }

    /// Waits until all are in reach of each other, agree who leads, and know
    /// how the others are found.
    pub(crate) fn settle(&self) -> Vec<Value> {
        let mut seen = Vec::new();
        wait_for("a mesh of three with one leader", SETTLED_MAX, || {
            seen = self.nodes.iter().map(Node::status).collect();
            let agrees = |status: &Value| {
                let routers = status["routers"].as_array().unwrap();
                let is_known = |router: &Value| {
                    router["neighbours"].as_array().unwrap().len() == 2 && router["peer_id"].is_string()
                };
                routers.len() == 3
                    && routers.iter().all(is_known)
                    && status["coordinator"].is_string()
                    && status["coordinator"] == seen[0]["coordinator"]
                    && status["epoch"] == seen[0]["epoch"]
            };
            seen.iter().all(agrees)
        });
        seen
    }
}

/// An address for one router. Of this process alone, and not the one from which
/// connections come: so its port is not taken meanwhile.
pub(crate) fn own_address() -> SocketAddr {
    static NUMBER: AtomicU16 = AtomicU16::new(20_000);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let port = NUMBER.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, 64 | (high & 63), middle, low], port))
}
