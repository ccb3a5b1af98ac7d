//! What time it is.

use chrono::{DateTime, FixedOffset, NaiveDate, SubsecRound as _, Utc};
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};
use zones::Zone;

/// Now, to the microsecond: what the database can store.
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// What the clocks at a location show, with their offset from UTC: `2026-03-29T13:00:00+01:00`. The
/// offset is a number even where it is zero, because `Z` would say that it is not a local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalTime(DateTime<FixedOffset>);

impl LocalTime {
    /// What they show at this instant.
    pub(crate) fn at(instant: DateTime<Utc>, zone: &Zone) -> Self {
        Self(zone.local(instant))
    }

    /// The date that they show.
    pub(crate) fn date(self) -> NaiveDate {
        self.0.date_naive()
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

/// How it appears in the API document.
impl PartialSchema for LocalTime {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for LocalTime {}
