//! One of several addresses, tried side by side (RFC 8305, "Happy Eyeballs"): one
//! that is dead, an IPv6 address behind a broken tunnel say, costs a quarter of a
//! second instead of minutes.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Sleep, sleep, timeout};

/// Between two addresses (RFC 8305, section 5: "Connection Attempt Delay").
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// One address has so long. The kernel would try for two minutes.
const EACH_MAX: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// And the name server.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// A connection to whichever address of a name answers first.
///
/// # Errors
/// The name's, or the last address's.
pub(crate) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let looking = timeout(LOOK_UP_MAX, lookup_host((host, port))).await;
    let found: Vec<_> = looking.unwrap_or_else(|_| Err(no_answer(host)))?.collect();
    connect_any(&found).await
}

/// A connection to whichever of these answers first.
///
/// # Errors
/// The last one's; [`io::ErrorKind::NotFound`] where there is none.
pub(crate) async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut race = Race {
        waiting: in_turns(addresses),
        running: Vec::new(),
        next: Box::pin(sleep(Duration::ZERO)),
        trouble: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
    };
    poll_fn(|context| race.poll(context)).await
}

/// The kinds of address by turns, the name server's first choice first (RFC 8305, section 4), since it is
/// mostly a kind as a whole that does not work. Given back to front.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first_kind = |address: &&SocketAddr| address.is_ipv4() == addresses[0].is_ipv4();
    let mut first = addresses.iter().filter(is_first_kind);
    let mut other = addresses.iter().filter(|address| !is_first_kind(address));
    let mut turns = Vec::new();
    while turns.len() < addresses.len() {
        turns.extend(first.next().into_iter().chain(other.next()));
    }
    turns.truncate(ADDRESSES_MAX);
    turns.reverse();
    turns
}

struct Race {
    /// The next one last.
    waiting: Vec<SocketAddr>,
    running: Vec<Attempt>,
    /// When the next one's turn comes, if nothing is heard of those that run.
    next: Pin<Box<Sleep>>,
    trouble: io::Error,
}

impl Race {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        loop {
            let mut failed = false;
            let mut won = None;
            self.running.retain_mut(|attempt| match attempt.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(stream)) => {
                    won.get_or_insert(stream);
                    false
                }
                Poll::Ready(Err(error)) => {
                    self.trouble = error;
                    failed = true;
                    false
                }
            });
            if let Some(stream) = won {
                return Poll::Ready(Ok(stream));
            }
            if self.waiting.is_empty() && self.running.is_empty() {
                return Poll::Ready(Err(std::mem::replace(&mut self.trouble, io::ErrorKind::Other.into())));
            }
            let is_due = failed || self.next.as_mut().poll(context).is_ready();
            let Some(address) = self.waiting.pop_if(|_| is_due) else { return Poll::Pending };
            self.running.push(Box::pin(attempt(address)));
            self.next = Box::pin(sleep(NEXT_AFTER));
        }
    }
}

fn no_answer(host: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no name server says where {host} is"))
}

async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let connecting = timeout(EACH_MAX, TcpStream::connect(address)).await;
    connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Takes what is sent to it and answers nothing: a listener whose queue is full.
    fn dead() -> (socket::Full, SocketAddr) {
        let full = socket::Full::new();
        let address = full.address;
        (full, address)
    }

    mod socket {
        use std::net::{SocketAddr, TcpListener, TcpStream};
        use std::time::Duration;

        pub(super) struct Full {
            pub(super) address: SocketAddr,
            _listener: TcpListener,
            _queued: Vec<TcpStream>,
        }

        impl Full {
            pub(super) fn new() -> Self {
                let socket = rustix::net::socket(
                    rustix::net::AddressFamily::INET,
                    rustix::net::SocketType::STREAM,
                    None,
                )
                .unwrap();
                rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
                rustix::net::listen(&socket, 0).unwrap();
                let listener = TcpListener::from(socket);
                let address = listener.local_addr().unwrap();
                let mut queued = Vec::new();
                while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
                    queued.push(stream);
                }
                Self { address, _listener: listener, _queued: queued }
            }
        }
    }

    #[test]
    fn kinds_of_address_take_turns() {
        let all: Vec<SocketAddr> =
            ["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:4"].iter().map(|text| text.parse().unwrap()).collect();
        let mut turns = in_turns(&all);
        turns.reverse();
        assert_eq!(turns, [all[0], all[3], all[1], all[2]]);
        assert!(in_turns(&[]).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_is_silent_costs_a_quarter_of_a_second() {
        let (_full, silent) = dead();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let began = Instant::now();
        let stream = connect_any(&[silent, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(began.elapsed() >= NEXT_AFTER && began.elapsed() < EACH_MAX);
    }

    #[tokio::test]
    async fn one_that_refuses_is_followed_by_the_next_at_once_and_the_last_error_is_told() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = connect_any(&[gone, gone]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let none = connect_any(&[]).await.unwrap_err();
        assert!(none.to_string().contains("no address"));
    }
}
