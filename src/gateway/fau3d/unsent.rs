//! How much of what was written to a socket has not been taken by the other
//! side yet.
#![allow(unsafe_code, reason = "no safe wrapper of this ioctl is at hand")]

use std::os::fd::AsFd;

use rustix::ioctl::{Getter, ioctl};

/// Bytes in the socket's send queue, sent or not, that the other side has not
/// acknowledged (Linux `SIOCOUTQ`, tcp(7)). Zero if the kernel does not say.
pub(super) fn unsent_bytes(socket: impl AsFd) -> u64 {
    // SAFETY: SIOCOUTQ writes one int to its argument, which is what Getter
    // gives it room for, and touches nothing else.
    let queued = unsafe { ioctl(socket, Getter::<{ libc::TIOCOUTQ as _ }, libc::c_int>::new()) };
    queued.ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}
