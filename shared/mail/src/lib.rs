//! E-mail with SES: the [`Mailer`] makes one attempt at a time, and a [`MailError`] says why an
//! attempt failed without revealing the recipient.

mod letter;
mod mailer;
#[cfg(feature = "testing")]
pub mod testing;

pub use letter::{Invitation, Letter, PdfAttachment};
pub use mailer::{MailError, Mailer, PATIENCE, PATIENT, Refusal};
