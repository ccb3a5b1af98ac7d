//! `GET /api/appointments`: appointments in the order of time, a page at a time.

use api::{
    ClinicTimeZone, Cursor, DayOrTime, Id, Limit, Problem, ProblemDocument, QueryInput, State,
    Time,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta};
use identity::{Caller, Permission};
use patient_access::{ids_of, must_see};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    appointment::{Appointment, Stored},
    status::Status,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/appointments")
    .function("list-appointments")
    .requires(Permission::ReadAppointments)
    .records(Action::ReadAppointments)
    .about(About::PatientInQuery);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_appointments, database.clone(), database)
}

/// Which appointments, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only this patient's.
    #[param(value_type = Option<Uuid>)]
    patient_id: Option<Id>,
    /// Only those that take up this resource.
    #[param(value_type = Option<Uuid>)]
    resource_id: Option<Id>,
    /// Only those that start at this time or later. A date is a day in the clinic's time zone.
    #[param(inline, value_type = Option<DayOrTime>)]
    from: Option<DayOrTime>,
    /// Only those that start before this time, or on this date at the latest.
    #[param(inline, value_type = Option<DayOrTime>)]
    to: Option<DayOrTime>,
    /// Only those in this state.
    #[param(inline)]
    status: Option<Status>,
    /// Only those that somebody has to move, because a resource is not there (`true`), or only the
    /// others.
    #[param(value_type = Option<bool>)]
    orphaned: Option<Flag>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(Time, Id)>>,
    /// The number of appointments per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// `true` or `false` in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Flag {
    #[serde(rename = "true")]
    Yes,
    #[serde(rename = "false")]
    No,
}

/// A page of appointments.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppointmentList {
    appointments: Vec<Appointment>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List appointments
///
/// In the order of time. Those of restricted patients are listed only for callers who may see them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "appointments",
    params(Page),
    responses(
        (status = 200, description = "A page of appointments", body = AppointmentList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see appointments, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_appointments(
    caller: Caller,
    State(database): State<PgPool>,
    clinic: ClinicTimeZone,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<AppointmentList>, Problem> {
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
    let from = page.from.map(|from| from.first(clinic));
    // Where the index is entered.
    let (after, after_id) = match from {
        Some(from) if from > after => (from - TimeDelta::microseconds(1), Uuid::nil()),
        _ => (after, after_id),
    };
    let mut transaction = Transaction::begin(&database).await?;
    // Planned for the filters that there are, and not for all that there could be.
    sqlx::query!("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
        .fetch_one(&mut transaction)
        .await?;
    let mut rows = sqlx::query_as!(
        Stored,
        r#"SELECT id, version, patient_id, service_id, location_id, resource_ids,
                  status AS "status: Status", starts_at, ends_at, time_zone, local_start, zone_data,
                  sequence, series_id, hold_expires_at, orphaned, unattended, walk_in, cancel_reason,
                  cancelled_at, cancelled_by, overbook_reason, overbooked_by, confirmed_at,
                  created_at, updated_at
           FROM appointments.appointment
           WHERE (starts_at, id) > ($1, $2)
               AND ($3::uuid[] IS NULL OR patient_id = ANY($3))
               AND ($4::uuid IS NULL OR resource_ids @> ARRAY[$4])
               AND ($5::timestamptz IS NULL OR starts_at >= $5)
               AND ($6::timestamptz IS NULL OR starts_at < $6)
               AND ($7::text IS NULL OR status = $7)
               AND ($8::boolean IS NULL OR orphaned = $8)
               AND ($9 OR NOT patients.is_restricted(patient_id))
           ORDER BY starts_at, id
           LIMIT $10"#,
        after,
        after_id,
        patients.as_deref(),
        page.resource_id.map(|Id(id)| id),
        from,
        page.to.map(|to| to.end(clinic)),
        page.status.map(Status::name),
        page.orphaned.map(|flag| flag == Flag::Yes),
        caller.role.may(Permission::SeeRestrictedPatients),
        page.limit.and_one_more(),
    )
    .fetch_all(&mut transaction)
    .await?;
    transaction.rollback().await?;
    let next_cursor = page
        .limit
        .cut(&mut rows, |last| (Time(last.starts_at), Id(last.id)));

    trail
        .succeeded(&database, Subject::Patients(&patients_of(&rows)))
        .await?;
    Ok(Json(AppointmentList {
        appointments: rows.into_iter().map(Appointment::from).collect(),
        next_cursor,
    }))
}

/// Whose appointments they are, each patient once.
fn patients_of(rows: &[Stored]) -> Vec<Uuid> {
    let mut patients: Vec<Uuid> = rows.iter().map(|row| row.patient_id).collect();
    patients.sort_unstable();
    patients.dedup();
    patients
}
