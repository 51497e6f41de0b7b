//! What the kernel knows: interfaces and neighbours (rtnetlink(7)), and the
//! mesh (`linux/batman_adv.h`).

use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::netlink::GENERIC;

use super::mac::Mac;
use super::netlink::{NLM_F_DUMP, Request, attributes, text, u16_at, u32_at};
use super::socket::{Error, Socket};

/// Items of one kind that are taken in.
pub(super) const ITEMS_MAX: usize = 4_096;

const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const GENL_HEADER_LEN: usize = 4;

const BATADV: &str = "batadv";
const BATADV_CMD_GET_TRANSTABLE_GLOBAL: u8 = 7;
const BATADV_CMD_GET_ORIGINATORS: u8 = 8;
const BATADV_ATTR_MESH_IFINDEX: u16 = 3;
const BATADV_ATTR_HARD_IFINDEX: u16 = 6;
const BATADV_ATTR_ORIG_ADDRESS: u16 = 9;
const BATADV_ATTR_TT_ADDRESS: u16 = 16;
const BATADV_ATTR_LAST_SEEN_MSECS: u16 = 23;
const BATADV_ATTR_NEIGH_ADDRESS: u16 = 24;

const RTM_GETLINK: u16 = 18;
const IFINFOMSG_LEN: usize = 16;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

const RTM_GETNEIGH: u16 = 30;
const NDMSG_LEN: usize = 12;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// `NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP`: no host has answered there.
const NUD_NOBODY: u16 = 0x01 | 0x20 | 0x40;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NetLink {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) address: Option<Mac>,
    /// The interface that this one is a port of: a bridge, or a mesh.
    pub(super) master: Option<u32>,
    pub(super) is_mesh: bool,
}

/// A router of the mesh: its own address there, by which neighbour it is
/// reached, over which interface, and how long ago it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Originator {
    pub(super) address: Mac,
    pub(super) neighbour: Mac,
    pub(super) hard_index: Option<u32>,
    pub(super) last_seen_ms: u32,
}

/// A host and the originator behind which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Translation {
    pub(super) host: Mac,
    pub(super) originator: Mac,
}

/// A host on a link, as ARP or neighbour discovery found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) address: Mac,
    pub(super) ip: IpAddr,
    pub(super) index: u32,
}

/// All interfaces.
pub(super) fn links() -> Result<Vec<NetLink>, Error> {
    dump(&mut Socket::open(None)?, Request::new(RTM_GETLINK, NLM_F_DUMP, &[0; IFINFOMSG_LEN]), link)
}

/// All hosts that ARP and neighbour discovery know.
pub(super) fn neighbours() -> Result<Vec<Neighbour>, Error> {
    dump(&mut Socket::open(None)?, Request::new(RTM_GETNEIGH, NLM_F_DUMP, &[0; NDMSG_LEN]), neighbour)
}

/// batman-adv, as far as this kernel has it.
pub(super) struct Batadv {
    socket: Socket,
    family: u16,
}

impl Batadv {
    /// `None`: there is no batman-adv here.
    pub(super) fn open() -> Result<Option<Self>, Error> {
        let mut socket = Socket::open(Some(GENERIC))?;
        let family = family(&mut socket, BATADV)?;
        Ok(family.map(|family| Self { socket, family }))
    }

    /// The other routers of a mesh.
    pub(super) fn originators(&mut self, mesh_index: u32) -> Result<Vec<Originator>, Error> {
        let request = self.request(BATADV_CMD_GET_ORIGINATORS, mesh_index);
        dump(&mut self.socket, request, originator)
    }

    /// The hosts behind other routers of a mesh, their own ones among them.
    pub(super) fn translations(&mut self, mesh_index: u32) -> Result<Vec<Translation>, Error> {
        let request = self.request(BATADV_CMD_GET_TRANSTABLE_GLOBAL, mesh_index);
        dump(&mut self.socket, request, translation)
    }

    fn request(&self, command: u8, mesh_index: u32) -> Request {
        Request::new(self.family, NLM_F_DUMP, &generic_header(command))
            .with(BATADV_ATTR_MESH_IFINDEX, &mesh_index.to_ne_bytes())
    }
}

/// Command, version 1, and two reserved bytes (`struct genlmsghdr`).
fn generic_header(command: u8) -> [u8; GENL_HEADER_LEN] {
    [command, 1, 0, 0]
}

fn family(socket: &mut Socket, name: &str) -> Result<Option<u16>, Error> {
    let name = [name.as_bytes(), &[0]].concat();
    let request = Request::new(GENL_ID_CTRL, 0, &generic_header(CTRL_CMD_GETFAMILY));
    let mut id = None;
    let asked = socket.ask(request.with(CTRL_ATTR_FAMILY_NAME, &name), |body| id = family_id(body));
    match asked {
        Ok(()) => id.map(Some).ok_or(Error::Malformed),
        Err(Error::Refused(Errno::NOENT)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn family_id(body: &[u8]) -> Option<u16> {
    u16_at(find(body, GENL_HEADER_LEN, CTRL_ATTR_FAMILY_ID)?, 0)
}

/// Everything there is, as far as `read` makes sense of it.
fn dump<T>(socket: &mut Socket, request: Request, read: fn(&[u8]) -> Option<T>) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    socket.ask(request, |body| {
        if items.len() < ITEMS_MAX {
            items.extend(read(body));
        }
    })?;
    Ok(items)
}

/// The first attribute of a type behind a fixed header.
fn find(body: &[u8], fixed_len: usize, wanted: u16) -> Option<&[u8]> {
    attributes(body.get(fixed_len..)?).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn link(body: &[u8]) -> Option<NetLink> {
    let get = |kind| find(body, IFINFOMSG_LEN, kind);
    let kind = get(IFLA_LINKINFO).and_then(|info| find(info, 0, IFLA_INFO_KIND)).and_then(text);
    Some(NetLink {
        index: u32_at(body, 4)?,
        name: text(get(IFLA_IFNAME)?)?.to_owned(),
        address: get(IFLA_ADDRESS).and_then(Mac::from_bytes),
        master: get(IFLA_MASTER).and_then(|value| u32_at(value, 0)),
        is_mesh: kind == Some(BATADV),
    })
}

fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let ip = match find(body, NDMSG_LEN, NDA_DST)? {
        v4 if v4.len() == 4 => IpAddr::from(<[u8; 4]>::try_from(v4).ok()?),
        v6 => IpAddr::from(<[u8; 16]>::try_from(v6).ok()?),
    };
    let address = Mac::from_bytes(find(body, NDMSG_LEN, NDA_LLADDR)?)?;
    let has_answered = u16_at(body, 8)? & NUD_NOBODY == 0;
    has_answered.then_some(Neighbour { address, ip, index: u32_at(body, 4)? })
}

fn originator(body: &[u8]) -> Option<Originator> {
    let get = |kind| find(body, GENL_HEADER_LEN, kind);
    Some(Originator {
        address: Mac::from_bytes(get(BATADV_ATTR_ORIG_ADDRESS)?)?,
        neighbour: Mac::from_bytes(get(BATADV_ATTR_NEIGH_ADDRESS)?)?,
        hard_index: get(BATADV_ATTR_HARD_IFINDEX).and_then(|value| u32_at(value, 0)),
        last_seen_ms: u32_at(get(BATADV_ATTR_LAST_SEEN_MSECS)?, 0)?,
    })
}

fn translation(body: &[u8]) -> Option<Translation> {
    let get = |kind| find(body, GENL_HEADER_LEN, kind).and_then(Mac::from_bytes);
    Some(Translation { host: get(BATADV_ATTR_TT_ADDRESS)?, originator: get(BATADV_ATTR_ORIG_ADDRESS)? })
}

#[cfg(test)]
mod tests {
    #[cfg(target_endian = "little")]
    use super::super::candidates::View;
    use super::super::netlink::tests::{Chance, message};
    use super::super::netlink::{Answer, answers};
    use super::*;

    /// As a kernel with three routers in a row sent them, on a little-endian
    /// machine.
    const ORIGINATORS: &[u8] = include_bytes!("../../../tests/fixtures/batman/originators.netlink");
    const TRANSLATIONS: &[u8] = include_bytes!("../../../tests/fixtures/batman/translations.netlink");

    fn items<T>(recorded: &[u8], read: fn(&[u8]) -> Option<T>) -> Vec<T> {
        let sequence = u32_at(recorded, 8).unwrap();
        let bodies = answers(recorded, sequence).filter_map(|answer| match answer.unwrap() {
            Answer::Item { body, more: true } => Some(body),
            _ => None,
        });
        bodies.filter_map(read).collect()
    }

    fn mac(text: &str) -> Mac {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn recorded_originators_are_read() {
        let found = items(ORIGINATORS, originator);
        let (near, far) = (mac("02:fa:03:00:00:02"), mac("02:fa:03:00:00:03"));
        let seen: Vec<_> = found.iter().map(|one| (one.address, one.neighbour)).collect();
        assert_eq!(seen, [(near, near), (far, near)]);
        assert!(found.iter().all(|one| one.hard_index.is_some() && one.last_seen_ms < 60_000));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn recorded_translations_are_read() {
        let found = items(TRANSLATIONS, translation);
        for (host, originator) in
            [("02:fa:03:01:00:02", "02:fa:03:00:00:02"), ("02:fa:03:01:00:03", "02:fa:03:00:00:03")]
        {
            let wanted = Translation { host: mac(host), originator: mac(originator) };
            assert!(found.contains(&wanted), "{found:?}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_recorded_mesh_interfaces_are_among_the_candidates() {
        let link = |index, address, master, is_mesh| NetLink {
            index,
            name: String::new(),
            address: Some(mac(address)),
            master,
            is_mesh,
        };
        let view = View {
            mesh_index: 3,
            links: vec![
                link(2, "02:fa:03:00:00:01", Some(3), false),
                link(3, "02:fa:03:01:00:01", None, true),
            ],
            originators: items(ORIGINATORS, originator),
            translations: items(TRANSLATIONS, translation),
            neighbours: vec![],
        };
        let candidates = view.candidates(8902);
        // As `ip -6 addr show dev bat0` had them on the two other routers.
        for (originator, wanted) in [
            ("02:fa:03:00:00:02", "[fe80::fa:3ff:fe01:2%3]:8902"),
            ("02:fa:03:00:00:03", "[fe80::fa:3ff:fe01:3%3]:8902"),
        ] {
            let wanted = wanted.parse().unwrap();
            assert!(candidates[&mac(originator)].iter().any(|hint| hint.address == wanted), "{candidates:?}");
        }
    }

    #[test]
    fn the_loopback_interface_is_seen_here() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((lo.address, lo.is_mesh), (None, false));
        assert!(lo.index > 0);
        neighbours().unwrap();
    }

    #[test]
    fn a_family_that_is_not_there_is_no_error() {
        let mut socket = Socket::open(Some(GENERIC)).unwrap();
        assert_eq!(family(&mut socket, "nlctrl").unwrap(), Some(GENL_ID_CTRL));
        assert_eq!(family(&mut socket, "fau3-none").unwrap(), None);
        // and the socket goes on
        assert_eq!(family(&mut socket, "nlctrl").unwrap(), Some(GENL_ID_CTRL));
    }

    #[test]
    fn neighbours_that_never_answered_are_left_out() {
        let written = |state: u16, ip: &[u8]| {
            let mut fixed = [0; NDMSG_LEN];
            fixed[4..8].copy_from_slice(&7_u32.to_ne_bytes());
            fixed[8..10].copy_from_slice(&state.to_ne_bytes());
            let request = Request::new(28, 0, &fixed).with(NDA_DST, ip).with(NDA_LLADDR, &[2, 0, 0, 0, 0, 1]);
            neighbour(&request.finish(1)[16..])
        };
        let there = Neighbour { address: mac("02:00:00:00:00:01"), ip: [10, 0, 0, 1].into(), index: 7 };
        assert_eq!(written(0x02, &[10, 0, 0, 1]), Some(there));
        assert_eq!(written(0x20, &[10, 0, 0, 1]), None);
        assert_eq!(written(0x02, &[10, 0, 0]), None);
        assert_eq!(written(0x04, &[0xfe; 16]).unwrap().ip, IpAddr::from([0xfe; 16]));
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        let mut chance = Chance(0x1e7);
        for recorded in [ORIGINATORS, TRANSLATIONS] {
            for _ in 0..10_000 {
                let mut bytes = recorded[..chance.below(recorded.len() + 1)].to_vec();
                for _ in 0..chance.below(6) {
                    let len = bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(chance.below(len)) {
                        *byte = chance.below(256) as u8;
                    }
                }
                for answer in answers(&bytes, 1) {
                    let Ok(Answer::Item { body, .. }) = answer else { continue };
                    let _ =
                        (originator(body), translation(body), link(body), neighbour(body), family_id(body));
                }
            }
        }
    }

    #[test]
    fn a_mesh_interface_is_told_by_its_kind() {
        let kind = Request::new(0, 0, &[]).with(IFLA_INFO_KIND, b"batadv\0").finish(0);
        let written = |info: &[u8]| {
            let mut fixed = [0; IFINFOMSG_LEN];
            fixed[4..8].copy_from_slice(&7_u32.to_ne_bytes());
            let request = Request::new(16, 0, &fixed)
                .with(IFLA_IFNAME, b"bat0\0")
                .with(IFLA_MASTER, &9_u32.to_ne_bytes());
            link(&message(16, 0, 1, &request.with(IFLA_LINKINFO, info).finish(1)[16..])[16..]).unwrap()
        };
        let mesh = written(&kind[16..]);
        assert_eq!((mesh.index, mesh.name.as_str(), mesh.master, mesh.is_mesh), (7, "bat0", Some(9), true));
        assert!(!written(&[]).is_mesh);
    }
}
