//! Whether the kernel has let the library join multicast DNS's groups on an
//! interface: it says nothing where that fails, and one socket may join only so many.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::net::IpAddr;

/// 224.0.0.251 (RFC 6762, section 3) as the kernel prints it: in hexadecimal digits, in the machine's byte order.
fn group_v4() -> String {
    format!("{:08X}", u32::from_ne_bytes([224, 0, 0, 251]))
}
/// ff02::fb, likewise.
const GROUP_V6: &str = "ff0200000000000000000000000000fb";
/// How many groups, or one group on how many interfaces, a socket may join (`igmp_max_memberships`, ip(7)).
const LIMIT: &str = "/proc/sys/net/ipv4/igmp_max_memberships";

/// Those of `devices` on which a group is not joined for a kind of address that they have.
pub(super) fn missing(devices: &BTreeSet<String>) -> BTreeSet<String> {
    let addresses = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = addresses.into_iter().filter(|address| devices.contains(&address.name));
    let (v4, v6) = (read_to_string("/proc/net/igmp"), read_to_string("/proc/net/igmp6"));
    let (v4, v6) = (v4.map(|text| joined_v4(&text)), v6.map(|text| joined_v6(&text)));
    let lacks = |ip: IpAddr, device: &str| match if ip.is_ipv4() { &v4 } else { &v6 } {
        Ok(joined) => !joined.contains(device),
        // A kernel that does not tell.
        Err(_) => false,
    };
    addresses.filter(|address| lacks(address.ip(), &address.name)).map(|address| address.name).collect()
}

/// What to say of them.
pub(super) fn text(missing: &BTreeSet<String>) -> String {
    let names: Vec<_> = missing.iter().map(String::as_str).collect();
    let limit = read_to_string(LIMIT).unwrap_or_default();
    format!(
        "mDNS: not on {}: the system did not let it join the group there, and it is tried again. One program may join on \
         {} interfaces: raise net.ipv4.igmp_max_memberships, or name fewer with mesh.interface",
        names.join(", "),
        limit.trim()
    )
}

/// A line of a device, then one for each of its groups.
fn joined_v4(text: &str) -> BTreeSet<String> {
    let group = group_v4();
    let mut device = "";
    let mut joined = BTreeSet::new();
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        if !line.starts_with(char::is_whitespace) {
            device = words.nth(1).unwrap_or_default().trim_end_matches(':');
        } else if words.next() == Some(&group) {
            joined.insert(device.to_owned());
        }
    }
    joined
}

/// A line for each group of each device.
fn joined_v6(text: &str) -> BTreeSet<String> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let joined = words.filter(|words| words.get(2) == Some(&GROUP_V6));
    joined.map(|words| words[1].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_tell_which_interfaces_are_in_the_group() {
        let group = group_v4();
        let v4 = format!(
            "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
             1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
             2\teth0      :     2      V3\n\t\t\t\t{group}     1 0:00000000\t\t0\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
             13\tlong-name12:     2      V3\n\t\t\t\t{group}     1 0:00000000\t\t0\n"
        );
        assert_eq!(joined_v4(&v4), BTreeSet::from(["eth0".to_owned(), "long-name12".to_owned()]));
        let v6 = "1    lo              ff020000000000000000000000000001     1 0000000C 0\n\
                  2    eth0            ff0200000000000000000000000000fb     1 00000004 0\n";
        assert_eq!(joined_v6(v6), BTreeSet::from(["eth0".to_owned()]));
    }

    #[test]
    fn an_interface_on_which_nobody_has_joined_is_missing() {
        // On the loopback nobody speaks multicast DNS.
        let lo = BTreeSet::from(["lo".to_owned()]);
        assert_eq!(missing(&lo), lo);
        assert!(text(&lo).contains("not on lo") && text(&lo).contains("igmp_max_memberships"));
        assert!(missing(&BTreeSet::from(["gone0".to_owned()])).is_empty());
    }
}
