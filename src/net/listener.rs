//! Sockets that stay with their interface. A link-local address is bound to the
//! interface's number; one that is deleted and made anew, as a bridge is when the
//! network is configured again, has another number, and the old socket hears nothing
//! any more, without an error.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{bind_tcp, interface_name, interface_number};

/// Between two looks at an interface's number.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// To which interface a socket is bound, if to any.
pub(crate) struct Follower {
    /// The address, and the interface's name.
    at: Option<(SocketAddrV6, String)>,
    look: Instant,
    /// Whether it was said that there is nothing to listen on now.
    told: bool,
}

impl Follower {
    /// Of a socket that has this address.
    pub(crate) fn new(local: io::Result<SocketAddr>) -> Self {
        let at = match local {
            Ok(SocketAddr::V6(address)) => interface_name(address.scope_id()).map(|name| (address, name)),
            _ => None,
        };
        Self { at, look: Instant::now() + LOOK_INTERVAL, told: false }
    }

    /// The socket that takes the old one's place, once its interface was made anew and `open`
    /// has opened it there. May be dropped and asked for again. Never, where it is bound
    /// to none.
    pub(crate) async fn anew<T>(&mut self, open: impl Fn(SocketAddr) -> io::Result<T>) -> T {
        loop {
            if self.at.is_none() {
                std::future::pending::<()>().await;
            }
            sleep_until(self.look).await;
            self.look = Instant::now() + LOOK_INTERVAL;
            if let Some(opened) = self.look(&open) {
                return opened;
            }
        }
    }

    fn look<T>(&mut self, open: impl Fn(SocketAddr) -> io::Result<T>) -> Option<T> {
        let (address, name) = self.at.as_mut()?;
        let number = interface_number(name);
        if number == Some(address.scope_id()) {
            return None;
        }
        let shown = format!("[{}%{name}]:{}", address.ip(), address.port());
        let Some(number) = number else {
            if !std::mem::replace(&mut self.told, true) {
                warn!("the interface {name} has gone: nobody is heard on {shown} until it is there again");
            }
            return None;
        };
        let again = SocketAddrV6::new(*address.ip(), address.port(), 0, number);
        match open(again.into()) {
            Ok(opened) => {
                info!("the interface {name} was made anew: listening on {shown} again");
                (*address, self.told) = (again, false);
                Some(opened)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    warn!(
                        "the interface {name} was made anew, and {shown} cannot be listened on: {error}; tried again"
                    );
                }
                None
            }
        }
    }
}

/// A TCP listener that follows its interface.
pub(crate) struct Listener {
    socket: TcpListener,
    backlog: u32,
    follower: Follower,
}

impl Listener {
    /// Follows what this socket is bound to. `backlog` as in listen(2).
    pub(crate) fn new(socket: TcpListener, backlog: u32) -> Self {
        let follower = Follower::new(socket.local_addr());
        Self { socket, backlog, follower }
    }

    /// The next connection. Nothing is lost where this is not waited for to its end.
    ///
    /// # Errors
    /// As accept(2); it may go well again later.
    pub(crate) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let backlog = self.backlog;
        let open = |address| bind_tcp(address)?.listen(backlog);
        loop {
            tokio::select! {
                accepted = self.socket.accept() => return accepted,
                socket = self.follower.anew(open) => self.socket = socket,
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
