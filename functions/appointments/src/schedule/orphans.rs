//! Appointments that nobody is there for: what a change of hours, a closure or an absence does to
//! what is booked.

use api::Problem;
use chrono::{DateTime, Utc};
use events::AppointmentChange;
use store::Transaction;
use uuid::Uuid;

use super::calendar::Calendar;
use crate::{
    booking::{
        appointment::{By, Change, Stored},
        resources,
        status::Status,
    },
    period::Period,
};

/// What a change does to the appointments of some resources.
pub(crate) struct Impact {
    /// Those that nobody is there for, now that the change is made.
    pub(crate) orphaned: Vec<Stored>,
    /// Those that somebody is there for again.
    pub(crate) no_longer: Vec<Stored>,
}

/// Looks at what is booked with these resources from now on, as their schedules are in this
/// transaction. Their rows must be locked. What was booked although nobody was there stays as it is.
pub(crate) async fn impact(
    transaction: &mut Transaction,
    changed: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Impact, sqlx::Error> {
    let booked = sqlx::query_as!(
        Stored,
        r#"SELECT id, version, patient_id, service_id, location_id, resource_ids,
                  status AS "status: Status", starts_at, ends_at, time_zone, local_start, zone_data,
                  sequence, series_id, hold_expires_at, orphaned, unattended, walk_in, cancel_reason,
                  cancelled_at, cancelled_by, overbook_reason, overbooked_by, confirmed_at,
                  created_at, updated_at
           FROM appointments.appointment
           WHERE resource_ids && $1 AND ends_at > $2 AND NOT unattended
               AND (status = 'BOOKED' OR (status = 'PENDING' AND hold_expires_at > $2))
           ORDER BY starts_at, id
           FOR UPDATE"#,
        changed,
        now,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut impact = Impact {
        orphaned: Vec::new(),
        no_longer: Vec::new(),
    };
    let (Some(first), Some(last)) = (booked.first(), booked.last()) else {
        return Ok(impact);
    };
    let days = (first.starts_at.date_naive(), last.starts_at.date_naive());
    let mut ids: Vec<Uuid> = booked
        .iter()
        .flat_map(|one| one.resource_ids.clone())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let resources = resources::these(transaction, &ids).await?;
    let calendar = Calendar::read(transaction, &resources, days, now).await?;
    for appointment in booked {
        let period = Period::new(appointment.starts_at, appointment.ends_at);
        let mut needed = resources
            .iter()
            .filter(|resource| appointment.resource_ids.contains(&resource.id));
        let is_there = needed.all(|resource| calendar.of(resource).is_there(period));
        if !is_there {
            impact.orphaned.push(appointment);
        } else if appointment.orphaned {
            impact.no_longer.push(appointment);
        }
    }
    Ok(impact)
}

impl Impact {
    /// Marks them, and tells whoever has to hear of it.
    pub(crate) async fn mark(
        &mut self,
        transaction: &mut Transaction,
        by: By<'_>,
    ) -> Result<(), Problem> {
        for appointment in self.orphaned.iter_mut().filter(|one| !one.orphaned) {
            appointment.orphaned = true;
            appointment.save(transaction, Change::Orphaned, by).await?;
            if appointment.status == Status::Booked {
                appointment
                    .announce(transaction, AppointmentChange::Orphaned)
                    .await?;
            }
        }
        for appointment in &mut self.no_longer {
            appointment.orphaned = false;
            appointment
                .save(transaction, Change::NoLongerOrphaned, by)
                .await?;
        }
        Ok(())
    }

    /// Whose appointments they are, each patient once.
    pub(crate) fn patients(&self) -> Vec<Uuid> {
        let all = self.orphaned.iter().chain(&self.no_longer);
        let mut patients: Vec<Uuid> = all.map(|one| one.patient_id).collect();
        patients.sort_unstable();
        patients.dedup();
        patients
    }
}
