//! Every day, and on demand: appointments whose time zone has new rules keep their time on the
//! clock, and move to another instant.

use std::time::Instant;

use chrono::{DateTime, NaiveDate, Utc};
use events::AppointmentChange;
use serde::Serialize;
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;
use zones::Zone;

use super::{
    appointment::{self, By, Change, Stored},
    occupancy,
    plan::{self, Plan, Wanted, periods_of},
    resources,
    status::Status,
};
use crate::{
    clock,
    schedule::{
        calendar::{Bookable, Calendar},
        service,
    },
};

/// How many appointments are looked at in one statement.
const AT_A_TIME: i64 = 1000;

/// What was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reprojected {
    /// The version of the zone data that appointments follow now.
    zone_data: &'static str,
    /// How many appointments stay where they are.
    unchanged: u64,
    /// Those that have moved.
    moved: Vec<Moved>,
    /// Those that could not be moved: the log says why.
    failed: Vec<Uuid>,
    /// Whether there was no time for the rest: call it again.
    pub unfinished: bool,
}

/// An appointment that has moved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    appointment_id: Uuid,
    patient_id: Uuid,
    time_zone: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Moved {
    fn log(&self) {
        tracing::warn!(
            appointmentId = %self.appointment_id, from = %self.from, to = %self.to,
            timeZone = self.time_zone, "the rules of the time zone have changed"
        );
    }
}

impl Reprojected {
    /// Whether some appointments could not be moved.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }
}

/// Brings all appointments that are still to come up to the zone data of this program. Those that
/// move are announced, so their patients are told.
///
/// # Errors
/// If the database does not respond, or an appointment's zone is unknown.
pub async fn reproject_appointments(
    database: &PgPool,
    until: Instant,
) -> Result<Reprojected, api::Error> {
    let now = clock::now();
    let mut done = Reprojected {
        zone_data: zones::data_version(),
        unchanged: 0,
        moved: Vec::new(),
        failed: Vec::new(),
        unfinished: false,
    };
    loop {
        if Instant::now() >= until {
            done.unfinished = true;
            break;
        }
        let outdated = outdated(database, &done.failed, now).await?;
        if outdated.is_empty() {
            break;
        }
        let (moved, unchanged): (Vec<_>, Vec<_>) =
            outdated.into_iter().partition(|one| one.start != one.was);
        done.unchanged += keep(database, &unchanged).await?;
        // One day at one location at a time: what moves there together makes room for each other.
        let mut days: Vec<(Uuid, NaiveDate)> =
            moved.iter().map(|one| (one.location, one.day)).collect();
        days.sort_unstable();
        days.dedup();
        for day in days {
            let ids = moved.iter().filter(|one| (one.location, one.day) == day);
            let ids: Vec<Uuid> = ids.map(|one| one.id).collect();
            match move_together(database, &ids, now).await {
                Ok(moved) => done.moved.extend(moved.into_iter().inspect(Moved::log)),
                // The others go on.
                Err(error) => {
                    let cause = error.to_string();
                    tracing::error!(cause, appointmentIds = ?ids, "appointments could not be moved");
                    done.failed.extend(ids);
                }
            }
        }
    }
    Ok(done)
}

/// An appointment that was booked with other zone data.
struct Outdated {
    id: Uuid,
    location: Uuid,
    day: NaiveDate,
    was: DateTime<Utc>,
    start: DateTime<Utc>,
}

async fn outdated(
    database: &PgPool,
    failed: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Vec<Outdated>, api::Error> {
    let rows = sqlx::query!(
        "SELECT id, location_id, starts_at, time_zone, local_start
         FROM appointments.appointment
         WHERE zone_data <> $1 AND starts_at > $2 AND status IN ('PENDING', 'BOOKED')
             AND id <> ALL($4)
         ORDER BY starts_at, id
         LIMIT $3",
        zones::data_version(),
        now,
        AT_A_TIME,
        failed,
    )
    .fetch_all(database)
    .await?;
    let outdated = rows.into_iter().map(|row| Outdated {
        id: row.id,
        location: row.location_id,
        day: row.local_start.date(),
        was: row.starts_at,
        // A zone that is gone cannot be followed, which is found out when it is moved.
        start: Zone::named(&row.time_zone).map_or(DateTime::UNIX_EPOCH, |zone| {
            zone.instants(row.local_start).closest_to(row.starts_at)
        }),
    });
    Ok(outdated.collect())
}

/// They stay where they are, by the new rules, too. Nobody has to hear of it.
async fn keep(database: &PgPool, unchanged: &[Outdated]) -> Result<u64, sqlx::Error> {
    let ids: Vec<Uuid> = unchanged.iter().map(|one| one.id).collect();
    let starts: Vec<DateTime<Utc>> = unchanged.iter().map(|one| one.was).collect();
    let kept = sqlx::query!(
        "UPDATE appointments.appointment AS kept SET zone_data = $3
         FROM unnest($1::uuid[], $2::timestamptz[]) AS known (id, starts_at)
         WHERE kept.id = known.id AND kept.starts_at = known.starts_at",
        &ids,
        &starts,
        zones::data_version(),
    )
    .execute(database)
    .await?;
    Ok(kept.rows_affected())
}

async fn move_together(
    database: &PgPool,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Vec<Moved>, api::Error> {
    let mut transaction = Transaction::begin(database).await?;
    occupancy::be_patient(&mut transaction).await?;
    let resource_ids = sqlx::query_scalar!(
        r#"SELECT DISTINCT unnest(resource_ids) AS "id!" FROM appointments.appointment WHERE id = ANY($1)"#,
        ids,
    )
    .fetch_all(&mut transaction)
    .await?;
    let locked = resources::lock_these(&mut transaction, &resource_ids).await?;
    let mut moving = Vec::new();
    for id in ids {
        let stored = appointment::lock(&mut transaction, *id).await?;
        let expected = |one: &Stored| matches!(one.status, Status::Pending | Status::Booked);
        if let Some(stored) = stored.filter(expected) {
            occupancy::leave(&mut transaction, *id).await?;
            moving.push(stored);
        }
    }
    let mut moved = Vec::new();
    for stored in &mut moving {
        let from = stored.starts_at;
        move_one(&mut transaction, stored, &locked, now).await?;
        moved.push(Moved {
            appointment_id: stored.id,
            patient_id: stored.patient_id,
            time_zone: stored.time_zone.clone(),
            from,
            to: stored.starts_at,
        });
    }
    transaction.commit().await?;
    Ok(moved)
}

async fn move_one(
    transaction: &mut Transaction,
    stored: &mut Stored,
    locked: &[Bookable],
    now: DateTime<Utc>,
) -> Result<(), api::Error> {
    let service = service::find(&mut *transaction, stored.service_id).await?;
    let service = service.ok_or("an appointment without its service")?;
    let zone = Zone::named(&stored.time_zone)?;
    let start = zone
        .instants(stored.local_start)
        .closest_to(stored.starts_at);
    let day = stored.local_start.date();
    let resources: Vec<Bookable> = locked
        .iter()
        .filter(|resource| stored.resource_ids.contains(&resource.id))
        .cloned()
        .collect();
    let calendar = Calendar::read(transaction, &resources, (day, day), now).await?;
    let wanted = Wanted {
        service: &service,
        asked_for: &stored.resource_ids,
        // Whoever is in the way keeps their slot, and so does this one.
        regardless: true,
        at_any_time: true,
        except: Some(stored.id),
    };
    let seats = wanted.seats(stored.location_id, start, &resources, &calendar);
    let (period, occupied) = periods_of(&service, start);
    let is_attended = resources
        .iter()
        .all(|resource| calendar.of(resource).is_there(period));
    let numbers: Vec<i32> = resources.iter().map(|resource| resource.number).collect();
    occupancy::expire_holds(transaction, &numbers, now).await?;
    let unattended = stored.unattended;
    let seats = seats.map_err(|_| "an appointment without its resources")?;
    let plan = Plan {
        clinicians: plan::clinicians(&resources, &seats),
        is_attended: !unattended,
        location: stored.location_id,
        zone,
        period,
        occupied,
        seats,
    };
    let change = AppointmentChange::Rescheduled {
        started_at: stored.starts_at,
        ended_at: stored.ends_at,
        by_time_zone_rules: true,
        location_id: stored.location_id,
    };
    stored.move_to(&plan);
    let by = By::default();
    stored
        .save(transaction, Change::MovedByTimeZoneRules, by)
        .await?;
    occupancy::take(transaction, stored.id, service.id, &plan)
        .await
        .map_err(|problem| {
            problem
                .causes()
                .unwrap_or_else(|| "the slot is taken".to_owned())
        })?;
    let is_booked = stored.status == Status::Booked;
    if is_booked {
        stored.announce(transaction, change).await?;
    }
    if !is_attended && !unattended {
        // The hours move with the clock, but an absence does not.
        stored.orphaned = true;
        stored.save(transaction, Change::Orphaned, by).await?;
        if is_booked {
            let change = AppointmentChange::Orphaned;
            stored.announce(transaction, change).await?;
        }
    }
    Ok(())
}
