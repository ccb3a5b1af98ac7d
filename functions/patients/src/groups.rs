//! Groups: patients who have something in common, such as a programme, a ward or a study.
//!
//! A group says nothing about a patient's record, and its members need not know each other.

pub mod add_group_member;
pub mod create_group;
pub mod get_group;
mod group;
pub mod list_groups;
pub mod remove_group_member;
pub mod update_group;

use std::collections::BTreeSet;

use audit_trail::{Resource, ResourceType};
use chrono::NaiveDate;
use sqlx::PgExecutor;
use uuid::Uuid;

pub(crate) use group::{Group, GroupInput, not_found};

/// The group as an entry in the audit trail names it.
pub(crate) const fn on_record(id: Uuid) -> Resource {
    Resource {
        kind: ResourceType::Group,
        id,
    }
}

/// Who is in a group on this day, restricted patients included; `None` if there is no such group.
///
/// # Errors
/// If the database fails.
pub(crate) async fn members(
    group: Uuid,
    day: NaiveDate,
    database: impl PgExecutor<'_>,
) -> Result<Option<BTreeSet<Uuid>>, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        r#"SELECT member.patient_id AS "patient_id?"
           FROM patients.patient_group
           LEFT JOIN patients.group_member AS member
               ON member.group_id = patient_group.id
               AND coalesce(member.valid_from, '-infinity') <= $2
               AND coalesce(member.valid_to, 'infinity') >= $2
           WHERE patient_group.id = $1"#,
        group,
        day,
    )
    .fetch_all(database)
    .await?;
    Ok((!rows.is_empty()).then(|| rows.into_iter().flatten().collect()))
}
