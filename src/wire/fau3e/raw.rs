//! Frames as serde sees them: every field optional, nothing judged yet.

use std::borrow::Cow;

use fau3_election::RouterId;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;

/// All fields that FAU3VOM-E knows.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Frame<'a> {
    pub(super) message_type: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_uuid: Option<Bytes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<i32>,
    // State
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) coordinator: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<(u64, Id, u32, u64)>,
    /// Number and hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_servers_version: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<u8>,
    /// Id, peer id, IP address as 4 or 16 bytes, port; the last three empty or
    /// 0 where they are not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) neighbours: Vec<(Id, Cow<'a, str>, Bytes<'a>, u16)>,
    /// Origins, which everything else in the frame names by their place here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) origins: Vec<(Id, u32, u64)>,
    /// Place among the origins, floor, top.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) holdings: Vec<(u16, u64, u64)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) connected_clients: Vec<Client<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) clock_ms: Option<u64>,
    #[serde(rename = "IsLeaf", skip_serializing_if = "is_false")]
    pub(super) leaf: bool,
    /// Places among the origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reach: Option<Vec<u16>>,
    /// Names, each with whose it is, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_servers: Option<Vec<(Cow<'a, str>, Option<Id>)>>,
    // Playlist
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) records: Vec<Record<'a>>,
    // Upstream
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) client_ids: Vec<Cow<'a, str>>,
    /// So many of the last of these are claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) claims: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gone_ms: Option<u64>,
    /// Places among the origins, revision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) heard: Vec<Name>,
    // Want, Stream, Upstream
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hop_limit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<Bytes<'a>>,
}

/// A place among the frame's origins, and a sequence.
pub(super) type Name = (u16, u64);
/// Place among the origins, what came before the client, prefix, and what is
/// settled beyond it.
pub(super) type Settled = (u16, u64, u64, Vec<u64>);
/// Generation, place among the origins, revision.
pub(super) type Version = (u64, u16, u64);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Client<'a> {
    pub(super) client_id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) room_id: Option<Cow<'a, str>>,
    #[serde(rename = "IsMonitorRequired", skip_serializing_if = "is_zero", default)]
    pub(super) monitor_period_s: u32,
    #[serde(rename = "IsPingRequired", skip_serializing_if = "is_zero", default)]
    pub(super) ping_period_s: u32,
    pub(super) age_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) detached_ms: Option<u64>,
    pub(super) version: Version,
    pub(super) entered: Version,
    pub(super) moved_over: Version,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) room_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) settled: Vec<Settled>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) last: Option<(u64, Name)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Record<'a> {
    pub(super) id: Name,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) previous: Option<Name>,
    pub(super) room_id: Cow<'a, str>,
    pub(super) client_id: Cow<'a, str>,
    pub(super) message_uuid: Cow<'a, str>,
    pub(super) lamport: u64,
    pub(super) age_ms: u64,
    pub(super) payload: Bytes<'a>,
}

/// A router's id as 16 bytes.
#[derive(Clone, Copy)]
pub(super) struct Id(pub(super) RouterId);

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        let sixteen =
            (&*bytes.0).try_into().map_err(|_| serde::de::Error::custom("a router's id has 16 bytes"))?;
        Ok(Self(RouterId(sixteen)))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
