//! Mailboxes of a patient.

use fields::EmailAddress;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ContactUse, Reader};

/// An e-mail address
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PatientEmail, example = json!({ "use": "HOME", "address": "milo.feil@example.com" }))]
pub struct Email {
    /// Whose mailbox it is: a person's, or that of their work.
    #[schema(required)]
    pub r#use: Option<ContactUse>,
    /// The address.
    pub address: String,
}

impl Email {
    /// An address of which nothing else is known.
    #[must_use]
    pub const fn plain(address: String) -> Self {
        Self {
            r#use: None,
            address,
        }
    }
}

/// An e-mail address as a client sends it.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PatientEmailInput)]
pub struct EmailInput {
    /// Whose mailbox it is.
    #[serde(default)]
    r#use: Option<ContactUse>,
    /// The address.
    #[schema(format = Email, max_length = 254)]
    address: String,
}

impl EmailInput {
    pub(crate) fn parse(self, mut reader: Reader<'_>) -> Option<Email> {
        let address = reader.member("address", EmailAddress::parse(&self.address));
        let address = address.map(|address| address.as_written().to_owned());
        reader.all(Email {
            r#use: self.r#use,
            address: address.unwrap_or_default(),
        })
    }
}
