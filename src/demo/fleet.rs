//! Three routers as processes of their own, in a folder of their own. Whatever
//! ends the demonstration, they go with it, and so does the folder, unless it is
//! killed (-9).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::ROUTERS;
use crate::identity::generate_mesh_key;

/// Free ports are looked for this often.
const PORT_TRIES: usize = 32;
/// Lines of a router's log that are shown when it has ended by itself.
const LOG_LINES: usize = 4;

/// A router: running, or killed.
struct Process {
    client_port: u16,
    mesh_port: u16,
    child: Option<Child>,
}

/// The routers and their folder.
pub(super) struct Fleet {
    folder: Folder,
    program: PathBuf,
    processes: Vec<Process>,
}

impl Fleet {
    /// Makes the folder and the mesh key; starts nothing yet.
    ///
    /// # Errors
    /// No folder can be made there, or there are no free ports.
    pub(super) fn new() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let folder = Folder::new()?;
        let key = generate_mesh_key().map_err(|error| io::Error::other(error.to_string()))?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(folder.path.join("mesh.key"))?;
        io::Write::write_all(&mut file, key.as_bytes())?;
        let ports = free_ports(2 * ROUTERS)?;
        let process = |ports: &[u16]| Process { client_port: ports[0], mesh_port: ports[1], child: None };
        let processes = ports.chunks_exact(2).map(process).collect();
        Ok(Self { folder, program, processes })
    }

    /// Starts a router, for the first time or again.
    ///
    /// # Errors
    /// The program cannot be run.
    pub(super) fn start(&mut self, router: usize) -> io::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log(router))?;
        let mut command = Command::new(&self.program);
        command.args(["node", "--until-input-ends"]).args(self.options(router));
        // Nothing is ever written: it ends when this process does, also by kill -9.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        // Ctrl-C is for the demonstration alone, which then ends its routers.
        command.process_group(0);
        self.processes[router].child = Some(command.spawn()?);
        Ok(())
    }

    /// As the power does it: no goodbye, nothing written any more.
    ///
    /// # Errors
    /// The system does not let it.
    pub(super) fn kill(&mut self, router: usize) -> io::Result<()> {
        let Some(mut child) = self.processes[router].child.take() else { return Ok(()) };
        child.kill()?;
        child.wait().map(drop)
    }

    /// The first router that has ended by itself, and what it said last.
    pub(super) fn ended(&mut self) -> Option<(usize, String)> {
        let ended = |process: &mut Process| {
            process.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
        };
        let router = self.processes.iter_mut().position(ended)?;
        let log = fs::read_to_string(self.log(router)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        Some((router, lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")))
    }

    /// Where clients connect.
    pub(super) fn url(&self, router: usize) -> String {
        format!("ws://127.0.0.1:{}", self.processes[router].client_port)
    }

    /// The router's control socket.
    pub(super) fn control(&self, router: usize) -> PathBuf {
        self.folder.path.join(format!("{}.sock", name(router)))
    }

    /// The folder stays when this is dropped; where it is.
    pub(super) fn keep_folder(&mut self) -> &Path {
        self.folder.stays = true;
        &self.folder.path
    }

    fn log(&self, router: usize) -> PathBuf {
        self.folder.path.join(format!("{}.log", name(router)))
    }

    /// What keeps it apart from all other routers of this machine and its
    /// network: no file is read, nobody is looked for.
    fn options(&self, router: usize) -> Vec<String> {
        let Process { client_port, mesh_port, .. } = self.processes[router];
        let within = |name: String| self.folder.path.join(name).display().to_string();
        let name = name(router);
        let mut set = vec![
            format!("node.name={name}"),
            format!("node.data_dir={}", within(format!("{name}/data"))),
            format!("node.identity={}", within(format!("{name}/identity.key"))),
            format!("node.control={}", self.control(router).display()),
            "node.console=".to_owned(),
            format!("clients.listen=127.0.0.1:{client_port}"),
            format!("mesh.listen=127.0.0.1:{mesh_port}"),
            format!("mesh.key={}", within("mesh.key".to_owned())),
            "mesh.discovery=".to_owned(),
        ];
        let others = self.processes.iter().map(|other| other.mesh_port).filter(|&port| port != mesh_port);
        set.extend(others.map(|port| format!("mesh.peer=127.0.0.1:{port}")));
        set.into_iter().flat_map(|option| ["--set".to_owned(), option]).collect()
    }
}

impl Drop for Fleet {
    /// Before the folder goes.
    fn drop(&mut self) {
        for router in 0..self.processes.len() {
            // One that has ended already is no news.
            let _ = self.kill(router);
        }
    }
}

/// What a router is called.
pub(super) fn name(router: usize) -> String {
    format!("router-{}", ["a", "b", "c"][router])
}

/// Ports that are free for TCP and UDP, all of them different.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let mut held = Vec::new();
    for _ in 0..PORT_TRIES {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = tcp.local_addr()?.port();
        // Held until all are found, so that none is found twice.
        if let Ok(udp) = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            held.push((port, tcp, udp));
        }
        if held.len() == count {
            return Ok(held.into_iter().map(|(port, ..)| port).collect());
        }
    }
    Err(io::Error::other("no free ports on 127.0.0.1"))
}

/// A folder that goes when it is dropped.
struct Folder {
    path: PathBuf,
    stays: bool,
}

impl Folder {
    /// Below the system's folder for such things; for this user alone.
    fn new() -> io::Result<Self> {
        let mut chance = [0; 4];
        getrandom::fill(&mut chance).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("fau3-demo-{}-{:08x}", std::process::id(), u32::from_le_bytes(chance));
        let path = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self { path, stays: false })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.stays {
            // Nobody is left to be told.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_are_free_and_different() {
        let ports = free_ports(6).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 6);
        assert!(ports.iter().all(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()));
    }

    #[test]
    fn the_folder_goes_with_the_fleet_unless_it_is_to_stay() {
        let mut fleet = Fleet::new().unwrap();
        let path = fleet.folder.path.clone();
        assert!(path.join("mesh.key").exists());
        drop(fleet);
        assert!(!path.exists());
        fleet = Fleet::new().unwrap();
        let path = fleet.keep_folder().to_owned();
        drop(fleet);
        assert!(path.exists());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_router_knows_the_other_two_and_nobody_else() {
        let fleet = Fleet::new().unwrap();
        let options = fleet.options(1);
        let peer = |router: usize| format!("mesh.peer=127.0.0.1:{}", fleet.processes[router].mesh_port);
        assert!(options.contains(&peer(0)) && !options.contains(&peer(1)) && options.contains(&peer(2)));
        assert!(
            options.contains(&"mesh.discovery=".to_owned()) && options.contains(&"node.console=".to_owned())
        );
    }
}
