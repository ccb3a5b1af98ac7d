//! The same request twice has one effect and one answer.
//!
//! A client that did not hear an answer cannot know whether its request had an effect.
//! It sends the request again, with the same `Idempotency-Key`
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>), and
//! gets the first answer if there was one. The answer is stored in the transaction that
//! has the effect: there is never one without the other. A request under way holds an
//! advisory lock, which is gone with the connection if the process dies.
//!
//! [`layer`] goes around the routes of a service, and [`UnitOfWork`] is what their
//! handlers take instead of the database. A handler checks the caller and the input
//! before [`UnitOfWork::begin`]: nobody gets a stored answer who may not make the request
//! now. What is refused has changed nothing, and is not stored: the key is free for the request
//! as it should have been. Where a stored answer holds what its caller may have lost the right
//! to see, the handler checks that, too.
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
//!     created_at   timestamptz NOT NULL DEFAULT now()
//! );
//! CREATE INDEX ON <schema>.idempotency_key (created_at);
//! ```

mod headers;
mod key;
mod layer;
mod request_identity;
mod stored_answer;
mod unit_of_work;

pub use headers::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
pub use key::IdempotencyKey;
pub use layer::layer;
pub use stored_answer::{StoredAnswer, prune};
pub use unit_of_work::{Interrupted, Transaction, UnitOfWork};
