//! The signals that a router obeys, caught from its first moment on: one that
//! comes while it starts waits for it, and kills nobody.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A runtime and the signals that it catches.
pub struct Signals {
    pub(super) runtime: Runtime,
    pub(super) caught: Caught,
}

/// What may come.
pub(super) struct Caught {
    /// SIGTERM or SIGINT.
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What has come.
pub(super) enum Asked {
    /// To end.
    End,
    /// To read the configuration again.
    Reload,
}

impl Signals {
    /// From now on none of them does what it does by default. To be called before
    /// anything else.
    ///
    /// # Errors
    /// The system's.
    pub fn catch() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let caught = Caught {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        };
        drop(within);
        Ok(Self { runtime, caught })
    }
}

impl Caught {
    /// The next one.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
