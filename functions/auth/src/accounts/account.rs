//! An account as administrators see it.

use api::{EntityTag, Problem};
use chrono::{DateTime, Utc};
use identity::Role;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Somebody who may log in, or might.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "version": 1,
    "email": "zoe@clinic.example",
    "role": "CLINICIAN",
    "disabled": false,
    "hasPassword": true,
    "createdAt": "2026-01-15T09:30:00Z",
    "updatedAt": "2026-01-15T09:30:00Z"
}))]
pub(crate) struct Account {
    /// Names the account; the `sub` of its access tokens.
    pub(crate) id: Uuid,
    /// One more with every change by an administrator.
    pub(crate) version: i64,
    /// What they log in with.
    pub(crate) email: String,
    /// What they may do.
    pub(crate) role: Role,
    /// Whether they are kept out.
    pub(crate) disabled: bool,
    /// Whether they have chosen a password. Before that they cannot log in.
    pub(crate) has_password: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// An account as it is stored.
pub(crate) struct AccountRow {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) email: String,
    pub(crate) role: String,
    pub(crate) disabled: bool,
    pub(crate) has_password: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl AccountRow {
    /// The account; 500 for a role that there is none of.
    pub(crate) fn read(self) -> Result<Account, Problem> {
        let Self {
            id,
            version,
            email,
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

pub(crate) fn not_found() -> Problem {
    Problem::not_found("Account not found")
}
