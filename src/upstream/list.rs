//! The ExtraServers list of the main server: fetched, read, checked.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use fau3_election::{LIST_MAX_ENTRIES, NAME_MAX_BYTES, RouterId, ServerEntry};
use libp2p_identity::PeerId;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use super::target::Target;
use crate::discovery::believable_name;
use crate::http::fetched::{self, NoAnswer};
use crate::identity::router_of;

/// Where the list is (seed 000).
const PATH: &str = "/fau3vom/GetExtraServersList";
/// What is not there after this long does not come.
const FETCH_MAX: Duration = Duration::from_secs(1);
/// The longest answer, in bytes: 64 entries with all their addresses.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Addresses of one entry.
const ADDRESSES_MAX: usize = 16;
/// The longest address, in characters.
const ADDRESS_CHARS_MAX: usize = 128;

/// A list as the server gave it, every entry checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    /// The server's own number.
    pub(super) version: u64,
    /// Highest priority first; at least one.
    pub(super) entries: Vec<ServerEntry>,
}

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoList {
    /// The server has none to give: it does not know the request, or does not
    /// answer it. As good as an empty answer.
    NotGiven(String),
    /// It gives one that names nobody.
    Empty,
    /// It gives one that cannot be used.
    Broken(String),
}

impl fmt::Display for NoList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGiven(reason) => write!(f, "not given: {reason}"),
            Self::Empty => f.write_str("empty"),
            Self::Broken(reason) => write!(f, "broken: {reason}"),
        }
    }
}

/// Asks for the list. Done within a second.
///
/// # Errors
/// Why there is none.
pub(super) async fn fetch(target: &Target) -> Result<List, NoList> {
    let fetched = tokio::time::timeout(FETCH_MAX, body(target)).await;
    let body = fetched.unwrap_or_else(|_| Err(NoList::NotGiven("no answer within 1 s".into())))?;
    parse(&body)
}

async fn body(target: &Target) -> Result<Vec<u8>, NoList> {
    let not_given = |error: &dyn fmt::Display| NoList::NotGiven(error.to_string());
    let mut stream = target.connect().await.map_err(|error| not_given(&error))?;
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.authority());
    stream.write_all(request.as_bytes()).await.map_err(|error| not_given(&error))?;
    match fetched::read(&mut stream, BODY_BYTES_MAX).await {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        Ok(answer) => Err(NoList::NotGiven(format!("HTTP {}", answer.status))),
        Err(error @ NoAnswer::TooLong(_)) => Err(NoList::Broken(error.to_string())),
        Err(error) => Err(not_given(&error)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    message_type: Option<String>,
    #[serde(default)]
    version: u64,
    servers: Vec<Server>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Server {
    name: String,
    #[serde(default)]
    peer_id: String,
    #[serde(default)]
    addresses: Vec<String>,
}

/// Reads and checks a list (PROTOCOLS.md, section 1).
fn parse(body: &[u8]) -> Result<List, NoList> {
    let broken = |reason: String| NoList::Broken(reason);
    let written: Written = serde_json::from_slice(body).map_err(|error| broken(error.to_string()))?;
    if written.message_type.is_some_and(|is| is != "ExtraServersList") {
        return Err(broken("its MessageType is not ExtraServersList".into()));
    }
    if written.servers.is_empty() {
        return Err(NoList::Empty);
    }
    if written.servers.len() > LIST_MAX_ENTRIES {
        return Err(broken(format!("more than {LIST_MAX_ENTRIES} servers")));
    }
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut entries = Vec::new();
    for (place, server) in written.servers.into_iter().enumerate() {
        let entry = entry(server).map_err(|reason| broken(format!("server {}: {reason}", place + 1)))?;
        if !names.insert(entry.name.clone()) {
            return Err(broken(format!("two servers are called {}", entry.name)));
        }
        if entry.id.is_some_and(|id| !ids.insert(id)) {
            return Err(broken(format!("{} has the PeerId of another one", entry.name)));
        }
        entries.push(entry);
    }
    Ok(List { version: written.version, entries })
}

fn entry(server: Server) -> Result<ServerEntry, String> {
    let name = believable_name(&server.name).filter(|name| name.len() <= NAME_MAX_BYTES);
    let name = name
        .ok_or_else(|| format!("its Name is not 1 to {NAME_MAX_BYTES} letters, digits, '.', '_' and '-'"))?;
    let id = if server.peer_id.is_empty() { None } else { Some(router_id(&server.peer_id)?) };
    if server.addresses.len() > ADDRESSES_MAX {
        return Err(format!("more than {ADDRESSES_MAX} Addresses"));
    }
    if let Some(bad) = server.addresses.iter().find(|address| !is_multiaddress(address)) {
        let shown: String = bad.chars().take(40).collect();
        return Err(format!("{shown:?} is no multiaddress such as /ip4/192.168.1.2/tcp/8902"));
    }
    Ok(ServerEntry { name, id })
}

fn router_id(peer_id: &str) -> Result<RouterId, String> {
    let known = peer_id.parse::<PeerId>().ok().as_ref().and_then(router_of);
    known.ok_or_else(|| "its PeerId is none of a router".to_owned())
}

/// As libp2p writes one, as far as it matters: `/PROTOCOL/VALUE...`.
fn is_multiaddress(text: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
    let parts = text.strip_prefix('/').filter(|_| text.len() <= ADDRESS_CHARS_MAX);
    parts.is_some_and(|parts| parts.contains('/') && parts.split('/').all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fau3d::{ExtraServer, extra_servers_list};

    /// Of Ed25519 keys, and one of another kind.
    const PEER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

    fn server(name: &str, peer_id: &str, addresses: &[&str]) -> ExtraServer {
        let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        ExtraServer { name: name.into(), peer_id: peer_id.into(), addresses }
    }

    fn read(servers: &[ExtraServer]) -> Result<List, NoList> {
        parse(extra_servers_list(7, servers).as_bytes())
    }

    fn reason(servers: &[ExtraServer]) -> String {
        read(servers).unwrap_err().to_string()
    }

    #[test]
    fn what_a_router_answers_is_read_back_in_its_order() {
        let list = read(&[server("b", PEER, &["/ip4/10.0.0.1/tcp/8902"]), server("a", "", &[])]).unwrap();
        let names: Vec<_> = list.entries.iter().map(|entry| (&*entry.name, entry.id.is_some())).collect();
        assert_eq!((list.version, names), (7, vec![("b", true), ("a", false)]));
    }

    #[test]
    fn a_list_of_which_anything_is_wrong_is_broken_as_a_whole_and_says_where() {
        let many: Vec<_> = (0..65).map(|number| server(&format!("r{number}"), "", &[])).collect();
        let long = "n".repeat(64);
        for (wanted, servers) in [
            ("two servers are called a", vec![server("a", "", &[]), server("a", PEER, &[])]),
            ("b has the PeerId", vec![server("a", PEER, &[]), server("b", PEER, &[])]),
            ("server 2: its Name", vec![server("a", "", &[]), server("two words", "", &[])]),
            ("server 1: its Name", vec![server("", "", &[])]),
            ("server 1: its Name", vec![server(&long, "", &[])]),
            ("PeerId", vec![server("a", "12D3", &[])]),
            ("PeerId", vec![server("a", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", &[])]),
            ("multiaddress", vec![server("a", "", &["10.0.0.1:8902"])]),
            ("Addresses", vec![server("a", "", &["/ip4/10.0.0.1"; 17])]),
            ("more than 64", many),
        ] {
            let reason = reason(&servers);
            assert!(reason.starts_with("broken") && reason.contains(wanted), "{wanted}: {reason}");
        }
        for body in ["", "[]", "{}", r#"{"Servers":7}"#, r#"{"MessageType":"Ping","Servers":[{"Name":"a"}]}"#]
        {
            assert!(matches!(parse(body.as_bytes()), Err(NoList::Broken(_))), "{body}");
        }
    }

    #[test]
    fn an_empty_list_is_told_from_a_broken_one_and_a_version_may_be_missing() {
        assert_eq!(read(&[]), Err(NoList::Empty));
        let list = parse(br#"{"Servers":[{"Name":"a","Priority":3,"More":1}]}"#).unwrap();
        assert_eq!((list.version, list.entries.len()), (0, 1));
    }
}
