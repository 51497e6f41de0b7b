//! What `talk` and `listen` have in common on the command line. What is wrong
//! with a value is said by the parser of the command line (exit status 2).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tokio_tungstenite::tungstenite::http::Uri;

use crate::config::{bounds, port_of_instance};
use crate::wire::fau3d::STREAM_BYTES_MAX;
use crate::wire::{ClientId, RoomId};

/// The port of FAU3VOM-D.
const PORT: u16 = 8901;
const _: () = assert!(super::SPEEX_FRAME_BYTES < STREAM_BYTES_MAX);

/// Where to connect, and as whom.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// Name of the room: 1 to 64 characters of any script
    #[arg(long, short, value_name = "ROOM", value_parser = room)]
    pub room: RoomId,

    /// Own id, 1 to 64 printable ASCII characters. A second client with the
    /// same id takes the session over and the first one ends, so the default
    /// is a new random id for each run
    #[arg(long, short, value_name = "ID", value_parser = client_id)]
    pub client_id: Option<ClientId>,

    /// Router to connect to: `ws://HOST[:PORT][/PATH]`
    #[arg(long, short, value_name = "URL", default_value = "ws://127.0.0.1:8901")]
    pub url: Url,

    /// Connect to this one of several routers on this machine (node.instance)
    #[arg(long, value_name = "N", conflicts_with = "url", value_parser = instance())]
    pub instance: Option<u32>,
}

/// Which router of a machine: `node.instance`.
pub(super) fn instance() -> clap::builder::RangedI64ValueParser<u32> {
    let bounds::Number { min, max } = bounds::INSTANCE;
    clap::value_parser!(u32).range(i64::from(min)..=i64::from(max))
}

impl ServerArgs {
    /// Where to connect.
    pub(super) fn url(&self) -> Url {
        let Some(instance) = self.instance else { return self.url.clone() };
        let text = format!("ws://127.0.0.1:{}", port_of_instance(PORT, instance));
        text.parse().unwrap_or_else(|error| unreachable!("{text}: {error}"))
    }

    /// The id asked for, or one of this run's own from `chance`.
    pub(super) fn client_id_or(&self, chance: u128) -> ClientId {
        self.client_id.clone().unwrap_or_else(|| {
            let text = format!("fau3-{:012x}", chance & 0xffff_ffff_ffff);
            ClientId::new(&text).unwrap_or_else(|_| unreachable!("{text} is a client id"))
        })
    }
}

fn room(text: &str) -> Result<RoomId, String> {
    RoomId::new(text)
        .map_err(|error| format!("it {error}; a room's name has 1 to 64 characters of any script"))
}

fn client_id(text: &str) -> Result<ClientId, String> {
    ClientId::new(text).map_err(|error| {
        format!("it {error}; a client id has 1 to 64 printable ASCII characters, no space around them")
    })
}

/// The address of a router: `ws://HOST[:PORT][/PATH]`.
/// Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    uri: Uri,
    host: String,
    port: u16,
}

impl Url {
    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        &self.0.host
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0.uri
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "write it like ws://192.168.1.1:8901";
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        if is("wss") || is("https") {
            return Err(format!("encrypted connections are not spoken by FAU3VOM-D; {EXAMPLE}"));
        }
        if !is("ws") {
            return Err(format!("the address of a router begins with ws://; {EXAMPLE}"));
        }
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err(format!("FAU3VOM-D knows no user and no password: leave them away; {EXAMPLE}"));
        }
        let uri: Uri = format!("ws://{rest}").parse().map_err(|error| format!("{error}; {EXAMPLE}"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        // The parser takes "host:" and "host:99999" for a host without a port.
        let written = uri.authority().map_or("", |authority| authority.as_str());
        let after_host = written.rsplit_once(']').map_or(written, |(_, port)| port);
        let port = match (uri.port_u16(), after_host.contains(':')) {
            (Some(port @ 1..), _) => port,
            (None, false) => PORT,
            _ => return Err(format!("a port is a number from 1 to 65535; {EXAMPLE}")),
        };
        if host.is_empty() {
            return Err(format!("that names no host; {EXAMPLE}"));
        }
        Ok(Self(Arc::new(Parts { uri, host, port })))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { uri, host, port } = &*self.0;
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        let path = if uri.path() == "/" { "" } else { uri.path() };
        write!(f, "ws://{open}{host}{close}:{port}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port_that_may_be_left_out() {
        for (text, host, port) in [
            ("ws://127.0.0.1:8901", "127.0.0.1", 8901),
            ("ws://router-a", "router-a", 8901),
            ("ws://[::1]:99/x", "::1", 99),
            ("ws://[fe80::1]", "fe80::1", 8901),
            ("WS://Router-A:8911", "Router-A", 8911),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.host(), url.port()), (host, port), "{text}");
        }
        assert_eq!("ws://[::1]:99/x".parse::<Url>().unwrap().to_string(), "ws://[::1]:99/x");
        assert_eq!("ws://a".parse::<Url>().unwrap().to_string(), "ws://a:8901");
    }

    #[test]
    fn a_user_and_a_password_are_refused_and_not_shown() {
        for text in ["ws://me:secret@router-a:8901", "WS://me@router-a", "ws://me:secret@[::1]:8901/x"] {
            let error = text.parse::<Url>().unwrap_err();
            assert!(error.contains("no user and no password") && !error.contains("secret"), "{error}");
        }
        assert!("ws://router-a/@home".parse::<Url>().is_ok(), "a path may have such a sign");
    }

    #[test]
    fn a_bad_address_is_told_what_a_good_one_looks_like() {
        for text in [
            "",
            "127.0.0.1:8901",
            "http://a",
            "wss://a",
            "ws://",
            "ws://:80",
            "ws://a:",
            "ws://a:0",
            "ws://a:99999",
        ] {
            let error = text.parse::<Url>().unwrap_err();
            assert!(error.contains("ws://192.168.1.1:8901"), "{text}: {error}");
        }
    }
}
