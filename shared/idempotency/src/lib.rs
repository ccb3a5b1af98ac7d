//! A repeated request has one effect and one response.
//!
//! A client that received no response cannot know whether its request took effect. It sends the
//! request again with the same `Idempotency-Key`
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>), and gets the
//! first response if there was one. The response is stored in the transaction of the effect, so
//! neither exists without the other. A request in progress holds an advisory lock, which disappears
//! with the connection if the process dies.
//!
//! [`layer`] wraps the routes of a service, and their handlers use [`UnitOfWork`] instead of the
//! database. A handler checks the caller and the input before [`UnitOfWork::begin`], so that nobody
//! gets a stored response who may not make the request now. A rejection has changed nothing and is
//! not stored: the key stays free for the corrected request. If a stored response contains data
//! that its caller may no longer see, the handler has to check that, too.
//!
//! A change that another service carries out, in a transaction of its own, is recognised there: its
//! handler passes the [`RequestKey`] on.
//!
//! The service's schema has the table:
//!
//! ```sql
//! CREATE TABLE <schema>.idempotency_key (
//!     id           bytea       PRIMARY KEY,
//!     fingerprint  bytea       NOT NULL,
//!     status       smallint    NOT NULL,
//!     content_type text,
//!     entity_tag   text,
//!     location     text,
//!     body         bytea       NOT NULL,
//!     subject      uuid,
//!     created_at   timestamptz NOT NULL DEFAULT now()
//! );
//! CREATE INDEX ON <schema>.idempotency_key (created_at);
//! ```

mod headers;
mod key;
mod layer;
mod request_identity;
mod request_key;
mod stored_answer;
mod unit_of_work;

pub use headers::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
pub use key::IdempotencyKey;
pub use layer::layer;
pub use request_key::RequestKey;
pub use stored_answer::{StoredAnswer, prune};
pub use unit_of_work::{Interrupted, Transaction, UnitOfWork};
