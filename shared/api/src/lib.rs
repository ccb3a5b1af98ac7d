//! What every HTTP route shares.
//!
//! [`Problem`] is the only form in which clients get errors, [`Input`] the only way to receive a
//! body. [`EntityTag`] and [`Cursor`] are the two opaque values that clients send back. [`serve`]
//! turns a router into a Lambda function: request id, trace, log line, metrics, deadline and the
//! headers that every response carries.

#[cfg(feature = "aws")]
mod aws;
mod canonical;
mod client_address;
mod cursor;
#[cfg(feature = "postgres")]
mod database;
mod deadline;
mod entity_tag;
mod event;
mod gateway;
mod header;
mod id;
mod input;
mod json;
mod observe;
#[cfg(feature = "postgres")]
mod once_more;
mod origins;
mod problem;
mod refusal_reason;
mod serve;
mod time;
mod within;

#[cfg(feature = "postgres")]
pub use database::OnConstraint;

pub use lambda_http::Error;

pub use canonical::canonical_json;
pub use client_address::{ClientAddress, InvalidProxy, TrustedProxies};
pub use cursor::{Cursor, Limit};
pub use entity_tag::{EntityTag, IfMatch, IfMatchRule, UnknownIfMatchRule};
pub use gateway::{AskedPath, request_context};
pub use header::only_header;
pub use id::{Id, InvalidId};
pub use input::{
    Input, InputAndQuery, InputErrors, MAX_BODY_BYTES, OptionalInput, PathId, PathIdAndDay,
    PathIdAndQuery, PathInput, QueryInput, id_in_query, read_body, read_json,
};
pub use json::ReadOnly;
pub use observe::RequestId;
pub use origins::AllowedOrigins;
pub use problem::{
    Conflict, ConflictReason, FieldErrors, MOST_CONFLICTS, Problem, ProblemDocument, ProblemType,
};
pub use refusal_reason::RefusalReason;
pub use serve::{around, serve, serve_and_work_after};
pub use time::{
    ClinicTimeZone, DayOrTime, InvalidDay, InvalidTime, Time, UnknownTimeZone, day, latest_day,
};
pub use within::{State, Within, layers};
