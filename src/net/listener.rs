//! A TCP listener that stays with its interface. A link-local address is bound to the
//! interface's number; one that is deleted and made anew, as a bridge is when the
//! network is configured again, has another number, and the old socket hears nothing
//! any more, without an error.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{bind_tcp, interface_name, interface_number};

/// Between two looks at an interface's number.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// See the module's text.
pub(crate) struct Listener {
    socket: TcpListener,
    backlog: u32,
    /// The address and the interface of one that is bound to an interface.
    at: Option<(SocketAddrV6, String)>,
    look: Instant,
    /// Whether it was said that there is nothing to listen on now.
    told: bool,
}

impl Listener {
    /// Follows what this socket is bound to. `backlog` as in listen(2).
    pub(crate) fn new(socket: TcpListener, backlog: u32) -> Self {
        let at = match socket.local_addr() {
            Ok(SocketAddr::V6(address)) => interface_name(address.scope_id()).map(|name| (address, name)),
            _ => None,
        };
        Self { socket, backlog, at, look: Instant::now() + LOOK_INTERVAL, told: false }
    }

    /// The next connection. Nothing is lost where this is not waited for to its end.
    ///
    /// # Errors
    /// As accept(2); it may go well again later.
    pub(crate) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            tokio::select! {
                accepted = self.socket.accept() => return accepted,
                () = sleep_until(self.look), if self.at.is_some() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        self.look = Instant::now() + LOOK_INTERVAL;
        let Some((address, name)) = &mut self.at else { return };
        let number = interface_number(name);
        if number == Some(address.scope_id()) {
            return;
        }
        let shown = format!("[{}%{name}]:{}", address.ip(), address.port());
        let Some(number) = number else {
            if !std::mem::replace(&mut self.told, true) {
                warn!("the interface {name} has gone: nobody is heard on {shown} until it is there again");
            }
            return;
        };
        let again = SocketAddrV6::new(*address.ip(), address.port(), 0, number);
        match bind_tcp(again.into()).and_then(|socket| socket.listen(self.backlog)) {
            Ok(socket) => {
                info!("the interface {name} was made anew: listening on {shown} again");
                (self.socket, *address, self.told) = (socket, again, false);
            }
            Err(error) if !std::mem::replace(&mut self.told, true) => {
                warn!(
                    "the interface {name} was made anew, and {shown} cannot be listened on: {error}; tried again"
                );
            }
            Err(_) => {}
        }
    }
}
