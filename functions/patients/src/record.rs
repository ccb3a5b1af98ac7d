//! What is known of a patient beyond a name and an address: what clients send, the validated
//! types, and what clients get.
//!
//! An input type reads leniently (what is missing is empty) and is checked at once; the type that
//! comes out of it is what is stored and returned, with every member present.

mod address;
mod birth_date;
mod contact;
mod email;
mod given;
mod identifier;
mod name;
mod phone;
mod reader;
mod sex;

pub use address::{Address, AddressInput};
pub(crate) use birth_date::past;
pub use birth_date::{BirthDate, BirthDateInput, BirthPrecision};
pub use contact::{Contact, ContactInput};
pub use email::{Email, EmailInput};
pub use given::Given;
pub use identifier::{Identifier, IdentifierInput};
pub use name::{Name, NameInput, NameUse};
pub use phone::{Phone, PhoneInput};
pub use reader::Reader;
pub use sex::{ContactUse, Sex};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// How many names, numbers, addresses and so on a patient may have of each.
pub const MOST: usize = 20;

/// What is stored as one document. The flat columns of the row say the official name, the first
/// address of each kind and the birth date once more: if something else has changed those, they
/// count.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Document {
    pub(crate) names: Vec<Name>,
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) phones: Vec<Phone>,
    pub(crate) emails: Vec<Email>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) sex: Option<Sex>,
    pub(crate) gender_identity: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) deceased: bool,
    pub(crate) deceased_date: Option<NaiveDate>,
    pub(crate) contacts: Vec<Contact>,
}
