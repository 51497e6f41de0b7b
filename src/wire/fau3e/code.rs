//! Messages into frames and back.
//!
//! Ids of origins are long and few: a frame lists them once and names them by
//! their place in that list.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fau3_election::{Epoch, Incarnation, LIST_MAX_ENTRIES, ListVersion, Role, ServerEntry};

use super::bytes::Bytes;
use super::raw::{self, Frame, Id};
use super::{
    Contact, FRAME_BYTES_MAX, Holding, Invalid, Message, Neighbour, PEER_ID_BYTES_MAX, PLAYLIST_RECORDS_MAX,
    Playlist, STATE_HOLDINGS_MAX, STATE_REACH_MAX, STATE_SESSIONS_MAX, SessionState, SessionVersion, State,
    Stream, UPSTREAM_LINES_MAX, UpstreamState,
};
use crate::wire::fau3d::{MESSAGE_UUID_BYTES_MAX, STREAM_BYTES_MAX, Status};
use crate::wire::{ClientId, Origin, Record, RecordId, RoomId, SETTLED_BEYOND_MAX, Settled, Uuid};

/// The longest name of a router, in bytes.
const NAME_BYTES_MAX: usize = fau3_election::NAME_MAX_BYTES;
/// What is counted from here on is refused (in ms, 35,000 years). How much less is taken
/// in says [`TIMES`](super::TIMES) and its neighbours: what is taken in is counted on from.
const COUNT_MAX: u64 = 1 << 50;
/// Ages, in ms: 139 years. One that says more has said this.
const AGE_MS_MAX: u64 = 1 << 42;
/// The last Lamport time that is given to a record; one that says a later one has said this.
/// Of one time the records of a router are in the order of their ids.
pub(crate) const LAMPORT_MAX: u64 = 1 << 49;
/// The modes of PROTOCOLS.md, and the two of a router that is not there for
/// anyone.
const ROLES: [(Role, &str); 5] = [
    (Role::Waiting, "waiting"),
    (Role::Default, "default"),
    (Role::Follower, "follower"),
    (Role::Server, "server"),
    (Role::Stopped, "stopped"),
];

/// The frame that says this.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    let mut origins = Origins::default();
    let mut frame = match message {
        Message::State(state) => state_frame(state, &mut origins),
        Message::AskState => Frame { message_type: "State".into(), ..Frame::default() },
        Message::Playlist(playlist) => playlist_frame(playlist, &mut origins),
        Message::Want(from) => {
            Frame { message_type: "Want".into(), id: Some(origins.name(from)), ..Frame::default() }
        }
        Message::Stream(stream) => stream_frame(stream, &mut origins),
        Message::Upstream(state) => upstream_frame(state, &mut origins),
        Message::Confirm { message_uuid, status } => Frame {
            message_type: "Confirm".into(),
            message_uuid: Some(uuid_bytes(*message_uuid)),
            status: Some(status.0),
            ..Frame::default()
        },
    };
    frame.origins = origins.list;
    let mut out = Vec::with_capacity(size_hint(message));
    // Writing into memory fails at nothing, and these types have no way to fail.
    let written = ciborium::into_writer(&frame, &mut out);
    debug_assert!(written.is_ok(), "{written:?}");
    out
}

fn size_hint(message: &Message) -> usize {
    match message {
        Message::Playlist(playlist) => {
            playlist.records.iter().map(|(record, _)| record.payload.len() + 256).sum::<usize>() + 64
        }
        Message::Upstream(state) => {
            256 + (state.lines.len() + state.claims.len() + state.heard.len()) * 24 + state.pushed.len() * 32
        }
        Message::State(state) => {
            512 + (state.holdings.len() + state.reach.as_ref().map_or(0, Vec::len)) * 48
                + state.sessions.len() * 192
        }
        _ => 256,
    }
}

/// Origins in the order in which a frame first names them.
#[derive(Default)]
struct Origins {
    list: Vec<(Id, u32, u64)>,
    places: BTreeMap<Origin, u16>,
}

impl Origins {
    fn place(&mut self, origin: &Origin) -> u16 {
        *self.places.entry(*origin).or_insert_with(|| {
            let incarnation = origin.incarnation;
            self.list.push((Id(origin.router), incarnation.counter, incarnation.random));
            (self.list.len() - 1) as u16
        })
    }

    fn name(&mut self, id: &RecordId) -> raw::Name {
        (self.place(&id.origin), id.sequence)
    }
}

fn state_frame<'a>(state: &'a State, origins: &mut Origins) -> Frame<'a> {
    let holdings = holdings_raw(&state.holdings, origins);
    Frame {
        message_type: "State".into(),
        name: Some(Cow::Borrowed(&state.name)),
        mode: ROLES.iter().find(|(role, _)| *role == state.mode).map(|(_, name)| (*name).into()),
        coordinator: state.coordinator.map(Id),
        epoch: state.epoch.map(|epoch| {
            (epoch.number, Id(epoch.router), epoch.incarnation.counter, epoch.incarnation.random)
        }),
        extra_servers_version: Some((state.list.number, state.list.hash)),
        priority: state.priority,
        neighbours: state.neighbours.iter().map(neighbour).collect(),
        holdings,
        connected_clients: state.sessions.iter().map(|session| client(session, origins)).collect(),
        digest: Some(state.digest),
        clock_ms: Some(state.clock_ms),
        leaf: state.leaf,
        extra_servers: state.servers.as_ref().map(|list| list.iter().map(server).collect()),
        reach: state.reach.as_ref().map(|reach| reach.iter().map(|origin| origins.place(origin)).collect()),
        ..Frame::default()
    }
}

fn holdings_raw(holdings: &[Holding], origins: &mut Origins) -> Vec<(u16, u64, u64)> {
    holdings.iter().map(|holding| (origins.place(&holding.origin), holding.floor, holding.top)).collect()
}

fn server(entry: &ServerEntry) -> (Cow<'_, str>, Option<Id>) {
    (entry.name.as_str().into(), entry.id.map(Id))
}

fn neighbour(neighbour: &Neighbour) -> (Id, Cow<'_, str>, Bytes<'_>, u16) {
    let id = Id(neighbour.router);
    let Some(Contact { peer_id, address }) = &neighbour.contact else {
        return (id, "".into(), Bytes::default(), 0);
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    (id, Cow::Borrowed(peer_id), Bytes(ip.into()), address.port())
}

fn client<'a>(session: &'a SessionState, origins: &mut Origins) -> raw::Client<'a> {
    let mut version =
        |version: SessionVersion| (version.generation, origins.place(&version.holder), version.revision);
    let [version, entered, moved_over] =
        [session.version, session.entered, session.moved_over].map(&mut version);
    let settled = session.settled.iter().map(|(origin, settled)| {
        (origins.place(origin), settled.before, settled.prefix, settled.beyond.iter().copied().collect())
    });
    raw::Client {
        client_id: session.client_id.as_str().into(),
        room_id: session.room.as_ref().map(|room| room.as_str().into()),
        monitor_period_s: session.monitor_period_s,
        ping_period_s: session.ping_period_s,
        age_ms: session.age_ms,
        detached_ms: session.detached_ms,
        version,
        entered,
        moved_over,
        room_age_ms: session.room_age_ms,
        settled: settled.collect(),
        last: session.last.as_ref().map(|(lamport, id)| (*lamport, origins.name(id))),
    }
}

fn playlist_frame<'a>(playlist: &'a Playlist, origins: &mut Origins) -> Frame<'a> {
    let records = playlist.records.iter().map(|(record, age_ms)| raw::Record {
        id: origins.name(&record.id),
        previous: record.previous.as_ref().map(|id| origins.name(id)),
        room_id: record.room.as_str().into(),
        client_id: record.client_id.as_str().into(),
        message_uuid: Cow::Borrowed(&record.message_uuid),
        lamport: record.lamport,
        age_ms: *age_ms,
        payload: (&*record.payload).into(),
    });
    Frame {
        message_type: "Playlist".into(),
        message_uuid: playlist.confirm.map(uuid_bytes),
        records: records.collect(),
        ..Frame::default()
    }
}

fn stream_frame<'a>(stream: &'a Stream, origins: &mut Origins) -> Frame<'a> {
    Frame {
        message_type: "Stream".into(),
        id: Some(origins.name(&stream.id)),
        hop_limit: Some(stream.hops),
        room_id: Some(stream.room.as_str().into()),
        client_id: Some(stream.client_id.as_str().into()),
        payload: Some((&*stream.frame).into()),
        ..Frame::default()
    }
}

fn upstream_frame<'a>(state: &'a UpstreamState, origins: &mut Origins) -> Frame<'a> {
    Frame {
        message_type: "Upstream".into(),
        id: Some((origins.place(&state.origin), state.revision)),
        client_ids: state.lines.iter().chain(&state.claims).map(|id| id.as_str().into()).collect(),
        claims: Some(state.claims.len() as u16).filter(|claims| *claims > 0),
        gone_ms: state.gone_ms,
        heard: state.heard.iter().map(|(origin, revision)| (origins.place(origin), *revision)).collect(),
        holdings: holdings_raw(&state.pushed, origins),
        ..Frame::default()
    }
}

fn uuid_bytes(uuid: Uuid) -> Bytes<'static> {
    Bytes(Cow::Owned(uuid.bytes().to_vec()))
}

/// Reads one frame. Bounded work: one pass over at most [`FRAME_BYTES_MAX`]
/// bytes, and the tables' bounds.
///
/// # Errors
/// [`Invalid`] says what is wrong and what to answer.
pub fn decode(frame: &[u8]) -> Result<Message, Invalid> {
    let invalid = |reason| Invalid { message_uuid: None, reason, is_unknown: false };
    if frame.len() > FRAME_BYTES_MAX {
        return Err(invalid("the frame is too large"));
    }
    let raw: Frame<'static> =
        ciborium::from_reader(frame).map_err(|_| invalid("the frame is not one CBOR map of known types"))?;
    let message_uuid = raw.message_uuid.as_ref().and_then(|bytes| Uuid::from_bytes(&bytes.0));
    let message = message(raw);
    message.map_err(|(reason, is_unknown)| Invalid { message_uuid, reason, is_unknown })
}

/// What is wrong, and whether the type is unknown.
type Fault = (&'static str, bool);

const fn fault(reason: &'static str) -> Fault {
    (reason, false)
}

fn message(raw: Frame<'static>) -> Result<Message, Fault> {
    let origins = Places(
        raw.origins
            .iter()
            .map(|(id, counter, random)| Origin {
                router: id.0,
                incarnation: Incarnation { counter: *counter, random: *random },
            })
            .collect(),
    );
    match &*raw.message_type {
        "State" if raw.name.is_none() => Ok(Message::AskState),
        "State" => Ok(Message::State(Box::new(state(raw, &origins)?))),
        "Playlist" => playlist(raw, &origins).map(Message::Playlist),
        "Want" => Ok(Message::Want(origins.record(raw.id)?.ok_or(fault("Want without Id"))?)),
        "Stream" => stream(raw, &origins).map(Message::Stream),
        "Upstream" => upstream(raw, &origins).map(Message::Upstream),
        "Confirm" => {
            let uuid = raw.message_uuid.and_then(|bytes| Uuid::from_bytes(&bytes.0));
            let message_uuid = uuid.ok_or(fault("Confirm without MessageUuid"))?;
            let status = raw.status.ok_or(fault("Confirm without Status"))?;
            Ok(Message::Confirm { message_uuid, status: Status(status) })
        }
        _ => Err(("MessageType is not one of FAU3VOM-E", true)),
    }
}

/// A frame's origins.
struct Places(Vec<Origin>);

impl Places {
    fn origin(&self, place: u16) -> Result<Origin, Fault> {
        self.0.get(usize::from(place)).copied().ok_or(fault("an origin that the frame does not list"))
    }

    fn name(&self, name: Option<raw::Name>) -> Result<Option<RecordId>, Fault> {
        let id = |(place, sequence)| Ok(RecordId { origin: self.origin(place)?, sequence });
        name.map(id).transpose()
    }

    /// The name of a record, which is counted from 1.
    fn record(&self, name: Option<raw::Name>) -> Result<Option<RecordId>, Fault> {
        if name.is_some_and(|(_, sequence)| sequence == 0 || sequence >= COUNT_MAX) {
            return Err(fault("a record with an impossible sequence"));
        }
        self.name(name)
    }
}

fn state(raw: Frame<'static>, origins: &Places) -> Result<State, Fault> {
    let name = raw.name.unwrap_or_default();
    if name.len() > NAME_BYTES_MAX || raw.neighbours.len() > fau3_election::ROUTERS_MAX {
        return Err(fault("State: name or neighbours over the bound"));
    }
    if raw.connected_clients.len() > STATE_SESSIONS_MAX {
        return Err(fault("State: too many clients"));
    }
    if raw.reach.as_ref().is_some_and(|reach| reach.len() > STATE_REACH_MAX) {
        return Err(fault("State: too many routers in reach"));
    }
    let reach = raw.reach.map(|reach| reach.into_iter().map(|place| origins.origin(place)).collect());
    let mode = raw.mode.as_deref().and_then(|mode| ROLES.iter().find(|(_, name)| *name == mode));
    let holdings = holdings(&raw.holdings, origins)?;
    let sessions = raw.connected_clients.into_iter().map(|client| session(client, origins));
    let (number, hash) = raw.extra_servers_version.unwrap_or_default();
    Ok(State {
        name: (&*name).into(),
        mode: mode.map_or(Role::Waiting, |(role, _)| *role),
        coordinator: raw.coordinator.map(|id| id.0),
        epoch: raw.epoch.filter(|epoch| epoch.0 <= COUNT_MAX).map(|(number, router, counter, random)| {
            Epoch { number, router: router.0, incarnation: Incarnation { counter, random } }
        }),
        list: ListVersion { number, hash },
        priority: raw.priority,
        neighbours: raw.neighbours.into_iter().map(known_neighbour).collect(),
        holdings,
        sessions: sessions.collect::<Result<_, _>>()?,
        digest: raw.digest.unwrap_or_default(),
        clock_ms: raw.clock_ms.unwrap_or_default().min(COUNT_MAX),
        leaf: raw.leaf,
        reach: reach.transpose()?,
        servers: raw.extra_servers.map(known_servers).transpose()?,
    })
}

fn holdings(raw: &[(u16, u64, u64)], origins: &Places) -> Result<Vec<Holding>, Fault> {
    if raw.len() > STATE_HOLDINGS_MAX {
        return Err(fault("State: too many origins"));
    }
    let holding = |&(place, floor, top): &(u16, u64, u64)| {
        if floor == 0 || top >= COUNT_MAX || floor > top + 1 {
            return Err(fault("State: impossible sequences"));
        }
        Ok(Holding { origin: origins.origin(place)?, floor, top })
    };
    raw.iter().map(holding).collect()
}

fn upstream(raw: Frame<'static>, origins: &Places) -> Result<UpstreamState, Fault> {
    let connected = raw.client_ids.len().checked_sub(raw.claims.unwrap_or(0).into());
    let connected = connected.ok_or(fault("Upstream: more claims than clients"))?;
    if connected.max(raw.client_ids.len() - connected) > UPSTREAM_LINES_MAX {
        return Err(fault("Upstream: too many clients"));
    }
    if raw.heard.len() > fau3_election::ROUTERS_MAX {
        return Err(fault("Upstream: has heard too many routers"));
    }
    let id = origins.name(raw.id)?.ok_or(fault("Upstream without Id"))?;
    let heard =
        raw.heard.iter().map(|(place, revision)| Ok((origins.origin(*place)?, (*revision).min(COUNT_MAX))));
    let line = |client_id: &std::borrow::Cow<'_, str>| ClientId::new(client_id);
    let clients: Result<Vec<ClientId>, _> = raw.client_ids.iter().map(line).collect();
    let mut lines = clients.map_err(|_| fault("Upstream: bad client id"))?;
    let claims = lines.split_off(connected);
    Ok(UpstreamState {
        origin: id.origin,
        revision: id.sequence.min(COUNT_MAX),
        gone_ms: raw.gone_ms.map(|gone_ms| gone_ms.min(AGE_MS_MAX)),
        lines,
        claims,
        heard: heard.collect::<Result<_, _>>()?,
        pushed: holdings(&raw.holdings, origins)?,
    })
}

fn known_servers(raw: Vec<(Cow<'static, str>, Option<Id>)>) -> Result<Vec<ServerEntry>, Fault> {
    if raw.len() > LIST_MAX_ENTRIES || raw.iter().any(|(name, _)| name.len() > NAME_BYTES_MAX) {
        return Err(fault("State: a list of servers over the bound"));
    }
    // What nobody can be called is nobody's name.
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let right = raw.into_iter().filter(|(name, _)| is_name(name));
    Ok(right.map(|(name, id)| ServerEntry { name: name.into(), id: id.map(|id| id.0) }).collect())
}

fn known_neighbour(raw: (Id, Cow<'static, str>, Bytes<'static>, u16)) -> Neighbour {
    let (id, peer_id, ip, port) = raw;
    let ip = match ip.0.len() {
        4 => <[u8; 4]>::try_from(&*ip.0).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(&*ip.0).ok().map(IpAddr::from),
    };
    let contact = ip.filter(|_| peer_id.len() <= PEER_ID_BYTES_MAX);
    let contact = contact.map(|ip| Contact { peer_id: (&*peer_id).into(), address: (ip, port).into() });
    Neighbour { router: id.0, contact }
}

fn session(raw: raw::Client<'static>, origins: &Places) -> Result<SessionState, Fault> {
    let version = |(generation, place, revision): raw::Version| {
        if generation >= COUNT_MAX || revision >= COUNT_MAX {
            return Err(fault("State: impossible version of a session"));
        }
        Ok(SessionVersion { generation, holder: origins.origin(place)?, revision })
    };
    if raw.settled.len() > STATE_HOLDINGS_MAX
        || raw.settled.iter().any(|(_, before, prefix, beyond)| {
            let most = beyond.iter().copied().fold(*prefix, u64::max);
            before > prefix || most >= COUNT_MAX || beyond.len() > SETTLED_BEYOND_MAX
        })
    {
        return Err(fault("State: what is settled is out of order, or too much beyond gaps"));
    }
    let settled = raw.settled.into_iter().map(|(place, before, prefix, beyond)| {
        Ok((origins.origin(place)?, Settled { before, prefix, beyond: beyond.into_iter().collect() }))
    });
    let room = raw.room_id.map(|room| RoomId::new(&room)).transpose();
    let (lamport, last) = raw.last.unzip();
    if lamport.is_some_and(|lamport| lamport >= COUNT_MAX) {
        return Err(fault("State: impossible Lamport time of a session's last record"));
    }
    let lamport = lamport.map(|lamport| lamport.min(LAMPORT_MAX));
    Ok(SessionState {
        client_id: ClientId::new(&raw.client_id).map_err(|_| fault("State: bad client id"))?,
        room: room.map_err(|_| fault("State: bad room"))?,
        monitor_period_s: raw.monitor_period_s,
        ping_period_s: raw.ping_period_s,
        age_ms: raw.age_ms.min(AGE_MS_MAX),
        detached_ms: raw.detached_ms.map(|age_ms| age_ms.min(AGE_MS_MAX)),
        version: version(raw.version)?,
        entered: version(raw.entered)?,
        moved_over: version(raw.moved_over)?,
        room_age_ms: raw.room_age_ms.map(|age_ms| age_ms.min(AGE_MS_MAX)),
        settled: settled.collect::<Result<_, Fault>>()?,
        last: lamport.zip(origins.record(last)?),
    })
}

fn playlist(raw: Frame<'static>, origins: &Places) -> Result<Playlist, Fault> {
    if raw.records.len() > PLAYLIST_RECORDS_MAX {
        return Err(fault("Playlist: too many records"));
    }
    let confirm = raw.message_uuid.map(|bytes| Uuid::from_bytes(&bytes.0));
    let confirm = confirm.map(|uuid| uuid.ok_or(fault("Playlist: MessageUuid is no UUID"))).transpose()?;
    let records = raw.records.into_iter().map(|raw| record(raw, origins));
    Ok(Playlist { confirm, records: records.collect::<Result<_, _>>()? })
}

fn record(raw: raw::Record<'static>, origins: &Places) -> Result<(Arc<Record>, u64), Fault> {
    let id = RecordId { origin: origins.origin(raw.id.0)?, sequence: raw.id.1 };
    if id.sequence == 0 || id.sequence >= COUNT_MAX || raw.lamport >= COUNT_MAX {
        return Err(fault("Playlist: impossible sequence or time"));
    }
    if raw.message_uuid.is_empty()
        || raw.message_uuid.len() > MESSAGE_UUID_BYTES_MAX
        || raw.payload.0.is_empty()
    {
        return Err(fault("Playlist: a record without MessageUuid or Payload"));
    }
    let message = crate::wire::Message {
        room: RoomId::new(&raw.room_id).map_err(|_| fault("Playlist: bad room"))?,
        client_id: ClientId::new(&raw.client_id).map_err(|_| fault("Playlist: bad client id"))?,
        message_uuid: (&*raw.message_uuid).into(),
        payload: raw.payload.0.into_owned().into(),
    };
    let record = Record::new(id, origins.record(raw.previous)?, raw.lamport.min(LAMPORT_MAX), message);
    Ok((Arc::new(record), raw.age_ms.min(AGE_MS_MAX)))
}

fn stream(raw: Frame<'static>, origins: &Places) -> Result<Stream, Fault> {
    let missing = fault("Stream: a field is missing");
    let frame = raw.payload.ok_or(missing)?.0;
    if frame.len() > STREAM_BYTES_MAX {
        return Err(fault("Stream: larger than 4 KiB"));
    }
    Ok(Stream {
        id: origins.record(raw.id)?.ok_or(missing)?,
        hops: raw.hop_limit.ok_or(missing)?,
        room: RoomId::new(&raw.room_id.ok_or(missing)?).map_err(|_| fault("Stream: bad room"))?,
        client_id: ClientId::new(&raw.client_id.ok_or(missing)?)
            .map_err(|_| fault("Stream: bad client id"))?,
        frame: (&*frame).into(),
    })
}
