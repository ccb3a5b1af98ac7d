//! What belongs to a patient and is not a part of the record: relationships, the family, groups.
//! After a merge it is the survivor's; what both have, they have once.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use store::Transaction;
use uuid::Uuid;

use crate::{
    family::{Days, Pair},
    stored::stored,
};

/// What the duplicate had before the merge.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Belongings {
    relationships: Vec<Relationship>,
    groups: Vec<Membership>,
    family: Option<Place>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Relationship {
    id: Uuid,
    lower: Uuid,
    upper: Uuid,
    role: String,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    /// Whether it ended with the merge, because the survivor had the same, or was the other one.
    ended: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Membership {
    group: Uuid,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    ended: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Place {
    family: Uuid,
    is_head: bool,
    ended: bool,
}

impl Belongings {
    /// Makes the survivor's what the duplicate has.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn hand_over(
        transaction: &mut Transaction,
        survivor: Uuid,
        duplicate: Uuid,
    ) -> Result<Self, api::Problem> {
        Ok(Self {
            relationships: relationships(transaction, survivor, duplicate).await?,
            groups: groups(transaction, survivor, duplicate).await?,
            family: family(transaction, survivor, duplicate).await?,
        })
    }

    /// Gives back what is still there. What has been taken from the survivor since stays away.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn give_back(
        &self,
        transaction: &mut Transaction,
        survivor: Uuid,
        duplicate: Uuid,
    ) -> Result<(), sqlx::Error> {
        for of in &self.relationships {
            if of.ended {
                sqlx::query!(
                    "INSERT INTO patients.relationship
                         (id, lower_id, upper_id, role, valid_from, valid_to)
                     SELECT $1, $2, $3, $4, $5, $6
                     WHERE EXISTS (SELECT FROM patients.patient WHERE id = $2)
                         AND EXISTS (SELECT FROM patients.patient WHERE id = $3)
                     ON CONFLICT DO NOTHING",
                    of.id,
                    of.lower,
                    of.upper,
                    of.role,
                    of.from,
                    of.to,
                )
                .execute(&mut *transaction)
                .await?;
            } else {
                sqlx::query!(
                    "UPDATE patients.relationship SET lower_id = $2, upper_id = $3, role = $4
                     WHERE id = $1",
                    of.id,
                    of.lower,
                    of.upper,
                    of.role,
                )
                .execute(&mut *transaction)
                .await?;
            }
        }
        for of in &self.groups {
            let is_back = if of.ended {
                true
            } else {
                let taken = sqlx::query!(
                    "DELETE FROM patients.group_member WHERE group_id = $1 AND patient_id = $2",
                    of.group,
                    survivor,
                )
                .execute(&mut *transaction)
                .await?;
                taken.rows_affected() > 0
            };
            sqlx::query!(
                "INSERT INTO patients.group_member (group_id, patient_id, valid_from, valid_to)
                 SELECT id, $2, $3, $4 FROM patients.patient_group WHERE id = $1 AND $5
                 ON CONFLICT DO NOTHING",
                of.group,
                duplicate,
                of.from,
                of.to,
                is_back,
            )
            .execute(&mut *transaction)
            .await?;
        }
        let Some(of) = &self.family else {
            return Ok(());
        };
        if of.ended {
            sqlx::query!(
                "INSERT INTO patients.family_member (patient_id, family_id, is_head)
                 SELECT $1, id, $3 AND NOT EXISTS (
                     SELECT FROM patients.family_member WHERE family_id = $2 AND is_head)
                 FROM patients.family WHERE id = $2
                 ON CONFLICT DO NOTHING",
                duplicate,
                of.family,
                of.is_head,
            )
            .execute(transaction)
            .await?;
        } else {
            sqlx::query!(
                "UPDATE patients.family_member SET patient_id = $1
                 WHERE patient_id = $2 AND family_id = $3",
                duplicate,
                survivor,
                of.family,
            )
            .execute(transaction)
            .await?;
        }
        Ok(())
    }
}

async fn relationships(
    transaction: &mut Transaction,
    survivor: Uuid,
    duplicate: Uuid,
) -> Result<Vec<Relationship>, api::Problem> {
    let rows = sqlx::query!(
        "SELECT id, lower_id, upper_id, role, valid_from, valid_to FROM patients.relationship
         WHERE $1 IN (lower_id, upper_id) ORDER BY id",
        duplicate,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let role = stored(&row.role).map_err(api::Problem::internal)?;
        let pair = Pair {
            lower: row.lower_id,
            upper: row.upper_id,
            role,
        };
        let (other, role) = pair.seen_by(duplicate);
        let new = Pair::of(survivor, other, role);
        let days = Days {
            from: row.valid_from,
            to: row.valid_to,
        };
        let ended = other == survivor || new.clash(transaction, days).await?.is_some();
        if ended {
            sqlx::query!("DELETE FROM patients.relationship WHERE id = $1", row.id)
                .execute(&mut *transaction)
                .await?;
        } else {
            sqlx::query!(
                "UPDATE patients.relationship SET lower_id = $2, upper_id = $3, role = $4
                 WHERE id = $1",
                row.id,
                new.lower,
                new.upper,
                new.role.name(),
            )
            .execute(&mut *transaction)
            .await?;
        }
        all.push(Relationship {
            id: row.id,
            lower: row.lower_id,
            upper: row.upper_id,
            role: row.role,
            from: row.valid_from,
            to: row.valid_to,
            ended,
        });
    }
    Ok(all)
}

async fn groups(
    transaction: &mut Transaction,
    survivor: Uuid,
    duplicate: Uuid,
) -> Result<Vec<Membership>, sqlx::Error> {
    let rows = sqlx::query!(
        "DELETE FROM patients.group_member WHERE patient_id = $1
         RETURNING group_id, valid_from, valid_to",
        duplicate,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let moved = sqlx::query!(
            "INSERT INTO patients.group_member (group_id, patient_id, valid_from, valid_to)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT ON CONSTRAINT group_member_pkey DO NOTHING",
            row.group_id,
            survivor,
            row.valid_from,
            row.valid_to,
        )
        .execute(&mut *transaction)
        .await?;
        all.push(Membership {
            group: row.group_id,
            from: row.valid_from,
            to: row.valid_to,
            ended: moved.rows_affected() == 0,
        });
    }
    Ok(all)
}

async fn family(
    transaction: &mut Transaction,
    survivor: Uuid,
    duplicate: Uuid,
) -> Result<Option<Place>, sqlx::Error> {
    let row = sqlx::query!(
        "DELETE FROM patients.family_member WHERE patient_id = $1 RETURNING family_id, is_head",
        duplicate,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let moved = sqlx::query!(
        "INSERT INTO patients.family_member (patient_id, family_id, is_head)
         VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT family_member_pkey DO NOTHING",
        survivor,
        row.family_id,
        row.is_head,
    )
    .execute(transaction)
    .await?;
    Ok(Some(Place {
        family: row.family_id,
        is_head: row.is_head,
        ended: moved.rows_affected() == 0,
    }))
}
