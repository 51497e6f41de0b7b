//! `fau3 node`: from a configuration to a running router, and to its end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fau3_election::Time;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::listen::{Opening, doors, wait_for_interfaces};
use super::log::LogFilter;
use super::signals::{Asked, Caught, Signals};
use super::stderr;
use super::{Inbox, Node, NodeArgs, REQUESTS_MAX, Request, Shown, UpstreamSide, names, others};
use crate::config::{Clients, Config, Storage, Surroundings, Warning};
use crate::control::{Control, Identity};
use crate::failure::Failure;
use crate::gateway::{Hall, Visitors, fau3d};
use crate::identity::{self, KeyFile};
use crate::router::{Input, Origin, Restored, Router, Settings};
use crate::store::{Bounds, Store, volatile_warning};

/// How long goodbyes may take, all together: whoever ends a router does not wait longer.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_millis(800);

/// What warnings about a configuration that was read again are called by.
const CONFIGURATION: &str = "configuration";

/// Runs a router until SIGTERM or SIGINT.
///
/// # Errors
/// Why it cannot start.
pub fn run(args: &NodeArgs, signals: Option<io::Result<Signals>>) -> Result<(), Failure> {
    let signals = signals.unwrap_or_else(Signals::catch);
    let signals = signals.map_err(|error| Failure::new(format!("no signals: {error}")))?;
    let (config, warnings) = Config::load_all(args.config.as_deref(), &args.set);
    let config = config.map_err(|errors| {
        // A mistyped name is often why something else is missing.
        let warnings = warnings.iter().map(|warning| format!("\nwarning: {warning}"));
        Failure::usage(format!("{errors}{}", warnings.collect::<String>()))
    })?;
    let log = LogFilter::start(config.node.log, args.syslog);
    tell(&warnings);
    if !config.node.enabled {
        info!("node.enabled is 0: nothing to do");
        return Ok(());
    }
    raise_descriptor_limit();
    let Signals { runtime, caught } = signals;
    let ended = runtime.block_on(serve(args, config, log, caught));
    end(runtime);
    ended
}

/// Ends a program whose work is done, whatever is still in flight: a question to a
/// name server that does not answer, a log that nobody reads.
fn end(runtime: Runtime) {
    runtime.shutdown_background();
    stderr::flush();
}

/// Says on standard error why a program ends, without waiting for a reader that there is not.
pub fn say_last(text: &str) {
    stderr::write_line(text.as_bytes());
    stderr::flush();
}

/// Runs a future on one thread, which is all that a router needs: sharing
/// nothing between cores costs less than it gains here.
pub fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime needs only a few descriptors");
    let result = runtime.block_on(future);
    end(runtime);
    result
}

async fn serve(
    args: &NodeArgs,
    mut config: Config,
    log: LogFilter,
    mut signals: Caught,
) -> Result<(), Failure> {
    if !interfaces_are_there(&config, &mut signals).await {
        return Ok(());
    }
    // First: a second router started by mistake shall not write anything.
    let servers = fau3d::ExtraServers::default();
    let bound = doors(&config, &servers).into_iter().map(Opening::bind).collect::<Result<Vec<_>, _>>();
    let bound = bound.map_err(Failure::new)?;
    let (request, requests) = mpsc::channel(REQUESTS_MAX);
    let (control, questions) = Control::new();
    let (node, hall) = build(&config, &control, &servers, Inbox { requests, questions }).await?;
    let requests = request;
    set_visitors(hall.visitors(), &config);
    if config.clients.storage == Storage::Disk
        && let Some(text) = volatile_warning(&config.node.data_dir)
    {
        warn!("{text}");
        control.set_warning("volatile storage", Some(text));
    }
    let _socket = control.serve_socket(&config.node.control).map_err(Failure::new)?;
    if let Some(console) = &config.node.console {
        control.serve_console(console, hall.visitors().clone());
    }
    let visitors = hall.visitors().clone();
    // Last: whoever finds the port open finds everything there.
    let served = bound.into_iter().map(|door| door.open(&hall)).collect::<Result<Vec<_>, _>>();
    let served = served.map_err(Failure::new)?;
    drop(hall);
    let node = tokio::spawn(node.run());
    let keys = keys_on_disk(&config);
    let reload = Reload { args, log, requests: requests.clone(), control, visitors, keys };
    wait_for_the_end(&mut config, &reload, &mut signals).await;
    info!("going down: saying goodbye");
    for door in served.into_iter().flatten() {
        door.abort();
    }
    let goodbyes = async {
        shut_down(&requests).await;
        let _ = node.await;
    };
    let _ = timeout(SHUTDOWN_TIME_MAX, goodbyes).await;
    // Close frames are on their way in tasks of their own.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

/// Everything that has to exist before the first client.
async fn build(
    config: &Config,
    control: &Control,
    servers: &fau3d::ExtraServers,
    inbox: Inbox,
) -> Result<(Node, Hall), Failure> {
    let key = KeyFile::load_or_create(&config.node.identity).map_err(Failure::new)?;
    tell_of_another_identity(config);
    // Every router that was just installed has the same name by default.
    let around = Surroundings::of_this_process(false);
    let name_is_default = config.node.name == Config::defaults_of(&around, config.node.instance).node.name;
    let mut named = config.clone();
    if name_is_default {
        let bound = identity::state_at_start(&config.node.identity).bound_names();
        named.node.name = names::at_start(&config.node.name, key.router_id(), &bound);
    }
    let name_is_default = name_is_default && named.node.name == config.node.name;
    let config = &named;
    let settings = settings(&config.clients);
    let (store, restored) = if settings.disk { open_store(config)? } else { (None, Restored::default()) };
    let (records, sessions) = (restored.records.len(), restored.sessions.len());
    let (router, incarnation, mesh) = if config.mesh.enabled && !waits_for_key(config, control) {
        let election = others::election(config, &key);
        let incarnation = election.incarnation();
        let mesh = others::join(config, &key, incarnation, control).await?;
        let mut router = Router::in_mesh(election, settings, restored);
        if !config.is_default_server() {
            let names = identity::state_at_start(&config.node.identity).bound_names();
            let main = others::main_node(&config.default_server, &names);
            router.handle(Time::ZERO, Input::Upstream(main));
        }
        (router, incarnation, Some(mesh))
    } else {
        let incarnation = identity::start_incarnation(&config.node.identity);
        let origin = Origin { router: key.router_id(), incarnation };
        (Router::new(origin, settings, restored), incarnation, None)
    };
    info!(
        name = config.node.name,
        peer_id = key.peer_id(),
        router = %key.router_id(),
        %incarnation,
        records,
        sessions,
        "fau3 {}",
        env!("CARGO_PKG_VERSION")
    );
    let identity =
        Identity { name: config.node.name.clone(), peer_id: key.peer_id(), router_id: key.router_id() };
    let shown = Shown::new(config, control.clone(), servers.clone(), identity.clone(), name_is_default);
    let upstream = UpstreamSide::new(config.default_server.clone(), key.router_id(), mesh.is_some());
    Ok(Node::new(router, store, identity, inbox, mesh, upstream, shown))
}

/// The places of files are others with a configuration file than without: a router that
/// moves from one to the other is another one for all.
fn tell_of_another_identity(config: &Config) {
    let places = [false, true].map(|reads_file| {
        let around = Surroundings::of_this_process(reads_file);
        Config::defaults_of(&around, config.node.instance).node.identity
    });
    let is_another = |path: &&PathBuf| **path != config.node.identity && path.exists();
    if let Some(path) = places.iter().find(is_another) {
        info!(
            "this router's identity is {}; there is another one in {}, by which others may know this machine \
             (node.identity says which counts)",
            config.node.identity.display(),
            path.display()
        );
    }
}

/// Whether the mesh has to wait for its key, which is said. A router that has lost it
/// does not meet strangers with the well-known one, and serves its clients.
fn waits_for_key(config: &Config, control: &Control) -> bool {
    let Err(lost @ identity::Error::MeshKeyLost { .. }) = identity::read_mesh_keys(&config.mesh.key) else {
        return false;
    };
    error!("{lost}");
    control.set_warning("mesh key", Some(lost.to_string()));
    true
}

fn open_store(config: &Config) -> Result<(Option<Store>, Restored), Failure> {
    let age_max = Duration::from_secs(config.clients.storage_max_age_s.into());
    let (store, restored) = Store::open(&config.node.data_dir, Bounds { age_max }).map_err(Failure::new)?;
    Ok((Some(store), restored))
}

/// By which names this router is called, and which pages may come.
fn set_visitors(visitors: &Visitors, config: &Config) {
    visitors.set(&[&config.node.name, &config.default_server.name], &config.clients.allow_origin);
}

fn settings(clients: &Clients) -> Settings {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Settings {
        max_clients: clients.max_clients as usize,
        retry_interval: seconds(clients.retry_interval_s),
        retry_count: clients.retry_count,
        session_grace: seconds(clients.session_grace_s),
        storage_bytes_max: clients.storage_max_kib as usize * 1_024,
        storage_age_max: seconds(clients.storage_max_age_s),
        disk: clients.storage == Storage::Disk,
        copies: clients.copies as usize,
        allow_clients: clients.allow_client.iter().cloned().collect(),
        #[cfg(feature = "mutants")]
        mutant: None,
    }
}

/// Whether there is anything to go on for: false if the end is asked for before. The file is read in any case later,
/// so that SIGHUP asks for nothing here.
async fn interfaces_are_there(config: &Config, signals: &mut Caught) -> bool {
    let mut waiting = std::pin::pin!(wait_for_interfaces(config));
    loop {
        tokio::select! {
            () = &mut waiting => return true,
            asked = signals.next() => if matches!(asked, Asked::End) {
                return false;
            },
        }
    }
}

/// Returns when a signal, or the end of standard input where that counts, asks
/// for the end; SIGHUP re-reads the configuration.
async fn wait_for_the_end(config: &mut Config, reload: &Reload<'_>, signals: &mut Caught) {
    let mut input_ends = Box::pin(input_ends(reload.args.until_input_ends));
    loop {
        tokio::select! {
            () = &mut input_ends => return,
            asked = signals.next() => match asked {
                Asked::End => return,
                Asked::Reload => reload.run(config).await,
            },
        }
    }
}

/// Returns when nobody holds the other end of standard input any more; never, where that is `false`.
async fn input_ends(counts: bool) {
    if !counts {
        return std::future::pending().await;
    }
    let (reader, ended) = oneshot::channel::<()>();
    // A thread of its own, for it waits until the end of the process if need be.
    std::thread::spawn(move || {
        let _reader = reader;
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    });
    // An error: the reader has gone.
    let _ = ended.await;
}

/// What it takes to read the configuration again.
struct Reload<'a> {
    args: &'a NodeArgs,
    log: LogFilter,
    requests: mpsc::Sender<Request>,
    control: Control,
    visitors: Arc<Visitors>,
    /// As they were at the start.
    keys: KeysOnDisk,
}

/// What the key files hold: of the mesh, by fingerprints, and the identity.
#[derive(PartialEq, Eq)]
struct KeysOnDisk {
    mesh: Result<Vec<String>, String>,
    /// Only to be compared.
    identity: Option<[u8; 32]>,
}

fn keys_on_disk(config: &Config) -> KeysOnDisk {
    let mesh = identity::read_mesh_keys(&config.mesh.key);
    let prints = |keys: Vec<identity::MeshKey>| keys.iter().map(identity::MeshKey::fingerprint).collect();
    KeysOnDisk {
        mesh: mesh.map(prints).map_err(|error| error.to_string()),
        identity: std::fs::read(&config.node.identity).ok().map(|bytes| Sha256::digest(bytes).into()),
    }
}

impl Reload<'_> {
    /// A file with errors changes nothing: the router goes on as it was.
    async fn run(&self, config: &mut Config) {
        let (new, warnings) = Config::load_all(self.args.config.as_deref(), &self.args.set);
        tell(&warnings);
        let new = match new {
            Ok(new) => new,
            Err(errors) => {
                errors.0.iter().for_each(|error| error!("{error}"));
                let text = "the configuration has errors and is not applied: going on with the old one. Mend \
                            what the log names, then send SIGHUP again";
                error!("{text}");
                return self.control.set_warning(CONFIGURATION, Some(text.into()));
            }
        };
        let mut changes = config.diff(&new);
        let was_default_server = config.is_default_server();
        config.apply_live(&new);
        self.log.set(config.node.log);
        set_visitors(&self.visitors, config);
        let _ = self.requests.send(Request::Configure(Box::new(settings(&config.clients)))).await;
        let mesh = Request::ConfigureMesh {
            extra_servers: config.extra_servers.clone(),
            default_server: config.default_server.clone(),
        };
        let _ = self.requests.send(mesh).await;
        let _ = self.requests.send(Request::Call(config.mesh.peer.clone())).await;
        let applied = if changes.live.is_empty() { "nothing".into() } else { changes.live.join(", ") };
        info!("configuration read again; applied: {applied}");
        // Whether it is the main server itself is decided once, at the start.
        if was_default_server != config.is_default_server() {
            changes.restart.push("default_server.name".into());
        }
        // A file that has changed under its name.
        let keys = keys_on_disk(config);
        if let Err(error) = &keys.mesh {
            error!("{error}: the router goes on with the key that it has, and would not start again");
        }
        let files = [
            (config.mesh.enabled && keys.mesh != self.keys.mesh, "mesh.key", &config.mesh.key),
            (keys.identity != self.keys.identity, "node.identity", &config.node.identity),
        ];
        for (_, option, path) in files.iter().filter(|(has_changed, ..)| *has_changed) {
            changes.restart.push(format!("{option} (the file {} has changed)", path.display()));
        }
        let waiting = (!changes.restart.is_empty())
            .then(|| format!("these options take effect at the next start: {}", changes.restart.join(", ")));
        if let Some(text) = &waiting {
            warn!("{text}");
        }
        self.control.set_warning(CONFIGURATION, waiting);
    }
}

async fn shut_down(requests: &mpsc::Sender<Request>) {
    let (done, answer) = oneshot::channel();
    if requests.send(Request::Shutdown(done)).await.is_ok() {
        let _ = answer.await;
    }
}

fn tell(warnings: &[Warning]) {
    for warning in warnings {
        warn!("{warning}");
    }
}

/// A client is a descriptor: takes as many as the system allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!("cannot raise the limit of open files: {error}");
    }
}
