//! How the rest of the system learns of a change.
//!
//! Whatever others must learn of is written to the outbox, in the transaction that makes it true.
//! Once the response is on its way, the function tries to deliver it; the relay delivers what is
//! left. There is one delivery per service and patient at a time, in the order of the changes, so
//! that nobody learns of an update before the creation. A delivery that is interrupted between the call and the
//! deletion of the row is repeated: receivers act only once on each id.
//!
//! A service says which [`Kind`]s of messages it writes, and supplies the [`Sender`] that takes
//! them to their receivers. One that only publishes events is a [`Publisher`], and uses
//! [`KafkaOnly`]:
//!
//! ```
//! # use events::AppointmentEvent;
//! # use store::Transaction;
//! #[derive(Debug, Clone, Copy)]
//! pub struct Appointments;
//!
//! impl outbox::Publisher for Appointments {
//!     const SCHEMA: &'static str = "appointments";
//!     const KIND: &'static str = "APPOINTMENT_EVENT";
//!     type Event = AppointmentEvent;
//! }
//!
//! pub type Delivery = outbox::Delivery<outbox::KafkaOnly<Appointments>>;
//!
//! # async fn book(
//! #     mut transaction: Transaction, database: sqlx::PgPool, delivery: Delivery,
//! #     event: AppointmentEvent, until: std::time::Instant,
//! # ) -> Result<(), sqlx::Error> {
//! // In the transaction of the change, and after its commit:
//! outbox::announce::<Appointments>(&mut transaction, &event).await?;
//! transaction.commit().await?;
//! delivery.deliver_now(&database, event.patient_id).await;
//!
//! // In the function that runs every minute:
//! let relayed = outbox::relay("relay-appointments", &database, &delivery, until).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The service's schema has the table:
//!
//! ```sql
//! CREATE TABLE <schema>.outbox (
//!     sequence    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
//!     patient_id  uuid        NOT NULL,
//!     message_id  uuid        NOT NULL,
//!     kind        text        NOT NULL CONSTRAINT outbox_kind_known CHECK (kind IN (…)),
//!     payload     bytea       NOT NULL,
//!     traceparent text        NOT NULL,
//!     created_at  timestamptz NOT NULL DEFAULT now(),
//!     attempts    integer     NOT NULL DEFAULT 0,
//!     not_before  timestamptz NOT NULL DEFAULT '-infinity'
//! );
//! CREATE INDEX outbox_patient_sequence ON <schema>.outbox (patient_id, sequence);
//! CREATE INDEX outbox_line ON <schema>.outbox (greatest(created_at, not_before), sequence);
//! ```

mod delivery;
mod kafka_only;
mod kind;
mod relay;
mod sender;
mod table;

pub use delivery::{Delivery, DeliveryError, DeliveryFirst};
pub use kafka_only::{Announcement, KafkaOnly, Publisher, announce};
pub use kind::Kind;
pub use relay::{Relayed, relay};
pub use sender::{Message, SendError, Sender};
pub use table::{write, write_all};
