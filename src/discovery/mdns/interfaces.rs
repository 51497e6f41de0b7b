//! On which interfaces this router is announced and others are heard: those
//! that are configured, or the LAN's, so that an uplink hears nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{info, warn};

use super::groups;
use crate::net::{is_link_local, is_private};

/// What was found holds for so long: the library asks for each address of each
/// interface, all at once.
const FOUND_FOR: Duration = Duration::from_secs(1);
/// So long after interfaces have come the library has joined there, or could not: it
/// looks every two seconds.
const JOINED_AFTER: Duration = Duration::from_secs(5);
/// OpenWrt's logical networks are asked for their devices this often.
const NETWORKS_INTERVAL: Duration = Duration::from_secs(30);
/// The longest answer about one network that is read, in bytes.
const ANSWER_LEN_MAX: u64 = 64 * 1_024;

/// Says which interfaces are meant.
pub(super) struct Interfaces {
    /// `mesh.interface`: names of devices, or of OpenWrt's logical networks.
    /// None: the LAN's.
    configured: Vec<String>,
    found: Mutex<Found>,
}

/// What was found lately.
#[derive(Default)]
struct Found {
    devices: BTreeSet<String>,
    at: Option<Instant>,
    /// Since when it is these.
    since: Option<Instant>,
    /// Those on which the group is not joined, as was said last.
    missing: Option<BTreeSet<String>>,
    /// What the networks among the configured names are on.
    networks: BTreeMap<String, String>,
    networks_at: Option<Instant>,
}

impl Interfaces {
    pub(super) fn new(configured: Vec<String>) -> Self {
        Self { configured, found: Mutex::default() }
    }

    /// Whether a device is one of those meant, now.
    pub(super) fn has(&self, device: &str) -> bool {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.at.is_none_or(|at| at.elapsed() >= FOUND_FOR) {
            let devices = if self.configured.is_empty() { lan_now() } else { self.named(&mut found) };
            if found.devices != devices || found.since.is_none() {
                if devices.is_empty() {
                    info!("mDNS: on no interface");
                }
                found.since = Some(Instant::now());
                // What was said of the others is said anew.
                found.missing = None;
            }
            (found.devices, found.at) = (devices, Some(Instant::now()));
            found.tell();
        }
        found.devices.contains(device)
    }

    fn named(&self, found: &mut Found) -> BTreeSet<String> {
        if found.networks_at.is_none_or(|at| at.elapsed() >= NETWORKS_INTERVAL) {
            let device = |name: &String| Some((name.clone(), l3_device(&ask_ubus(name)?)?));
            found.networks = self.configured.iter().filter_map(device).collect();
            found.networks_at = Some(Instant::now());
        }
        let device = |name: &String| found.networks.get(name).unwrap_or(name).clone();
        self.configured.iter().map(device).collect()
    }
}

impl Found {
    /// Says where it speaks and where it cannot, once that can be known and when it changes.
    fn tell(&mut self) {
        if self.devices.is_empty() || self.since.is_none_or(|since| since.elapsed() < JOINED_AFTER) {
            return;
        }
        let missing = groups::missing(&self.devices);
        if self.missing.as_ref() == Some(&missing) {
            return;
        }
        let on: Vec<_> = self.devices.difference(&missing).map(String::as_str).collect();
        info!("mDNS: on {}", if on.is_empty() { "no interface".into() } else { on.join(", ") });
        if !missing.is_empty() {
            warn!("{}", groups::text(&missing));
        }
        self.missing = Some(missing);
    }
}

/// Of the interfaces that are there and up.
fn lan_now() -> BTreeSet<String> {
    let addresses = if_addrs::get_if_addrs().unwrap_or_default();
    let up = addresses.into_iter().filter(|address| address.is_oper_up() && !address.is_loopback());
    lan(up.map(|address| (address.ip(), address.name)))
}

/// Interfaces with a private address, and those whose addresses mean something
/// on that link alone. One that has public addresses and no private one leads
/// out of the house, though it has a link-local one, too.
fn lan(addresses: impl Iterator<Item = (IpAddr, String)>) -> BTreeSet<String> {
    let mut by_name: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for (ip, name) in addresses {
        by_name.entry(name).or_default().push(ip);
    }
    let is_lan = |(_, ips): &(String, Vec<IpAddr>)| {
        ips.iter().any(|ip| is_private(*ip)) || ips.iter().all(|ip| is_link_local(*ip))
    };
    by_name.into_iter().filter(is_lan).map(|(name, _)| name).collect()
}

/// What OpenWrt's netifd knows of a logical network; `None`: there is no such
/// network, or no netifd.
fn ask_ubus(network: &str) -> Option<String> {
    let mut ubus = Command::new("ubus");
    ubus.args(["-S", "-t", "1", "call", &format!("network.interface.{network}"), "status"]);
    ubus.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = ubus.spawn().ok()?;
    let mut text = String::new();
    let read = running.stdout.take()?.take(ANSWER_LEN_MAX).read_to_string(&mut text);
    // One that prints more than is read would wait for ever.
    let _ = running.kill();
    let _ = running.wait();
    read.ok().map(|_| text)
}

/// The device that has the network's addresses: `br-lan` of `lan`.
fn l3_device(status: &str) -> Option<String> {
    let status: Value = serde_json::from_str(status).ok()?;
    status["l3_device"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lan_of(addresses: &[(&str, &str)]) -> Vec<String> {
        lan(addresses.iter().map(|(ip, name)| (ip.parse().unwrap(), (*name).to_owned())))
            .into_iter()
            .collect()
    }

    #[test]
    fn the_lan_is_where_addresses_are_private_and_an_uplink_is_not() {
        // Given a router with a LAN that also has public IPv6 addresses, an uplink, a mesh
        // without addresses of its own, and a modem's port that has nothing else either
        let names = lan_of(&[
            ("192.168.1.1", "br-lan"),
            ("2001:db8:1::1", "br-lan"),
            ("fe80::1", "br-lan"),
            ("203.0.113.5", "wan"),
            ("2001:db8:2::5", "wan"),
            ("fe80::2", "wan"),
            ("fe80::3", "bat0"),
            ("100.64.3.4", "wwan"),
            ("fd00::1", "guest"),
        ]);
        assert_eq!(names, ["bat0", "br-lan", "guest"]);
    }

    #[test]
    fn what_is_configured_is_meant_whatever_its_addresses() {
        let interfaces = Interfaces::new(vec!["br-lan".into(), "wan".into()]);
        assert!(interfaces.has("wan") && interfaces.has("br-lan") && !interfaces.has("eth7"));
    }

    #[test]
    fn a_network_of_openwrt_means_its_device() {
        // As netifd prints it, shortened.
        let status = r#"{"up":true,"l3_device":"br-lan","proto":"static","device":"br-lan"}"#;
        assert_eq!(l3_device(status).as_deref(), Some("br-lan"));
        // One that is down has none yet, and what is no network prints nothing.
        for nothing in [r#"{"up":false,"proto":"dhcp","device":"wan"}"#, "", "Not found"] {
            assert_eq!(l3_device(nothing), None);
        }
        // Then the name is taken for a device's.
        let interfaces = Interfaces::new(vec!["lan".into()]);
        let mut found = Found { networks_at: Some(Instant::now()), ..Found::default() };
        assert_eq!(interfaces.named(&mut found), BTreeSet::from(["lan".to_owned()]));
        found.networks.insert("lan".into(), "br-lan".into());
        assert_eq!(interfaces.named(&mut found), BTreeSet::from(["br-lan".to_owned()]));
    }
}
