//! What belongs to a patient and is not a part of the record: relationships, the family, groups.
//! After a merge it is the survivor's; what both have, they have once, in the days of both.
//!
//! Undoing gives back what was the duplicate's, as it is then: merges of the others, and what has
//! ended since, are not undone with it.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use store::Transaction;
use uuid::Uuid;

use crate::{
    family::{Clash, Days, Pair},
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
    /// The same relationship of the survivor, and its days before the merge.
    joined: Option<(Uuid, Days)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Membership {
    group: Uuid,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    /// The days of the survivor's membership before the merge, if there was one.
    joined: Option<Days>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Place {
    family: Uuid,
    is_head: bool,
    /// Whether the survivor had a family.
    ended: bool,
    /// Whether the survivor is head of the family in the duplicate's place.
    made_head: bool,
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
            relationships: Relationship::hand_over(transaction, survivor, duplicate).await?,
            groups: Membership::hand_over(transaction, survivor, duplicate).await?,
            family: Place::hand_over(transaction, survivor, duplicate).await?,
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
    ) -> Result<(), api::Problem> {
        for of in &self.relationships {
            of.give_back(transaction, survivor, duplicate).await?;
        }
        for of in &self.groups {
            of.give_back(transaction, survivor, duplicate).await?;
        }
        if let Some(of) = &self.family {
            of.give_back(transaction, survivor, duplicate).await?;
        }
        Ok(())
    }
}

/// The days of what ended with the merge, when it is undone. `before` is what the survivor had, and
/// `now` what the survivor has. If that is what the merge made of both, the survivor's days are as
/// before again, and it is true.
fn parted(own: Days, before: Days, now: Option<Days>) -> (Option<Days>, bool) {
    match now {
        // Taken from the survivor since.
        None => (None, false),
        Some(now) if now == own.covering(before) => (Some(own), true),
        Some(now) => (own.until(now.to), false),
    }
}

impl Relationship {
    const fn days(&self) -> Days {
        Days {
            from: self.from,
            to: self.to,
        }
    }

    async fn hand_over(
        transaction: &mut Transaction,
        survivor: Uuid,
        duplicate: Uuid,
    ) -> Result<Vec<Self>, api::Problem> {
        let rows = sqlx::query!(
            "SELECT id, lower_id, upper_id, role, valid_from, valid_to FROM patients.relationship
             WHERE $1 IN (lower_id, upper_id) ORDER BY id FOR UPDATE",
            duplicate,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let pair = pair(row.lower_id, row.upper_id, &row.role)?;
            let (other, role) = pair.seen_by(duplicate);
            let new = Pair::of(survivor, other, role);
            let days = Days {
                from: row.valid_from,
                to: row.valid_to,
            };
            let clash = new.clash(transaction, days).await?;
            let ended = other == survivor || clash.is_some();
            let mut joined = None;
            if let Some(Clash::Same(same, before)) = clash {
                set_days(transaction, same, days.covering(before)).await?;
                joined = Some((same, before));
            }
            if ended {
                sqlx::query!("DELETE FROM patients.relationship WHERE id = $1", row.id)
                    .execute(&mut *transaction)
                    .await?;
            } else {
                point(transaction, row.id, new).await?;
            }
            all.push(Self {
                id: row.id,
                lower: row.lower_id,
                upper: row.upper_id,
                role: row.role,
                from: row.valid_from,
                to: row.valid_to,
                ended,
                joined,
            });
        }
        Ok(all)
    }

    async fn give_back(
        &self,
        transaction: &mut Transaction,
        survivor: Uuid,
        duplicate: Uuid,
    ) -> Result<(), api::Problem> {
        if !self.ended {
            let row = sqlx::query!(
                "SELECT lower_id, upper_id, role FROM patients.relationship
                 WHERE id = $1 AND $2 IN (lower_id, upper_id) FOR UPDATE",
                self.id,
                survivor,
            )
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(row) = row else { return Ok(()) };
            let (other, role) = pair(row.lower_id, row.upper_id, &row.role)?.seen_by(survivor);
            point(transaction, self.id, Pair::of(duplicate, other, role)).await?;
            return Ok(());
        }
        let mut days = Some(self.days());
        if let Some((same, before)) = self.joined {
            let now = sqlx::query_as!(
                Days,
                r#"SELECT valid_from AS "from", valid_to AS "to" FROM patients.relationship
                   WHERE id = $1 AND $2 IN (lower_id, upper_id) FOR UPDATE"#,
                same,
                survivor,
            )
            .fetch_optional(&mut *transaction)
            .await?;
            let as_before;
            (days, as_before) = parted(self.days(), before, now);
            if as_before {
                set_days(transaction, same, before).await?;
            }
        }
        let Some(days) = days else { return Ok(()) };
        let (other, role) = pair(self.lower, self.upper, &self.role)?.seen_by(duplicate);
        // The other one may have been merged since.
        let other = sqlx::query_scalar!(
            "SELECT id FROM patients.patient WHERE id = patients.canonical($1) AND id <> $2",
            other,
            duplicate,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(other) = other else { return Ok(()) };
        let again = Pair::of(duplicate, other, role);
        if again.clash(transaction, days).await?.is_some() {
            return Ok(());
        }
        sqlx::query!(
            "INSERT INTO patients.relationship (id, lower_id, upper_id, role, valid_from, valid_to)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT DO NOTHING",
            self.id,
            again.lower,
            again.upper,
            again.role.name(),
            days.from,
            days.to,
        )
        .execute(&mut *transaction)
        .await?;
        Ok(())
    }
}

fn pair(lower: Uuid, upper: Uuid, role: &str) -> Result<Pair, api::Problem> {
    let role = stored(role).map_err(api::Problem::internal)?;
    Ok(Pair { lower, upper, role })
}

/// Makes the relationship one of these two.
async fn point(
    transaction: &mut Transaction,
    relationship: Uuid,
    pair: Pair,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE patients.relationship SET lower_id = $2, upper_id = $3, role = $4 WHERE id = $1",
        relationship,
        pair.lower,
        pair.upper,
        pair.role.name(),
    )
    .execute(transaction)
    .await?;
    Ok(())
}

async fn set_days(
    transaction: &mut Transaction,
    relationship: Uuid,
    days: Days,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE patients.relationship SET valid_from = $2, valid_to = $3 WHERE id = $1",
        relationship,
        days.from,
        days.to,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

impl Membership {
    const fn days(&self) -> Days {
        Days {
            from: self.from,
            to: self.to,
        }
    }

    async fn hand_over(
        transaction: &mut Transaction,
        survivor: Uuid,
        duplicate: Uuid,
    ) -> Result<Vec<Self>, sqlx::Error> {
        let rows = sqlx::query!(
            "DELETE FROM patients.group_member WHERE patient_id = $1
             RETURNING group_id, valid_from, valid_to",
            duplicate,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let membership = Self {
                group: row.group_id,
                from: row.valid_from,
                to: row.valid_to,
                joined: days_in(transaction, row.group_id, survivor).await?,
            };
            let own = membership.days();
            let both = membership.joined.map_or(own, |before| own.covering(before));
            join(transaction, row.group_id, survivor, both).await?;
            all.push(membership);
        }
        Ok(all)
    }

    async fn give_back(
        &self,
        transaction: &mut Transaction,
        survivor: Uuid,
        duplicate: Uuid,
    ) -> Result<(), sqlx::Error> {
        let now = days_in(transaction, self.group, survivor).await?;
        let days = if let Some(before) = self.joined {
            let (days, as_before) = parted(self.days(), before, now);
            if as_before {
                join(transaction, self.group, survivor, before).await?;
            }
            days
        } else {
            sqlx::query!(
                "DELETE FROM patients.group_member WHERE group_id = $1 AND patient_id = $2",
                self.group,
                survivor,
            )
            .execute(&mut *transaction)
            .await?;
            now
        };
        if let Some(days) = days {
            join(transaction, self.group, duplicate, days).await?;
        }
        Ok(())
    }
}

/// From when until when the patient is in the group.
async fn days_in(
    transaction: &mut Transaction,
    group: Uuid,
    patient: Uuid,
) -> Result<Option<Days>, sqlx::Error> {
    sqlx::query_as!(
        Days,
        r#"SELECT valid_from AS "from", valid_to AS "to" FROM patients.group_member
           WHERE group_id = $1 AND patient_id = $2 FOR UPDATE"#,
        group,
        patient,
    )
    .fetch_optional(transaction)
    .await
}

/// Has the patient in the group in these days, if there is such a group.
async fn join(
    transaction: &mut Transaction,
    group: Uuid,
    patient: Uuid,
    days: Days,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO patients.group_member (group_id, patient_id, valid_from, valid_to)
         SELECT id, $2, $3, $4 FROM patients.patient_group WHERE id = $1
         ON CONFLICT ON CONSTRAINT group_member_pkey
         DO UPDATE SET valid_from = EXCLUDED.valid_from, valid_to = EXCLUDED.valid_to",
        group,
        patient,
        days.from,
        days.to,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

impl Place {
    async fn hand_over(
        transaction: &mut Transaction,
        survivor: Uuid,
        duplicate: Uuid,
    ) -> Result<Option<Self>, sqlx::Error> {
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
        .execute(&mut *transaction)
        .await?;
        let mut place = Self {
            family: row.family_id,
            is_head: row.is_head,
            ended: moved.rows_affected() == 0,
            made_head: false,
        };
        if place.ended && place.is_head {
            let made = sqlx::query!(
                "UPDATE patients.family_member SET is_head = true
                 WHERE patient_id = $1 AND family_id = $2",
                survivor,
                place.family,
            )
            .execute(&mut *transaction)
            .await?;
            place.made_head = made.rows_affected() > 0;
        }
        has_changed(transaction, place.family).await?;
        Ok(Some(place))
    }

    async fn give_back(
        &self,
        transaction: &mut Transaction,
        survivor: Uuid,
        duplicate: Uuid,
    ) -> Result<(), sqlx::Error> {
        if self.ended {
            sqlx::query!(
                "UPDATE patients.family_member SET is_head = false
                 WHERE patient_id = $1 AND family_id = $2 AND $3",
                survivor,
                self.family,
                self.made_head,
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query!(
                "INSERT INTO patients.family_member (patient_id, family_id, is_head)
                 SELECT $1, id, $3 AND NOT EXISTS (
                     SELECT FROM patients.family_member WHERE family_id = $2 AND is_head)
                 FROM patients.family WHERE id = $2
                 ON CONFLICT DO NOTHING",
                duplicate,
                self.family,
                self.is_head,
            )
            .execute(&mut *transaction)
            .await?;
        } else {
            sqlx::query!(
                "UPDATE patients.family_member SET patient_id = $1
                 WHERE patient_id = $2 AND family_id = $3",
                duplicate,
                survivor,
                self.family,
            )
            .execute(&mut *transaction)
            .await?;
        }
        has_changed(transaction, self.family).await
    }
}

/// Gives the family a new version, so that nobody replaces it who has not seen the change.
async fn has_changed(transaction: &mut Transaction, family: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE patients.family SET version = version + 1, updated_at = clock_timestamp()
         WHERE id = $1",
        family,
    )
    .execute(transaction)
    .await?;
    Ok(())
}
