//! The library's thread, from its start to its goodbye.

use std::sync::Arc;
use std::time::Duration;

use mdns_sd::{
    DaemonEvent, HostnameResolutionEvent, IfKind, IfPredicate, Receiver, Result, ServiceDaemon, ServiceEvent,
};
use tokio::time::timeout;

use super::announce;
use super::interfaces::Interfaces;
use crate::discovery::Own;

/// How often interfaces that come and go are looked for, in seconds.
const INTERFACES_INTERVAL_S: u32 = 2;
/// How long it may take to answer or to end.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
/// How long a host is asked for its addresses, in milliseconds.
const LOOK_UP_TIME_MAX_MS: u64 = 5_000;
/// Of its counters, those of what it remembers begin so.
const REMEMBERED: &str = "cached-";

/// The library at work; says goodbye when dropped, and waits until it is said
/// when stopped.
pub(super) struct Daemon {
    daemon: ServiceDaemon,
}

impl Daemon {
    pub(super) fn start(own: &Own, interfaces: &Arc<Interfaces>) -> Result<Self> {
        let this = Self { daemon: ServiceDaemon::new()? };
        let interfaces = interfaces.clone();
        let others = IfPredicate::new(move |interface| !interfaces.has(&interface.name));
        // Asked again at each look. On the loopback nobody else is.
        let left_out = vec![IfKind::Predicate(others), IfKind::LoopbackV4, IfKind::LoopbackV6];
        this.daemon.disable_interface(left_out)?;
        this.daemon.set_ip_check_interval(INTERFACES_INTERVAL_S)?;
        for service in announce::services(own)? {
            this.daemon.register(service)?;
        }
        Ok(this)
    }

    /// Asks the network for routers: what is known comes at once, anew.
    pub(super) fn ask(&self) -> Result<Receiver<ServiceEvent>> {
        self.daemon.browse(announce::ROUTERS)
    }

    /// Asks for all addresses of a host; they arrive as changes of its services.
    pub(super) fn look_up(&self, host: &str) -> Result<Receiver<HostnameResolutionEvent>> {
        self.daemon.resolve_hostname(host, Some(LOOK_UP_TIME_MAX_MS))
    }

    /// Where it tells what goes wrong.
    pub(super) fn troubles(&self) -> Result<Receiver<DaemonEvent>> {
        self.daemon.monitor()
    }

    /// Records that it remembers; `None`: it is too busy to say.
    pub(super) async fn records(&self) -> Result<Option<usize>> {
        let counters = self.daemon.get_metrics()?;
        let Ok(Ok(counters)) = timeout(ANSWER_TIME_MAX, counters.recv_async()).await else {
            return Ok(None);
        };
        let remembered = counters.iter().filter(|(name, _)| name.starts_with(REMEMBERED));
        Ok(Some(remembered.map(|(_, count)| usize::try_from(*count).unwrap_or(0)).sum()))
    }

    /// Says goodbye, and returns when it is said.
    pub(super) async fn stop(self) {
        if let Ok(stopped) = self.daemon.shutdown() {
            let _ = timeout(ANSWER_TIME_MAX, stopped.recv_async()).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its thread does not end by itself. Already stopped: an error, rightly.
        let _ = self.daemon.shutdown();
    }
}
