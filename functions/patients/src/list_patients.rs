//! `GET /api/patients`: the list of patients, a page at a time: in the order of their registration,
//! newest first, by name, those who fit a query, those who have changed, or those who were deleted.

use api::{
    Cursor, Id, Limit, Problem, ProblemDocument, QueryInput, State, Time,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Connection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    list_length::Many,
    page_on_record::{Listed, Order, Part, page_on_record},
    patient::Patient,
    search::{
        find::{COUNTED, Scope},
        query::{self, Query},
    },
    search_patients::{SearchPlace, found, not_of_this_search},
    storage,
};

/// How far before the given time changes are listed: as long as a transaction may take between the
/// time that it writes and its commit.
const OVERLAP: TimeDelta = TimeDelta::seconds(30);

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients")
    .function("list-patients")
    .requires(Permission::ListPatients)
    .records(Action::ListPatients);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_patients, Many::default(), database)
}

/// Which patients, and which page of them. Of `q`, `sort`, `changedSince` and `deleted`, one may be
/// given.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Who fits this, best first: see `POST /api/patients/search`, which keeps names out of
    /// addresses.
    #[param(max_length = 200)]
    q: Option<String>,
    /// The order: `registered` (oldest record first, the default), `newest` (newest record first) or
    /// `name` (by family name).
    #[param(inline)]
    sort: Option<Sort>,
    /// Only patients who have changed since this time (RFC 3339), in the order of their changes;
    /// `removed` says who is gone. To keep a copy in step, send the largest `updatedAt` or `at` that
    /// you have. The last half minute before is listed again, so that nothing is missed that was
    /// being written.
    #[param(value_type = Option<DateTime<Utc>>)]
    changed_since: Option<Time>,
    /// `true` for the patients who were deleted, instead of the others. Only for those who may see
    /// them.
    #[serde(default)]
    #[param(value_type = Option<bool>, default = false)]
    deleted: Deleted,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Place>>,
    /// The number of patients per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Sort {
    /// Oldest record first.
    #[default]
    Registered,
    /// Newest record first.
    Newest,
    /// By family name, then given names.
    Name,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Deleted {
    #[default]
    #[serde(rename = "false")]
    No,
    #[serde(rename = "true")]
    Yes,
}

/// Where the last page ended, in the order of its list.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Place {
    Id(Id),
    Other(OtherPlace),
    Search(SearchPlace),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OtherPlace {
    Newest(Id),
    Name(String, Id),
    Changed(Time, Id),
}

/// A page of patients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PatientList {
    patients: Vec<Patient>,
    /// Who has been deleted, erased, or merged into another, since the time that was asked for. Empty
    /// for all other lists.
    removed: Vec<Removed>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
    /// How many there are on all pages; null if there are more than 1,000, or were a minute ago, or it
    /// would take too long to count them.
    #[schema(required)]
    total: Option<i64>,
}

/// A patient who is no longer in the list
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "RemovedPatient", as = RemovedPatient, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "mergedInto": null,
    "at": "2024-02-01T10:02:11.123456Z"
}))]
pub(crate) struct Removed {
    /// The patient.
    id: Uuid,
    /// The record that continues this one, if they were merged; null if the patient was deleted or
    /// erased.
    #[schema(required)]
    merged_into: Option<Uuid>,
    /// When.
    at: DateTime<Utc>,
}

impl PatientList {
    pub(crate) const fn new(
        patients: Vec<Patient>,
        next_cursor: Option<String>,
        total: Option<i64>,
    ) -> Self {
        Self {
            patients,
            removed: Vec::new(),
            next_cursor,
            total,
        }
    }

    /// Whom the page shows.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        let patients = self.patients.iter().map(|patient| patient.id);
        patients
            .chain(self.removed.iter().map(|removed| removed.id))
            .collect()
    }
}

/// List patients
///
/// In the order in which they were registered, newest first, by name, by a query, by change, or
/// those who were deleted. Restricted patients are listed only for callers who may see them. The
/// patients on a page are recorded in the audit trail.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "patients",
    params(Page),
    responses(
        (status = 200, description = "A page of patients", body = PatientList),
        (status = 400, description = "A parameter is invalid, or two do not go together", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see patients, or not the deleted ones", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_patients(
    caller: Caller,
    State(many): State<Many>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<PatientList>, Problem> {
    let view = View {
        restricted: caller.role.may(Permission::SeeRestrictedPatients),
        limit: page.limit,
        database: trail.database(),
        trail: &trail,
        many: &many,
    };
    let after = page.cursor.map(|Cursor(place)| place);
    let q = page.q.filter(|q| !q.trim().is_empty());
    let list = match (q, page.sort, page.changed_since, page.deleted) {
        (Some(q), None, None, Deleted::No) => view.matching(&q, after).await?,
        (None, sort, None, Deleted::No) => match sort.unwrap_or_default() {
            Sort::Registered => view.registered(after).await?,
            Sort::Newest => view.newest(after).await?,
            Sort::Name => view.by_name(after).await?,
        },
        (None, None, Some(Time(since)), Deleted::No) => view.changed(since, after).await?,
        (None, None, None, Deleted::Yes) => {
            caller.must(Permission::SeeDeletedPatients)?;
            view.deleted(after).await?
        }
        _ => {
            let said = "Only one of q, sort, changedSince and deleted may be given";
            return Err(Problem::invalid_field("sort", said));
        }
    };
    if !trail.is_written() {
        trail
            .succeeded(trail.database(), Subject::Patients(&list.ids()))
            .await?;
    }
    Ok(Json(list))
}

/// What the caller may see, and how much at a time.
struct View<'a> {
    restricted: bool,
    limit: Limit,
    database: &'a Connection,
    trail: &'a Trail,
    many: &'a Many,
}

impl View<'_> {
    async fn registered(&self, after: Option<Place>) -> Result<PatientList, Problem> {
        let after = match after {
            None => Uuid::nil(),
            Some(Place::Id(Id(id))) => id,
            Some(_) => return Err(not_of_this_search()),
        };
        let place = |last: &Listed| Place::Id(Id(last.patient.id));
        self.in_use(Order::Registered, String::new(), after, place)
            .await
    }

    async fn newest(&self, after: Option<Place>) -> Result<PatientList, Problem> {
        let before = match after {
            None => Uuid::max(),
            Some(Place::Other(OtherPlace::Newest(Id(id)))) => id,
            Some(_) => return Err(not_of_this_search()),
        };
        let place = |last: &Listed| Place::Other(OtherPlace::Newest(Id(last.patient.id)));
        self.in_use(Order::Newest, String::new(), before, place)
            .await
    }

    async fn by_name(&self, after: Option<Place>) -> Result<PatientList, Problem> {
        let (key, id) = match after {
            None => (String::new(), Uuid::nil()),
            Some(Place::Other(OtherPlace::Name(key, Id(id)))) => (key, id),
            Some(_) => return Err(not_of_this_search()),
        };
        let place = |last: &Listed| {
            Place::Other(OtherPlace::Name(last.sort_key.clone(), Id(last.patient.id)))
        };
        self.in_use(Order::Name, key, id, place).await
    }

    async fn matching(&self, q: &str, after: Option<Place>) -> Result<PatientList, Problem> {
        if q.chars().count() > query::LONGEST {
            return Err(Problem::invalid_field(
                "q",
                "The query cannot exceed 200 characters",
            ));
        }
        let after = match after {
            None => None,
            Some(Place::Search(SearchPlace::Hit(place))) => Some(place),
            Some(_) => return Err(not_of_this_search()),
        };
        let scope = Scope {
            restricted: self.restricted,
            deleted: false,
            only: None,
        };
        found(Query::parse(q), after, self.limit, scope, self.database).await
    }

    async fn changed(
        &self,
        since: DateTime<Utc>,
        after: Option<Place>,
    ) -> Result<PatientList, Problem> {
        let (at, id) = match after {
            None => (since - OVERLAP, Uuid::nil()),
            Some(Place::Other(OtherPlace::Changed(Time(at), Id(id)))) => (at, id),
            Some(_) => return Err(not_of_this_search()),
        };
        let mut rows = sqlx::query!(
            r#"SELECT id AS "id!", at AS "at!", merged_into, is_removed AS "is_removed!"
               FROM ((SELECT id, updated_at AS at, merged_into,
                             deleted_at IS NOT NULL OR merged_into IS NOT NULL AS is_removed
                      FROM patients.patient
                      WHERE (updated_at, id) > ($1, $2) AND (NOT restricted OR $4)
                      ORDER BY updated_at, id
                      LIMIT $3)
                     UNION ALL
                     (SELECT id, erased_at, NULL, true
                      FROM patients.erased_patient
                      WHERE (erased_at, id) > ($1, $2) AND (NOT restricted OR $4)
                      ORDER BY erased_at, id
                      LIMIT $3)) AS changed
               ORDER BY at, id
               LIMIT $3"#,
            at,
            id,
            self.limit.and_one_more(),
            self.restricted,
        )
        .fetch_all(self.database)
        .await?;
        let next = self.limit.cut(&mut rows, |last| {
            Place::Other(OtherPlace::Changed(Time(last.at), Id(last.id)))
        });
        let (removed, there): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_removed);
        let ids: Vec<Uuid> = there.iter().map(|row| row.id).collect();
        let removed = removed.into_iter().map(|row| Removed {
            id: row.id,
            merged_into: row.merged_into,
            at: row.at,
        });
        let removed = removed.collect();
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!"
               FROM ((SELECT updated_at AS at FROM patients.patient
                      WHERE updated_at > $1 AND (NOT restricted OR $2)
                      ORDER BY updated_at LIMIT $3)
                     UNION ALL
                     (SELECT erased_at FROM patients.erased_patient
                      WHERE erased_at > $1 AND (NOT restricted OR $2)
                      ORDER BY erased_at LIMIT $3)) AS counted"#,
            since - OVERLAP,
            self.restricted,
            COUNTED + 1,
        )
        .fetch_one(self.database)
        .await?;
        let patients = storage::find_all(&ids, self.database).await?;
        let total = Some(total).filter(|total| *total <= COUNTED);
        Ok(PatientList {
            removed,
            ..PatientList::new(patients, next, total)
        })
    }

    async fn deleted(&self, after: Option<Place>) -> Result<PatientList, Problem> {
        let after = match after {
            None => Uuid::nil(),
            Some(Place::Id(Id(id))) => id,
            Some(_) => return Err(not_of_this_search()),
        };
        let mut ids = sqlx::query_scalar!(
            "SELECT id FROM patients.patient
             WHERE id > $1 AND (NOT restricted OR $3) AND deleted_at IS NOT NULL
             ORDER BY id
             LIMIT $2",
            after,
            self.limit.and_one_more(),
            self.restricted,
        )
        .fetch_all(self.database)
        .await?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!"
               FROM (SELECT FROM patients.patient
                     WHERE deleted_at IS NOT NULL AND (NOT restricted OR $1)
                     LIMIT $2) AS counted"#,
            self.restricted,
            COUNTED + 1,
        )
        .fetch_one(self.database)
        .await?;
        let next = self.limit.cut(&mut ids, |last| Place::Id(Id(*last)));
        let patients = storage::find_all(&ids, self.database).await?;
        let total = Some(total).filter(|total| *total <= COUNTED);
        Ok(PatientList::new(patients, next, total))
    }

    /// A page of the whole list. It is recorded by the statement that reads it, unless there is nobody
    /// on it.
    async fn in_use(
        &self,
        order: Order,
        after_key: String,
        after: Uuid,
        place: impl FnOnce(&Listed) -> Place,
    ) -> Result<PatientList, Problem> {
        let counted = if self.many.are_known(self.restricted) {
            0
        } else {
            COUNTED + 1
        };
        let part = Part {
            order,
            after_key,
            after,
            with_restricted: self.restricted,
            shown: self.limit.items(),
            counted,
        };
        let page = page_on_record(part, self.trail.success(), self.database).await?;
        let Some(page) = page else {
            return self.nobody().await;
        };
        self.trail.written_with_read();
        let last = page.listed.last().filter(|_| page.goes_on);
        let next = last.map(|last| Cursor(place(last)).encode());
        let total = Some(page.counted).filter(|total| counted > 0 && *total <= COUNTED);
        if counted > 0 && total.is_none() {
            self.many.were_seen(self.restricted);
        }
        let patients = page
            .listed
            .into_iter()
            .map(|listed| listed.patient)
            .collect();
        Ok(PatientList::new(patients, next, total))
    }

    /// A page without anybody on it.
    async fn nobody(&self) -> Result<PatientList, Problem> {
        // By the index of those in use: the table may begin with many who are not.
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!"
               FROM (SELECT FROM patients.patient
                     WHERE deleted_at IS NULL AND merged_into IS NULL AND (NOT restricted OR $1)
                     ORDER BY id LIMIT $2) AS counted"#,
            self.restricted,
            COUNTED + 1,
        )
        .fetch_one(self.database)
        .await?;
        let total = Some(total).filter(|total| *total <= COUNTED);
        Ok(PatientList::new(Vec::new(), None, total))
    }
}
