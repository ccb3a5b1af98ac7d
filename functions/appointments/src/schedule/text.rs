//! What people write about schedules.

use std::ops::RangeInclusive;

use fields::{InvalidText, Line};

/// What is wrong with a text, in terms that clients know: "Name is required".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} {1}")]
pub(crate) struct InvalidLine(&'static str, InvalidText);

/// How many characters a name may have.
const NAME: RangeInclusive<usize> = 1..=100;

/// How many characters a reason may have.
const REASON: RangeInclusive<usize> = 1..=200;

/// The name of a location, a resource or a service.
pub(crate) fn name(text: &str) -> Result<Line, InvalidLine> {
    Line::parse(text, &NAME).map_err(|error| InvalidLine("Name", error))
}

/// Why somebody does something: on record, never in a message to the patient.
pub(crate) fn reason(text: &str) -> Result<Line, InvalidLine> {
    Line::parse(text, &REASON).map_err(|error| InvalidLine("The reason", error))
}
