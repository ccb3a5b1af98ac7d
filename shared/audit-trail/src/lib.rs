//! The audit trail: who did what, to which patient, account or other [`Resource`], when, from
//! where, and whether it was allowed.
//!
//! [`layer`] goes around a route, and says which [`Action`] it is. The handler takes the
//! [`Trail`] of its request, and writes to it in the transaction of its change, or after
//! it has read and before it answers. What the handler refuses is written by the layer.
//! Nothing comes out of such a route that is not on record: an answer without a record
//! becomes a 500, and without a database there is a 503.
//!
//! A handler that has another service carry its change out takes an [`Errand`] instead. That service
//! writes the record, in the transaction of the change; the layer writes what was refused.
//!
//! The schema belongs to `functions/audit`. Its function `audit.append` is all that other
//! services know of it; records are final and chained by hash.

mod about;
mod action;
mod errand;
mod layer;
mod record;
mod resource;
mod subject;
mod trail;

pub use about::About;
pub use action::{Action, UnknownAction};
pub use errand::Errand;
pub use layer::layer;
pub use record::{OfNobody, Outcome, Record, UnknownOutcome};
pub use resource::{Resource, ResourceType, UnknownResourceType};
pub use subject::Subject;
pub use trail::{Success, Trail};
