//! One netlink socket: a question, and its answers until the last.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, recv, send, socket_with};

use super::netlink::{Answer, Malformed, Request, answers};

/// The kernel answers at once; one that does not never will.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
/// The kernel never puts more into one datagram of a dump.
const DATAGRAM_LEN_MAX: usize = 32 * 1_024;
/// Datagrams of one answer: some 10,000 neighbours.
const DATAGRAMS_MAX: usize = 64;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Error {
    /// The kernel refuses, with this errno.
    Refused(Errno),
    /// The socket fails, or the kernel says nothing.
    Socket(io::Error),
    /// What the kernel says cannot be read, or does not end.
    Malformed,
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Socket(errno.into())
    }
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Errno::PERM) => {
                f.write_str("the kernel does not allow it; run as root, or with CAP_NET_ADMIN")
            }
            Self::Refused(errno) => write!(f, "the kernel refuses: {}", io::Error::from(*errno)),
            Self::Socket(error) => write!(f, "no answer from the kernel: {error}"),
            Self::Malformed => f.write_str("the kernel's answer cannot be read"),
        }
    }
}

impl std::error::Error for Error {}

/// A socket to one part of the kernel. Blocks, for a second at most.
pub(super) struct Socket {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// `None` is routing (`NETLINK_ROUTE`).
    pub(super) fn open(protocol: Option<Protocol>) -> Result<Self, Error> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIME_MAX))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM_LEN_MAX] })
    }

    /// Asks, and gives `each` every item of the answer.
    pub(super) fn ask(&mut self, request: Request, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.socket, &request.finish(self.sequence), SendFlags::empty())?;
        for _ in 0..DATAGRAMS_MAX {
            let (len, whole_len) = recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC)?;
            if whole_len > len {
                return Err(Error::Malformed);
            }
            for answer in answers(&self.buffer[..len], self.sequence) {
                match answer? {
                    Answer::Item { body, more } => {
                        each(body);
                        if !more {
                            return Ok(());
                        }
                    }
                    Answer::Done | Answer::Refused(0) => return Ok(()),
                    Answer::Refused(errno) => return Err(Error::Refused(Errno::from_raw_os_error(errno))),
                }
            }
        }
        Err(Error::Malformed)
    }
}
