//! `POST /api/patients/search`: looks patients up by whatever somebody knows of them.
//!
//! What is asked for is in the body, so that names stay out of addresses and of everything that
//! keeps those.

use api::{
    ClinicTimeZone, Cursor, Id, InputAndQuery, InputErrors, Limit, Problem, ProblemDocument,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use chrono::{NaiveDate, Utc};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Connection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    groups,
    list_patients::PatientList,
    search::{
        find::{COUNTED, Hits, Place, Scope, Search, who_has},
        query::{self, Part, Query},
    },
    storage,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/api/patients/search")
    .function("search-patients")
    .requires(Permission::ListPatients)
    .records(Action::SearchPatients);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(search_patients, (), database)
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `nextCursor` of the previous page, with the same body; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<SearchPlace>>,
    /// The number of patients per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// Where a page of a search ended.
#[derive(Serialize, Deserialize)]
pub(crate) enum SearchPlace {
    /// Among the hits of a query.
    #[serde(rename = "hit")]
    Hit(Place),
    /// Among patients by id, where only an identifier or a group says who they are.
    #[serde(rename = "id")]
    Id(Id),
}

/// What somebody knows of a patient. All that is given has to fit. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "q": "feil milo", "dateOfBirth": "14.11.1983" }))]
pub(crate) struct Wanted {
    /// Words of names in any order, former names too; also a telephone number, a birth date, an
    /// e-mail address, a record number or an identifier. Case, accents and a typo do not matter, and
    /// the beginning of a word is enough. At most 200 characters.
    #[schema(max_length = 200)]
    q: Option<String>,
    /// A record number, or an identifier of any system.
    #[schema(max_length = 100)]
    identifier: Option<String>,
    /// A telephone number in any form, or at least its last four digits.
    #[schema(max_length = 40)]
    phone: Option<String>,
    /// An e-mail address.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// A birth date as people write it: `1983-11-14`, `14.11.1983`, `11/14/1983`, `1983-11`, `1983`.
    #[schema(max_length = 20)]
    date_of_birth: Option<String>,
    /// Only members of this group.
    #[schema(value_type = Option<Uuid>)]
    group_id: Option<Id>,
    /// Whether deleted patients are found, too. Only for those who may see them.
    #[serde(default)]
    include_deleted: bool,
    /// `nextCursor` of the previous page, instead of in the address: it contains a name.
    #[schema(value_type = Option<String>)]
    cursor: Option<Cursor<SearchPlace>>,
}

/// Search patients
///
/// The best hits come first: who has the number, whose names have the words, whose names begin with
/// them. If those are fewer than 20, they are followed by those with a letter different, and by
/// those that sound alike. Restricted patients are found only by callers who may see them. The
/// patients on a page are recorded in the audit trail, and what was asked for is not.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "patients",
    params(Page),
    request_body = Wanted,
    responses(
        (status = 200, description = "A page of patients, best first", body = PatientList),
        (status = 400, description = "Nothing to look for, or a field, the cursor or the limit is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see patients, or not the deleted ones", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn search_patients(
    caller: Caller,
    clinic: ClinicTimeZone,
    trail: Trail,
    InputAndQuery(wanted, page): InputAndQuery<Wanted, Page>,
) -> Result<Json<PatientList>, Problem> {
    let database = trail.database();
    if wanted.include_deleted {
        caller.must(Permission::SeeDeletedPatients)?;
    }
    let (query, identifier) = wanted.parse()?;
    let scope = Scope {
        restricted: caller.role.may(Permission::SeeRestrictedPatients),
        deleted: wanted.include_deleted,
        only: None,
    };
    let today = clinic.day(Utc::now());
    let group = wanted.group_id.map(|group| (group, today));
    let only = only(identifier.as_deref(), group, scope, database).await?;
    let scope = Scope {
        only: only.as_deref(),
        ..scope
    };
    let after = wanted.cursor.or(page.cursor).map(|Cursor(place)| place);
    let list = match only.as_deref() {
        Some(only) if query == Query::default() => {
            of_these(only, after, page.limit, scope, database).await?
        }
        _ => {
            let after = match after {
                None => None,
                Some(SearchPlace::Hit(place)) => Some(place),
                Some(SearchPlace::Id(_)) => return Err(not_of_this_search()),
            };
            found(query, after, page.limit, scope, database).await?
        }
    };
    trail
        .succeeded(database, Subject::Patients(&list.ids()))
        .await?;
    Ok(Json(list))
}

impl Wanted {
    /// What to look for, and the identifier that is asked for.
    fn parse(&self) -> Result<(Query, Option<String>), Problem> {
        let given = |text: &Option<String>| {
            let text = text
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty());
            text.map(ToOwned::to_owned)
        };
        let mut errors = InputErrors::default();
        let mut is_sound = true;
        let mut part = |field: &str, part: Option<Part>, said: &str| {
            let part = errors.field(field, part.ok_or(said));
            is_sound &= part.is_some();
            part
        };
        let mut parts = Vec::new();
        if let Some(phone) = given(&self.phone) {
            let digits = phone.chars().filter(char::is_ascii_digit).count();
            let phone = query::phone(&phone).filter(|_| (4..=20).contains(&digits));
            parts.extend(part("phone", phone, "Phone must have 4 to 20 digits"));
        }
        if let Some(email) = given(&self.email) {
            let email = (email.len() <= 254).then(|| query::email(&email));
            parts.extend(part("email", email, "Email cannot exceed 254 characters"));
        }
        if let Some(date) = given(&self.date_of_birth) {
            let dates = query::dates(&date);
            let born = (!dates.is_empty()).then_some(Part::Exact(dates));
            parts.extend(part(
                "dateOfBirth",
                born,
                "Date of birth is not a date, a month or a year",
            ));
        }
        let q = given(&self.q);
        if q.as_ref()
            .is_some_and(|q| q.chars().count() > query::LONGEST)
        {
            part("q", None, "The query cannot exceed 200 characters");
        }
        let identifier = given(&self.identifier);
        if identifier
            .as_ref()
            .is_some_and(|text| text.chars().count() > 100)
        {
            part(
                "identifier",
                None,
                "Identifier cannot exceed 100 characters",
            );
        }
        let is_empty =
            parts.is_empty() && q.is_none() && identifier.is_none() && self.group_id.is_none();
        if is_empty {
            part("q", None, "Say what to look for");
        }
        if !is_sound {
            return Err(errors.into_problem());
        }
        let mut query = q.map_or_else(Query::default, |q| Query::parse(&q));
        if !parts.is_empty() {
            // Somebody with the number alone would not fit the rest.
            query.identifier = None;
        }
        query.parts.extend(parts);
        Ok((query, identifier))
    }
}

/// The patients among whom to look, if an identifier or a group says so.
async fn only(
    identifier: Option<&str>,
    group: Option<(Id, NaiveDate)>,
    scope: Scope<'_>,
    database: &Connection,
) -> Result<Option<Vec<Uuid>>, Problem> {
    let mut only = match identifier {
        Some(identifier) => Some(who_has(identifier, scope, database).await?),
        None => None,
    };
    if let Some((Id(group), today)) = group {
        let members = groups::members(group, today, database).await?;
        let members =
            members.ok_or_else(|| Problem::invalid_field("groupId", "There is no such group"))?;
        only = Some(match only {
            Some(of) => of.into_iter().filter(|id| members.contains(id)).collect(),
            None => members.into_iter().collect(),
        });
    }
    Ok(only)
}

/// A page of the hits of a query.
pub(crate) async fn found(
    query: Query,
    after: Option<Place>,
    limit: Limit,
    scope: Scope<'_>,
    database: &Connection,
) -> Result<PatientList, Problem> {
    let search = Search::new(query, scope, database).await?;
    let Hits {
        patients,
        next,
        total,
    } = search.page(after, limit.items()).await?;
    let next = next.map(|place| Cursor(SearchPlace::Hit(place)).encode());
    let patients = storage::find_all(&patients, database).await?;
    Ok(PatientList::new(patients, next, total))
}

/// A page of these patients, who are known to be visible.
async fn of_these(
    ids: &[Uuid],
    after: Option<SearchPlace>,
    limit: Limit,
    scope: Scope<'_>,
    database: &Connection,
) -> Result<PatientList, Problem> {
    let after = match after {
        None => Uuid::nil(),
        Some(SearchPlace::Id(Id(id))) => id,
        Some(SearchPlace::Hit(_)) => return Err(not_of_this_search()),
    };
    let mut visible = sqlx::query_scalar!(
        "SELECT id FROM patients.patient
         WHERE id = ANY($1) AND (NOT restricted OR $2) AND (deleted_at IS NULL OR $3)
           AND merged_into IS NULL
         ORDER BY id",
        ids,
        scope.restricted,
        scope.deleted,
    )
    .fetch_all(database)
    .await?;
    let total = i64::try_from(visible.len()).ok();
    visible.retain(|id| *id > after);
    visible.truncate(limit.items() + 1);
    let next = limit.cut(&mut visible, |last| SearchPlace::Id(Id(*last)));
    let patients = storage::find_all(&visible, database).await?;
    Ok(PatientList::new(
        patients,
        next,
        total.filter(|total| *total <= COUNTED),
    ))
}

pub(crate) fn not_of_this_search() -> Problem {
    Problem::invalid_field("cursor", "Must be the nextCursor of the previous page")
}
