//! Answers go from the own address that was asked: a firewall or a NAT between lets no
//! other one through (Linux `IP_PKTINFO`, ip(7), and RFC 3542, section 6).
#![allow(unsafe_code, reason = "no safe wrapper of this ancillary data is at hand")]

use std::collections::BTreeMap;
use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use fau3_election::Time;
use socket2::SockAddr;

use super::warm::{HEARD_LATELY, PATH_SILENT};

/// Most addresses of others of which it is known what they asked. Beyond it, the one
/// that asked longest ago is forgotten.
pub(super) const ASKED_MAX: usize = 512;

/// Room for the ancillary data of one datagram, in words of 8 bytes, which also align
/// it: an `in6_pktinfo` and its header are 40 bytes at most.
const CONTROL_WORDS: usize = 8;

/// An own address that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    /// In its one form.
    ip: IpAddr,
    /// The number of its interface, if it is link-local in IPv6; else 0: routes decide.
    interface: u32,
}

/// Which own address each address of others asked, and at which socket.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<SocketAddr, (usize, Own, Time)>);

impl Asked {
    /// Who asks at several addresses is answered from one of them, and steadily: else
    /// each of them seems to fall silent now and then.
    pub(super) fn note(&mut self, now: Time, from: SocketAddr, socket: usize, own: Own) {
        let known = self.0.get(&from);
        if known.is_some_and(|known| known.1 != own && now.since(known.2) < PATH_SILENT) {
            return;
        }
        if known.is_none() && self.0.len() >= ASKED_MAX {
            let oldest = self.0.iter().min_by_key(|(from, known)| (known.2, **from)).map(|(from, _)| *from);
            oldest.map(|from| self.0.remove(&from));
        }
        self.0.insert(from, (socket, own, now));
    }

    /// What was asked lately from there.
    pub(super) fn from(&self, now: Time, from: SocketAddr) -> Option<(usize, Own)> {
        let known = self.0.get(&from).filter(|known| now.since(known.2) < HEARD_LATELY);
        known.map(|(socket, own, _)| (*socket, *own))
    }

    pub(super) fn forget(&mut self, from: SocketAddr) {
        self.0.remove(&from);
    }
}

/// From now on the socket tells which address a datagram asked.
pub(super) fn tell(socket: &impl AsRawFd, is_ipv6: bool) -> io::Result<()> {
    let (level, option) = if is_ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is one int, of which the address and the size are given, and
    // which is only read.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives one datagram, if there is one: how long it is, from where, and what it asked.
pub(super) fn receive(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, Option<Own>)> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes is a valid `msghdr`. Each pointer in it is to something that
    // outlives the call, and has its size beside it; the kernel sets the sizes to what
    // it wrote, which `own_of` relies on.
    let ((length, own), from) = unsafe {
        SockAddr::try_init(|name, name_length| {
            let mut message: libc::msghdr = zeroed();
            message.msg_name = name.cast();
            message.msg_namelen = *name_length;
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control) as _;
            let length = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT);
            let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
            *name_length = message.msg_namelen;
            Ok((length, own_of(&message)))
        })?
    };
    let from = from.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok((length, from, own))
}

/// The address that a received datagram asked.
///
/// # Safety
/// `message` is as the kernel filled it, and its ancillary data is still there.
unsafe fn own_of(message: &libc::msghdr) -> Option<Own> {
    // SAFETY: the system's own macros walk over what the kernel wrote, and the kind of
    // each says what is in it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(head) = header.as_ref() {
            let data = libc::CMSG_DATA(head);
            match (head.cmsg_level, head.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    let ip = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                    return Some(Own { ip: ip.into(), interface: 0 });
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    let interface = if ip.is_unicast_link_local() { info.ipi6_ifindex as u32 } else { 0 };
                    return Some(Own { ip: ip.to_canonical(), interface });
                }
                _ => header = libc::CMSG_NXTHDR(message, header),
            }
        }
    }
    None
}

/// Sends from an own address, at once or not at all. `to` is of the socket's family.
pub(super) fn send(socket: &impl AsRawFd, bytes: &[u8], to: SocketAddr, own: Own) -> io::Result<()> {
    let mut control = [0_u64; CONTROL_WORDS];
    let name = SockAddr::from(to);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: as in `receive`; the name and the bytes are only read, and there is room
    // for one header with either structure.
    let sent = unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_name = name.as_ptr().cast_mut().cast();
        message.msg_namelen = name.len();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        match own.ip {
            IpAddr::V4(ip) if to.is_ipv4() => {
                let mut info: libc::in_pktinfo = zeroed();
                info.ipi_spec_dst.s_addr = u32::from_ne_bytes(ip.octets());
                put(&mut message, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            ip => {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                let mut info: libc::in6_pktinfo = zeroed();
                info.ipi6_addr.s6_addr = ip.octets();
                info.ipi6_ifindex = own.interface as _;
                put(&mut message, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
        }
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes this the message's ancillary data.
///
/// # Safety
/// The message has room for it.
unsafe fn put<T>(message: &mut libc::msghdr, level: libc::c_int, kind: libc::c_int, info: T) {
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: there is room, so that there is a first header, and space behind it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(info);
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    fn own(last: u8) -> Own {
        Own { ip: [10, 0, 0, last].into(), interface: 0 }
    }

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked() {
        // All of 127.0.0.0/8 is this machine; the system itself answers from 127.0.0.1.
        for (listen, asked) in [
            ("0.0.0.0:0", "127.0.0.2"),
            ("[::]:0", "127.0.0.2"),
            ("[::]:0", "::1"),
            ("0.0.0.0:0", "127.0.0.1"),
        ] {
            let ip: IpAddr = asked.parse().unwrap();
            let asking = UdpSocket::bind(if ip.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
            let (Ok(listening), Ok(asking)) = (UdpSocket::bind(listen), asking) else {
                fau3_skipped::skipped("IPv6 on loopback");
                continue;
            };
            tell(&listening, listen.starts_with('[')).unwrap();
            // A connected socket takes answers from there only, as a firewall does.
            asking.connect((ip, listening.local_addr().unwrap().port())).unwrap();
            asking.send(b"ask").unwrap();
            let mut buffer = [0; 16];
            let (length, from, own) = receive(&listening, &mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"ask");
            assert_eq!(own, Some(Own { ip, interface: 0 }), "{listen} {asked}");
            send(&listening, b"answer", from, own.unwrap()).unwrap();
            asking.set_nonblocking(true).unwrap();
            assert_eq!(asking.recv(&mut buffer).expect(asked), 6, "{listen} {asked}");
            assert_eq!(receive(&listening, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn who_asks_at_two_addresses_is_answered_from_one_until_it_is_asked_no_more() {
        let (mut asked, from, start) = (Asked::default(), SocketAddr::from(([10, 0, 0, 9], 1)), Time::ZERO);
        asked.note(start, from, 0, own(1));
        asked.note(start + PATH_SILENT / 2, from, 1, own(2));
        assert_eq!(asked.from(start, from), Some((0, own(1))), "steadily");
        asked.note(start + PATH_SILENT, from, 1, own(2));
        assert_eq!(asked.from(start + PATH_SILENT, from), Some((1, own(2))));
        assert_eq!(asked.from(start + PATH_SILENT + HEARD_LATELY, from), None, "too long ago");
    }

    #[test]
    fn beyond_the_bound_the_one_that_asked_longest_ago_is_forgotten() {
        let from = |number: usize| SocketAddr::from(([10, 0, 0, 9], 60_000 - number as u16));
        let now = |number: usize| Time::ZERO + Duration::from_millis(number as u64);
        let mut asked = Asked::default();
        for number in 0..=ASKED_MAX {
            asked.note(now(number), from(number), 0, own(1));
        }
        assert_eq!(asked.0.len(), ASKED_MAX);
        assert_eq!(asked.from(now(ASKED_MAX), from(0)), None);
        assert!(asked.from(now(ASKED_MAX), from(1)).is_some());
    }
}
