//! `GET /api/waitlist`: who waits, longest first, and which slot each of them could have.

use std::collections::BTreeMap;

use api::{
    Cursor, Id, Limit, Problem, ProblemDocument, QueryInput, State, Time,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use chrono::{DateTime, Days, Utc};
use identity::{Caller, Permission};
use patient_access::{ids_of, must_see};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::join_waitlist::Entry;
use crate::{
    booking::resources,
    clock,
    schedule::{
        calendar::Calendar,
        find_availability::{FreeSlot, free_slots},
        service::{self, Service},
    },
};

/// How many days ahead slots are suggested.
const AHEAD: Days = Days::new(30);

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/waitlist")
    .function("list-waitlist")
    .requires(Permission::ReadAppointments)
    .records(Action::ReadWaitlist)
    .about(About::PatientInQuery);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_waitlist, database.clone(), database)
}

/// Who waits, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only this patient.
    #[param(value_type = Option<Uuid>)]
    patient_id: Option<Id>,
    /// Only those who wait for this service.
    #[param(value_type = Option<Uuid>)]
    service_id: Option<Id>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(Time, Id)>>,
    /// The number of entries per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of the waitlist.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waitlist {
    entries: Vec<Waiting>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Somebody who waits, and what they could have.
#[derive(Serialize, ToSchema)]
pub(crate) struct Waiting {
    #[serde(flatten)]
    entry: Entry,
    /// The first slot in the next 30 days that the patient could have; null if there is none.
    #[schema(required)]
    suggestion: Option<FreeSlot>,
}

/// List the waitlist
///
/// Whoever has waited longest comes first. Slots are only suggested: several entries may get the
/// same one, and nothing is held for anybody.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "appointments",
    params(Page),
    responses(
        (status = 200, description = "A page of the waitlist", body = Waitlist),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see the waitlist, or not this patient: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_waitlist(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<Waitlist>, Problem> {
    let now = clock::now();
    let patients = match page.patient_id {
        Some(Id(patient)) => {
            must_see(caller, patient, &database).await?;
            Some(ids_of(patient, &database).await?)
        }
        None => None,
    };
    let (after, after_id) = match page.cursor {
        Some(Cursor((Time(time), Id(id)))) => (time, id),
        None => (DateTime::UNIX_EPOCH, Uuid::nil()),
    };
    let mut entries = sqlx::query_as!(
        Entry,
        r#"SELECT id, patient_id, service_id, resource_id, first_day, last_day, created_at
           FROM appointments.waitlist_entry
           WHERE appointment_id IS NULL AND (created_at, id) > ($1, $2)
               AND ($3::uuid[] IS NULL OR patient_id = ANY($3))
               AND ($4::uuid IS NULL OR service_id = $4)
               AND ($5 OR NOT patients.is_restricted(patient_id))
           ORDER BY created_at, id
           LIMIT $6"#,
        after,
        after_id,
        patients.as_deref(),
        page.service_id.map(|Id(id)| id),
        caller.role.may(Permission::SeeRestrictedPatients),
        page.limit.and_one_more(),
    )
    .fetch_all(&database)
    .await?;
    let next_cursor = page
        .limit
        .cut(&mut entries, |last| (Time(last.created_at), Id(last.id)));
    let slots = FirstSlots::read(&database, &entries, now).await?;

    let mut patients: Vec<Uuid> = entries.iter().map(|entry| entry.patient_id).collect();
    patients.sort_unstable();
    patients.dedup();
    trail
        .succeeded(&database, Subject::Patients(&patients))
        .await?;
    let entries = entries.into_iter().map(|entry| Waiting {
        suggestion: slots.suggestion(&entry, now),
        entry,
    });
    Ok(Json(Waitlist {
        entries: entries.collect(),
        next_cursor,
    }))
}

/// The first slot of each of the next days, by what people wait for: the service and, if it matters,
/// the resource.
struct FirstSlots(BTreeMap<(Uuid, Option<Uuid>), Vec<FreeSlot>>);

impl FirstSlots {
    async fn read(
        database: &PgPool,
        entries: &[Entry],
        now: DateTime<Utc>,
    ) -> Result<Self, sqlx::Error> {
        let mut first = BTreeMap::new();
        let mut transaction = Transaction::begin(database).await?;
        for entry in entries {
            let wanted = (entry.service_id, entry.resource_id);
            if first.contains_key(&wanted) {
                continue;
            }
            let slots = match service::find(&mut transaction, entry.service_id).await? {
                Some(service) => of(&mut transaction, &service, entry.resource_id, now).await?,
                None => Vec::new(),
            };
            first.insert(wanted, slots);
        }
        transaction.rollback().await?;
        Ok(Self(first))
    }

    fn suggestion(&self, entry: &Entry, now: DateTime<Utc>) -> Option<FreeSlot> {
        let slots = self.0.get(&(entry.service_id, entry.resource_id))?;
        let wanted = entry.first_day..=entry.last_day;
        let mut slots = slots.iter();
        slots
            .find(|slot| slot.start() > now && wanted.contains(&slot.date()))
            .cloned()
    }
}

/// The first slot of each day at each location, with this resource or with anybody.
async fn of(
    transaction: &mut Transaction,
    service: &Service,
    only: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Vec<FreeSlot>, sqlx::Error> {
    let mut resources = resources::of_kinds(transaction, &service.resource_kinds, None).await?;
    if let Some(only) = only {
        let here = resources
            .iter()
            .find(|one| one.id == only)
            .map(|one| one.location);
        resources.retain(|one| Some(one.location) == here);
    }
    // It may still be yesterday where the location is.
    let today = now.date_naive();
    let days = (today - Days::new(1), today + AHEAD);
    let calendar = Calendar::read(transaction, &resources, days, now).await?;
    let only: Vec<Uuid> = only.into_iter().collect();
    let of_each_day = (usize::MAX, 1);
    Ok(free_slots(
        service,
        &resources,
        &only,
        &calendar,
        days,
        now,
        of_each_day,
    ))
}
