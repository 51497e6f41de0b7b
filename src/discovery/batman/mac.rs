//! Addresses of network cards.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The bit of the first byte that says "given by an administrator" (IEEE 802).
const LOCAL: u8 = 2;
/// The bit that says "many".
const GROUP: u8 = 1;

/// The address of one network card, EUI-48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mac([u8; 6]);

impl Mac {
    /// `None`: not of one card.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mac: [u8; 6] = bytes.try_into().ok()?;
        (mac != [0; 6] && mac[0] & GROUP == 0).then_some(Self(mac))
    }

    /// The IPv6 address that a host gives itself on a link (RFC 4291, appendix A).
    pub(super) fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        let [first, second, third, fourth] =
            [[a ^ LOCAL, b], [c, 0xff], [0xfe, d], [e, f]].map(u16::from_be_bytes);
        Ipv6Addr::new(0xfe80, 0, 0, 0, first, second, third, fourth)
    }

    /// Bytes in which they differ, whoever gave them: the cards of one router
    /// usually count up from one address.
    pub(super) fn distance(self, other: Self) -> usize {
        let differs = |at: usize| {
            let mask = if at == 0 { !LOCAL } else { 0xff };
            (self.0[at] ^ other.0[at]) & mask != 0
        };
        (0..6).filter(|&at| differs(at)).count()
    }
}

/// Text that is no address of one card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMac;

impl FromStr for Mac {
    type Err = NoMac;

    fn from_str(text: &str) -> Result<Self, NoMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && part.is_ascii()).ok_or(NoMac)?;
            let is_hex = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| is_hex).ok_or(NoMac)?;
        }
        let is_whole = parts.next().is_none();
        Self::from_bytes(&bytes).filter(|_| is_whole).ok_or(NoMac)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_is_written() {
        let mac: Mac = "02:CA:ff:ee:00:09".parse().unwrap();
        assert_eq!(mac.to_string(), "02:ca:ff:ee:00:09");
        let wrong =
            ["", "02", "02:ca:ff:ee:00", "02:ca:ff:ee:00:09:01", "02:ca:ff:ee:00:+9", "02:ca:ff:ee:0:009"];
        for wrong in wrong.iter().chain(&[
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
            "33:33:00:00:00:01",
            "02-ca-ff-ee-00-09",
        ]) {
            assert_eq!(wrong.parse::<Mac>(), Err(NoMac), "{wrong}");
        }
    }

    #[test]
    fn the_link_local_address_is_the_modified_eui_64() {
        // RFC 4291, appendix A, with the universal bit turned over.
        let mac: Mac = "34:56:78:9a:bc:de".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::3656:78ff:fe9a:bcde");
        let mac: Mac = "02:00:00:00:00:01".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::ff:fe00:1");
    }

    #[test]
    fn cards_of_one_router_are_near_each_other() {
        let mac = |text: &str| text.parse::<Mac>().unwrap();
        assert_eq!(mac("60:11:22:33:44:50").distance(mac("62:11:22:33:44:51")), 1);
        assert_eq!(mac("60:11:22:33:44:50").distance(mac("74:da:38:01:02:03")), 6);
    }
}
