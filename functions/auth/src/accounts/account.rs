//! An account as administrators see it.

use api::{EntityTag, Problem};
use chrono::{DateTime, Utc};
use fields::{InvalidText, Line};
use identity::Role;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A user account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "version": 1,
    "email": "zoe@clinic.example",
    "name": "Zoe Kiefer",
    "role": "CLINICIAN",
    "disabled": false,
    "hasPassword": true,
    "createdAt": "2026-01-15T09:30:00Z",
    "updatedAt": "2026-01-15T09:30:00Z"
}))]
pub(crate) struct Account {
    /// The account's id; the `sub` of its access tokens.
    pub(crate) id: Uuid,
    /// Incremented with every change by an administrator.
    pub(crate) version: i64,
    /// The address that the user logs in with.
    pub(crate) email: String,
    /// Full name, if an administrator has entered one.
    #[schema(required)]
    pub(crate) name: Option<String>,
    /// The user's role, which determines their permissions.
    pub(crate) role: Role,
    /// Whether the account is disabled: then the user cannot log in.
    pub(crate) disabled: bool,
    /// Whether the user has chosen a password. Until then, they cannot log in.
    pub(crate) has_password: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// An account as it is stored.
pub(crate) struct AccountRow {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    pub(crate) role: String,
    pub(crate) disabled: bool,
    pub(crate) has_password: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl AccountRow {
    /// Converts the row; 500 if its role does not exist.
    pub(crate) fn read(self) -> Result<Account, Problem> {
        let Self {
            id,
            version,
            email,
            name,
            role,
            disabled,
            has_password,
            created_at,
            updated_at,
        } = self;
        Ok(Account {
            id,
            version,
            email,
            name,
            role: role.parse().map_err(Problem::internal)?,
            disabled,
            has_password,
            created_at,
            updated_at,
        })
    }
}

impl Account {
    pub(crate) const fn entity_tag(&self) -> EntityTag {
        EntityTag(self.version)
    }
}

/// What is wrong with a name, in a message for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Name {0}")]
pub(crate) struct InvalidName(InvalidText);

/// A full name of at most 100 characters; `None` if there is nothing visible in it.
pub(crate) fn full_name(name: Option<&str>) -> Result<Option<Line>, InvalidName> {
    match Line::parse(name.unwrap_or_default(), &(1..=100)) {
        Ok(name) => Ok(Some(name)),
        Err(InvalidText::Missing) => Ok(None),
        Err(error) => Err(InvalidName(error)),
    }
}

pub(crate) fn not_found() -> Problem {
    Problem::not_found("Account not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_visible_characters_or_is_none() {
        let read = |name: Option<&str>| {
            let name = full_name(name).map_err(|error| error.to_string());
            name.map(|name| name.map(|name| name.as_str().to_owned()))
        };
        for nothing in [None, Some(""), Some(" \u{3000}\n"), Some("\u{200b}")] {
            assert_eq!(read(nothing), Ok(None), "{nothing:?}");
        }
        let stored = Ok(Some("Zoë Kiefer".to_owned()));
        assert_eq!(read(Some(" Zoe\u{308}  Kiefer ")), stored);
        assert!(read(Some(&"é".repeat(100))).is_ok());
        for (name, refusal) in [
            ("é".repeat(101), "Name cannot exceed 100 characters"),
            ("a\0b".to_owned(), "Name cannot contain control characters"),
            ("…".to_owned(), "Name must have a letter or a digit"),
        ] {
            assert_eq!(read(Some(&name)), Err(refusal.to_owned()));
        }
    }
}
