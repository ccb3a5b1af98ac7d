//! A group: what clients send and what they get.

use api::{EntityTag, InputErrors, Problem, ReadOnly};
use chrono::{DateTime, Utc};
use fields::{Line, Lines};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::get_group::Member;

/// A group as a client sends it. The read-only fields of a group, also those of one with its members,
/// are accepted and ignored; any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Diabetes programme 2026",
    "purpose": "PROGRAMME",
    "description": "Every three months; Sister Amara has the list",
    "active": true
}))]
pub(crate) struct GroupInput {
    /// What the clinic calls it, 1 to 100 characters.
    #[schema(required, nullable = false, min_length = 1, max_length = 100)]
    name: Option<String>,
    /// What it is for, such as `PROGRAMME` or `WARD`: a word of the clinic's own, at most 100
    /// characters.
    #[schema(max_length = 100)]
    purpose: Option<String>,
    /// What else there is to know, at most 1,000 characters.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// Whether it is in use. If it is missing, it is true on creation and unchanged on update.
    active: Option<bool>,
    #[serde(default, rename = "id")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _id: ReadOnly,
    #[serde(default, rename = "version")]
    #[schema(read_only, value_type = Option<i64>)]
    _version: ReadOnly,
    #[serde(default, rename = "memberCount")]
    #[schema(read_only, value_type = Option<i64>)]
    _member_count: ReadOnly,
    #[serde(default, rename = "moreMembers")]
    #[schema(read_only, value_type = Option<bool>)]
    _more_members: ReadOnly,
    #[serde(default, rename = "members")]
    #[schema(read_only, value_type = Option<Vec<Member>>)]
    _members: ReadOnly,
    #[serde(default, rename = "nextCursor")]
    #[schema(read_only, value_type = Option<String>)]
    _next_cursor: ReadOnly,
    #[serde(default, rename = "createdAt")]
    #[schema(read_only, value_type = Option<DateTime<Utc>>)]
    _created_at: ReadOnly,
    #[serde(default, rename = "updatedAt")]
    #[schema(read_only, value_type = Option<DateTime<Utc>>)]
    _updated_at: ReadOnly,
}

/// A group's validated data.
pub(crate) struct GroupDetails {
    pub(crate) name: Line,
    pub(crate) purpose: Option<Line>,
    pub(crate) description: Option<Lines>,
    /// `None`: as before.
    pub(crate) active: Option<bool>,
}

impl GroupInput {
    /// The validated data.
    ///
    /// # Errors
    /// 400, with everything that is wrong.
    pub(crate) fn parse(self) -> Result<GroupDetails, Problem> {
        let mut errors = InputErrors::default();
        let name = Line::parse(&self.name.unwrap_or_default(), &(1..=100));
        let name = errors.field("name", name.map_err(|error| format!("Name {error}")));
        let purpose = self.purpose.map(|text| Line::parse(&text, &(1..=100)));
        let purpose = purpose
            .transpose()
            .map_err(|error| format!("Purpose {error}"));
        let purpose = errors.field("purpose", purpose);
        let description = self
            .description
            .map(|text| Lines::parse(&text, &(1..=1000)));
        let description = description
            .transpose()
            .map_err(|error| format!("Description {error}"));
        let description = errors.field("description", description);
        match (name, purpose, description) {
            (Some(name), Some(purpose), Some(description)) => Ok(GroupDetails {
                name,
                purpose,
                description,
                active: self.active,
            }),
            _ => Err(errors.into_problem()),
        }
    }
}

/// A group as clients get it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Group", as = Group, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1d0",
    "version": 1,
    "name": "Diabetes programme 2026",
    "purpose": "PROGRAMME",
    "description": "Every three months; Sister Amara has the list",
    "active": true,
    "createdAt": "2026-01-10T09:30:00.123456Z",
    "updatedAt": "2026-01-10T09:30:00.123456Z"
}))]
pub(crate) struct Group {
    /// Identifies the group; never changes.
    pub(crate) id: Uuid,
    /// 1 on creation, incremented with every change of these fields; the number in the `ETag`.
    pub(crate) version: i64,
    /// What the clinic calls it.
    pub(crate) name: String,
    /// What it is for; null if nobody has said.
    #[schema(required)]
    pub(crate) purpose: Option<String>,
    /// What else there is to know; null if there is nothing.
    #[schema(required)]
    pub(crate) description: Option<String>,
    /// Whether it is in use. One that is not takes no new members.
    pub(crate) active: bool,
    /// When it was created.
    pub(crate) created_at: DateTime<Utc>,
    /// When these fields were last changed.
    pub(crate) updated_at: DateTime<Utc>,
}

impl Group {
    /// The version as `ETag`.
    pub(crate) const fn entity_tag(&self) -> EntityTag {
        EntityTag(self.version)
    }
}

/// The 404 for a group that does not exist.
pub(crate) fn not_found() -> Problem {
    Problem::not_found("Group not found")
}
