//! From a frame to a message, in one pass over the bytes.
//!
//! The fields are gathered as they come, whatever their types, and judged
//! afterwards: so a frame that breaks off or goes wrong late still has its
//! MessageUuid echoed.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    FromClient, Invalid, MESSAGE_UUID_BYTES_MAX, STREAM_BEGIN, STREAM_BYTES_MAX, STREAM_END, Status,
};
use crate::wire::RoomId;

/// Reads one frame, text or binary alike. Bounded work: one pass, no recursion
/// beyond serde_json's limit of 128 levels.
///
/// # Errors
/// [`Invalid`] says what is wrong and which MessageUuid to echo.
pub fn parse(frame: &[u8]) -> Result<FromClient, Invalid> {
    if frame.starts_with(STREAM_BEGIN) {
        return stream(frame);
    }
    let mut fields = Fields::default();
    let mut json = serde_json::Deserializer::from_slice(bare(frame));
    let read = FieldsOf(&mut fields).deserialize(&mut json).and_then(|()| json.end());
    let message = match read {
        Ok(()) => fields.message(),
        Err(_) => Err("the frame is not one JSON object"),
    };
    message.map_err(|reason| Invalid {
        message_uuid: fields.uuid().map_or_else(|_| "".into(), Into::into),
        reason,
        was_confirm: matches!(&fields.message_type, Some(Field::Text(name)) if name == "Confirm"),
    })
}

/// Without what some libraries put around their JSON: the mark of UTF-8 before it (RFC 8259,
/// section 8.1, lets it be ignored), the NUL that ends a string of C behind it.
pub(super) fn bare(frame: &[u8]) -> &[u8] {
    let mut frame = frame.strip_prefix(b"\xef\xbb\xbf").unwrap_or(frame);
    while let Some(rest) = frame.strip_suffix(b"\0") {
        frame = rest;
    }
    frame
}

fn stream(frame: &[u8]) -> Result<FromClient, Invalid> {
    let reason = if frame.len() > STREAM_BYTES_MAX {
        "the Stream is larger than 4 KiB"
    } else if frame.len() < STREAM_BEGIN.len() + STREAM_END.len() || !frame.ends_with(STREAM_END) {
        "the Stream lacks its end mark"
    } else {
        return Ok(FromClient::Stream(frame.into()));
    };
    Err(Invalid { message_uuid: "".into(), reason, was_confirm: false })
}

/// A field's value, as far as FAU3VOM-D has use for it.
enum Field<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Other,
}

/// All that FAU3VOM-D knows; unknown fields are ignored, of two fields with one name
/// the last one counts, and one that is `null` is not there.
#[derive(Default)]
struct Fields<'a> {
    message_type: Option<Field<'a>>,
    message_uuid: Option<Field<'a>>,
    status: Option<Field<'a>>,
    room: Option<Field<'a>>,
    payload: Option<Field<'a>>,
    monitor: Option<Field<'a>>,
    ping: Option<Field<'a>>,
}

impl Fields<'_> {
    fn message(&self) -> Result<FromClient, &'static str> {
        let Some(Field::Text(message_type)) = &self.message_type else {
            return Err("MessageType is missing or not a string");
        };
        match &**message_type {
            "Confirm" => self.confirm(),
            "Propogate" => self.propogate(),
            "Subscribe" => self.subscribe(),
            "Ping" => Ok(FromClient::Ping { message_uuid: self.uuid()?.into() }),
            _ => Err("MessageType is not one that a client may send"),
        }
    }

    fn confirm(&self) -> Result<FromClient, &'static str> {
        let status = number(self.status.as_ref()).ok_or("Status is missing or not a number")?;
        // What is beyond its bounds becomes the bound, and a fraction is cut off.
        let status = Status(status as i32);
        Ok(FromClient::Confirm { message_uuid: self.uuid()?.parse().ok(), status })
    }

    fn propogate(&self) -> Result<FromClient, &'static str> {
        let message_uuid = self.uuid()?.into();
        let room = self.room()?;
        let Some(Field::Text(payload)) = &self.payload else {
            return Err("Payload is missing or not a string");
        };
        let payload = STANDARD.decode(payload.as_bytes()).map_err(|_| "Payload is not base64")?;
        if payload.is_empty() {
            return Err("Payload is empty");
        }
        Ok(FromClient::Propogate { message_uuid, room, payload: payload.into() })
    }

    fn subscribe(&self) -> Result<FromClient, &'static str> {
        Ok(FromClient::Subscribe {
            message_uuid: self.uuid()?.into(),
            room: self.room()?,
            monitor_period_s: period(self.monitor.as_ref()).ok_or("IsMonitorRequired is not a number")?,
            ping_period_s: period(self.ping.as_ref()).ok_or("IsPingRequired is not a number")?,
        })
    }

    fn uuid(&self) -> Result<&str, &'static str> {
        match &self.message_uuid {
            Some(Field::Text(uuid)) if uuid.is_empty() => Err("MessageUuid is empty"),
            Some(Field::Text(uuid)) if uuid.len() > MESSAGE_UUID_BYTES_MAX => {
                Err("MessageUuid is longer than 128 bytes")
            }
            Some(Field::Text(uuid)) => Ok(uuid),
            _ => Err("MessageUuid is missing or not a string"),
        }
    }

    fn room(&self) -> Result<RoomId, &'static str> {
        let Some(Field::Text(room)) = &self.room else {
            return Err("RoomId is missing or not a string");
        };
        RoomId::new(room).map_err(|_| "RoomId is not 1 to 64 characters without control characters")
    }
}

/// A period in seconds: absent, 0 or negative means none, and a part of one counts as
/// a whole one.
fn period(field: Option<&Field<'_>>) -> Option<u32> {
    if field.is_none() {
        return Some(0);
    }
    let seconds = number(field)?;
    Some(seconds.ceil().clamp(0.0, f64::from(u32::MAX)) as u32)
}

/// A JSON number, or a string that holds one. (Read as JSON too: the standard library's way
/// brings a table of 10 KB that no package can squeeze.)
fn number(field: Option<&Field<'_>>) -> Option<f64> {
    match field? {
        Field::Number(number) => Some(*number),
        Field::Text(text) => serde_json::from_str(text.trim()).ok(),
        Field::Other => None,
    }
}

/// Fills the fields from a JSON object.
struct FieldsOf<'f, 'a>(&'f mut Fields<'a>);

impl<'a> DeserializeSeed<'a> for FieldsOf<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for FieldsOf<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key::<Name>()? {
            let slot = match name {
                Name::MessageType => &mut self.0.message_type,
                Name::MessageUuid => &mut self.0.message_uuid,
                Name::Status => &mut self.0.status,
                Name::RoomId => &mut self.0.room,
                Name::Payload => &mut self.0.payload,
                Name::IsMonitorRequired => &mut self.0.monitor,
                Name::IsPingRequired => &mut self.0.ping,
                Name::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *slot = map.next_value()?;
        }
        Ok(())
    }
}

/// The fields' names, capitals as in the seed.
#[derive(Deserialize)]
enum Name {
    MessageType,
    MessageUuid,
    Status,
    RoomId,
    Payload,
    IsMonitorRequired,
    IsPingRequired,
    #[serde(other)]
    Unknown,
}

impl<'a> Deserialize<'a> for Field<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'a> Visitor<'a> for FieldVisitor {
    type Value = Field<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Field<'a>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'a>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<'a>, E> {
        Ok(Field::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<'a>, E> {
        Ok(Field::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field<'a>, E> {
        Ok(Field::Number(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field<'a>, E> {
        Ok(Field::Other)
    }

    fn visit_unit<E>(self) -> Result<Field<'a>, E> {
        Ok(Field::Other)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<Field<'a>, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Field<'a>, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}

#[cfg(test)]
mod tests;
