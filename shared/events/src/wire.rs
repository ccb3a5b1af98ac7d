//! Reading and writing what all events have in common.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use uuid::Uuid;

use crate::Undecodable;

pub(crate) fn timestamp(instant: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: instant.timestamp(),
        nanos: instant.timestamp_subsec_nanos().cast_signed(),
    }
}

pub(crate) fn instant(
    time: Option<Timestamp>,
    field: &'static str,
) -> Result<DateTime<Utc>, Undecodable> {
    let time = time.ok_or(Undecodable(field))?;
    u32::try_from(time.nanos)
        .ok()
        .and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos))
        .ok_or(Undecodable(field))
}

pub(crate) fn version(version: u64, field: &'static str) -> Result<i64, Undecodable> {
    i64::try_from(version)
        .ok()
        .filter(|version| *version > 0)
        .ok_or(Undecodable(field))
}

pub(crate) fn ids(texts: &[String], field: &'static str) -> Result<Vec<Uuid>, Undecodable> {
    let ids = texts.iter().map(|text| text.parse());
    ids.collect::<Result<_, _>>()
        .map_err(|_| Undecodable(field))
}
