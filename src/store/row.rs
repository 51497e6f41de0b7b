//! Rows of the tables as the router's types, and back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use fau3_election::{Incarnation, RouterId};
use rusqlite::{Connection, Row, params};

use crate::router::{Origin, Record, RecordId, SavedSession, Settled, StoredRecord};
use crate::wire::fau3e::{Holding, SessionVersion};
use crate::wire::{ClientId, Message, RoomId};

/// Why a row is not what was written.
#[derive(Debug)]
pub(super) enum BadRow {
    Sql(rusqlite::Error),
    Content(String),
}

impl From<rusqlite::Error> for BadRow {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// A record's name as JSON: router, counter, random, sequence.
type NameJson = (String, u32, u64, u64);
/// A session's version as JSON: generation, router, counter, random, revision.
type VersionJson = (u64, String, u32, u64, u64);
/// A session's settled records of one origin as JSON: router, counter, random,
/// those before it, prefix, those beyond it.
type SettledJson = (String, u32, u64, u64, u64, Vec<u64>);

/// A row of `records` as it was at the clock `now_ms`.
pub(super) fn record(row: &Row<'_>, now_ms: i64) -> Result<StoredRecord, BadRow> {
    let router = RouterId(sixteen(row, "router")?);
    let incarnation = Incarnation { counter: row.get("counter")?, random: unsigned(row, "random")? };
    let origin = Origin { router, incarnation };
    let previous: Option<String> = row.get("previous")?;
    let id = RecordId { origin, sequence: unsigned(row, "sequence")? };
    let previous = previous.as_deref().map(record_id).transpose()?;
    let message = Message {
        room: named(row, "room", RoomId::new)?,
        client_id: named(row, "client_id", ClientId::new)?,
        message_uuid: row.get::<_, String>("message_uuid")?.into(),
        payload: row.get::<_, Vec<u8>>("payload")?.into(),
    };
    let record = Record::new(id, previous, unsigned(row, "lamport")?, message);
    Ok(StoredRecord {
        position: unsigned(row, "position")?,
        record: Arc::new(record),
        age_ms: age_ms(row.get("born_ms")?, now_ms),
    })
}

/// Writes a record, and its key among those remembered.
pub(super) fn insert_record(
    conn: &Connection,
    stored: &StoredRecord,
    born_ms: i64,
) -> Result<(), rusqlite::Error> {
    let (record, origin) = (&stored.record, &stored.record.id.origin);
    let position = stored.position.cast_signed();
    conn.prepare_cached(
        "INSERT OR REPLACE INTO records (position, born_ms, router, counter, random, sequence, lamport,
         previous, room, client_id, message_uuid, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        position,
        born_ms,
        origin.router.0,
        origin.incarnation.counter,
        origin.incarnation.random.cast_signed(),
        record.id.sequence.cast_signed(),
        record.lamport.cast_signed(),
        record.previous.as_ref().map(name_json),
        record.room.as_str(),
        record.client_id.as_str(),
        &*record.message_uuid,
        &*record.payload,
    ])?;
    insert_remembered(conn, position, born_ms, record.key())
}

/// Writes a remembered message's key.
pub(super) fn insert_remembered(
    conn: &Connection,
    position: i64,
    born_ms: i64,
    key: u128,
) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("INSERT OR REPLACE INTO remembered (position, born_ms, key) VALUES (?1, ?2, ?3)")?
        .execute(params![position, born_ms, key.to_be_bytes()])?;
    Ok(())
}

/// A row of `sessions`.
pub(super) fn session(row: &Row<'_>) -> Result<SavedSession, BadRow> {
    let room: Option<String> = row.get("room")?;
    let settled: String = row.get("settled")?;
    let settled: Vec<SettledJson> = serde_json::from_str(&settled).map_err(|e| bad("settled", e))?;
    let settled = settled.into_iter().map(|(router, counter, random, before, prefix, beyond)| {
        let beyond = beyond.into_iter().collect();
        Ok((origin(&router, counter, random)?, Settled { before, prefix, beyond }))
    });
    Ok(SavedSession {
        client_id: named(row, "client_id", ClientId::new)?,
        room: room.map(|room| RoomId::new(&room).map_err(|e| bad("room", e))).transpose()?,
        monitor_period_s: row.get("monitor_period_s")?,
        ping_period_s: row.get("ping_period_s")?,
        settled: settled.collect::<Result<BTreeMap<_, _>, BadRow>>()?,
        version: version(row, "version")?,
        entered: version(row, "entered")?,
        moved_over: version(row, "moved_over")?,
        last: row.get::<_, Option<String>>("last")?.as_deref().map(record_id).transpose()?,
    })
}

/// Writes a session as it is now.
pub(super) fn replace_session(conn: &Connection, session: &SavedSession) -> Result<(), rusqlite::Error> {
    let settled = session.settled.iter().map(|(origin, settled)| {
        let Incarnation { counter, random } = origin.incarnation;
        let beyond = settled.beyond.iter().copied().collect();
        (origin.router.to_string(), counter, random, settled.before, settled.prefix, beyond)
    });
    let settled: Vec<SettledJson> = settled.collect();
    conn.prepare_cached("INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            session.client_id.as_str(),
            session.room.as_ref().map(RoomId::as_str),
            session.monitor_period_s,
            session.ping_period_s,
            serde_json::json!(settled).to_string(),
            version_json(&session.version),
            version_json(&session.entered),
            version_json(&session.moved_over),
            session.last.as_ref().map(name_json),
        ])?;
    Ok(())
}

/// Removes a session that has ended; it need not be there.
pub(super) fn delete_session(conn: &Connection, client_id: &ClientId) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("DELETE FROM sessions WHERE client_id = ?1")?.execute([client_id.as_str()])?;
    Ok(())
}

/// A row of `pushed`.
pub(super) fn pushed(row: &Row<'_>) -> Result<Holding, BadRow> {
    let router = RouterId(sixteen(row, "router")?);
    let incarnation = Incarnation { counter: row.get("counter")?, random: unsigned(row, "random")? };
    let (floor, top) = (unsigned(row, "floor")?, unsigned(row, "top")?);
    Ok(Holding { origin: Origin { router, incarnation }, floor, top })
}

/// Writes all that a main server has.
pub(super) fn replace_pushed(conn: &Connection, runs: &[Holding]) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("DELETE FROM pushed")?.execute([])?;
    let mut insert = conn.prepare_cached("INSERT INTO pushed VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for Holding { origin, floor, top } in runs {
        let Incarnation { counter, random } = origin.incarnation;
        let (floor, top) = (floor.cast_signed(), top.cast_signed());
        insert.execute(params![origin.router.0, counter, random.cast_signed(), floor, top])?;
    }
    Ok(())
}

/// A remembered message's key.
pub(super) fn key(row: &Row<'_>, column: &str) -> Result<u128, BadRow> {
    sixteen(row, column).map(u128::from_be_bytes)
}

/// How old at the clock `now_ms` is what was new at `born_ms`.
pub(super) fn age_ms(born_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(born_ms)).unwrap_or(0)
}

fn name_json(id: &RecordId) -> String {
    let Incarnation { counter, random } = id.origin.incarnation;
    let name: NameJson = (id.origin.router.to_string(), counter, random, id.sequence);
    serde_json::json!(name).to_string()
}

fn version_json(version: &SessionVersion) -> String {
    let Incarnation { counter, random } = version.holder.incarnation;
    let version: VersionJson =
        (version.generation, version.holder.router.to_string(), counter, random, version.revision);
    serde_json::json!(version).to_string()
}

fn version(row: &Row<'_>, column: &str) -> Result<SessionVersion, BadRow> {
    let (generation, router, counter, random, revision): VersionJson =
        serde_json::from_str(&row.get::<_, String>(column)?).map_err(|e| bad(column, e))?;
    Ok(SessionVersion { generation, holder: origin(&router, counter, random)?, revision })
}

fn record_id(json: &str) -> Result<RecordId, BadRow> {
    let (router, counter, random, sequence): NameJson =
        serde_json::from_str(json).map_err(|e| bad("previous", e))?;
    Ok(RecordId { origin: origin(&router, counter, random)?, sequence })
}

fn origin(router: &str, counter: u32, random: u64) -> Result<Origin, BadRow> {
    let id = (router.len() == 32).then(|| u128::from_str_radix(router, 16).ok()).flatten();
    let id = id.ok_or_else(|| bad("router", "is not 32 hexadecimal digits"))?;
    let incarnation = Incarnation { counter, random };
    Ok(Origin { router: RouterId(id.to_be_bytes()), incarnation })
}

fn sixteen(row: &Row<'_>, column: &str) -> Result<[u8; 16], BadRow> {
    row.get::<_, Vec<u8>>(column)?.try_into().map_err(|_| bad(column, "is not 16 bytes long"))
}

fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, BadRow> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

fn named<T, E: fmt::Display>(
    row: &Row<'_>,
    column: &str,
    new: impl Fn(&str) -> Result<T, E>,
) -> Result<T, BadRow> {
    new(&row.get::<_, String>(column)?).map_err(|error| bad(column, error))
}

fn bad(column: &str, why: impl fmt::Display) -> BadRow {
    BadRow::Content(format!("column {column}: {why}"))
}
