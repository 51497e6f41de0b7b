//! How much of what was written to a socket has not been taken by the other
//! side yet, and how much that may be.
#![allow(unsafe_code, reason = "no safe wrapper of these two calls is at hand")]

use std::os::fd::{AsFd, AsRawFd as _};

use rustix::ioctl::{Getter, ioctl};
use rustix::net::sockopt::set_socket_send_buffer_size;

/// Bytes in the socket's send queue, sent or not, that the other side has not
/// acknowledged (Linux `SIOCOUTQ`, tcp(7)). Zero if the kernel does not say.
pub(super) fn unsent_bytes(socket: impl AsFd) -> u64 {
    // SAFETY: SIOCOUTQ writes one int to its argument, which is what Getter
    // gives it room for, and touches nothing else.
    let queued = unsafe { ioctl(socket, Getter::<{ libc::TIOCOUTQ as _ }, libc::c_int>::new()) };
    queued.ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

/// What a socket holds that the other side has not acknowledged, in bytes: a link
/// with a round trip of 50 ms still carries 5 Mbit/s. The kernel's own choice
/// grows to megabytes.
const SEND_BUFFER_BYTES: usize = 32 * 1_024;
/// What of it is not even sent, in bytes.
static UNSENT_BYTES_MAX: libc::c_int = 4 * 1_024;

/// Lets no more than a little wait in the kernel, where nothing can overtake it. A
/// kernel that does not know how is as before.
pub(super) fn keep_short(socket: impl AsFd) {
    let socket = socket.as_fd();
    let _ = set_socket_send_buffer_size(socket, SEND_BUFFER_BYTES);
    // SAFETY: the value is one int, of which the address and the size are given, and
    // which is only read.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const UNSENT_BYTES_MAX).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}
