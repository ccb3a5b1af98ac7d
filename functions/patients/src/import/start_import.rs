//! `POST /api/patients/imports`: announces a file with patients, and tells where to upload it.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    Input, InputErrors, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router, response::IntoResponse};
use chrono::{DateTime, Utc};
use fields::Line;
use http::{StatusCode, header};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    FileFormat, MOST_BYTES, answer, date_format::DateFormat, layout::Field, on_record, upload_key,
};
use crate::files::Files;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/api/patients/imports")
    .function("start-import")
    .requires(Permission::ImportPatients)
    .records(Action::ImportPatients);

/// Serves the route.
pub fn routes(database: PgPool, files: Files) -> Router {
    ROUTE.served_by(start_import, (database.clone(), Arc::new(files)), database)
}

/// A file that is to be imported. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "format": "CSV",
    "contentLength": 48211,
    "dateFormat": "DD.MM.YYYY",
    "columns": { "dateOfBirth": "Geburtsdatum" },
    "welcome": false
}))]
pub(crate) struct ImportInput {
    /// How the file is laid out. A JSON object per line has the fields of a new patient. A table
    /// has a header with the columns `name` or `family`, and `dateOfBirth`. Also read are `prefix`,
    /// `given`, `suffix`, `formerName`, `sex`, `email`, `phone`, `mobile`, `address`, `street`,
    /// `city`, `state`, `postalCode`, `country`, `language`, `registeredDate`, `deceasedDate`,
    /// `identifierSystem` with `identifier`, and `restricted`, in any order. In titles, case, spaces
    /// and punctuation do not matter, and usual other ones are known, such as `DOB` or `surname`.
    /// Columns with other titles are not taken, and named in the answer.
    format: FileFormat,
    /// How long the file is, in bytes: at most 100 MiB. Only a file of this length can be uploaded.
    #[schema(minimum = 1, maximum = 104_857_600)]
    content_length: i64,
    /// How the file writes dates: `YYYY-MM-DD` if it is missing. In a table, days and months may have
    /// one digit, and a date of birth may also be a year, or a year and a month (`1983-11`).
    #[serde(default)]
    date_format: DateFormat,
    /// The titles of columns that are called otherwise in the file, by field, at most 100 characters
    /// each. Only for tables, which must have these columns.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    columns: BTreeMap<String, String>,
    /// Whether those who are created get a welcome message: `false` if it is missing.
    #[serde(default)]
    welcome: bool,
}

/// Where to upload the file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "StartedImport", as = StartedImport, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1e0",
    "state": "AWAITING_UPLOAD",
    "uploadUrl": "https://bucket.example/imports/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1e0/upload?X-Amz-Signature=…",
    "uploadHeaders": { "Content-Type": "text/csv", "Content-Length": "48211" },
    "uploadUrlExpiresAt": "2027-01-10T09:45:00.123456Z"
}))]
pub(crate) struct StartedImport {
    /// Identifies the import.
    id: Uuid,
    /// How far it is.
    state: answer::State,
    /// Where to `PUT` the file.
    upload_url: String,
    /// The headers that the upload must have.
    upload_headers: BTreeMap<String, String>,
    /// Until when the upload can begin.
    upload_url_expires_at: DateTime<Utc>,
}

/// Import patients
///
/// Upload the file to `uploadUrl` with the `uploadHeaders`, then ask for the import until its state
/// is `COMPLETED` or `REFUSED`. The whole file is looked at before the first line is taken: one that
/// cannot be read changes nothing. Then each line becomes a patient, once; is a patient already, and
/// is left alone; or is refused, with the reason. Restricted records are refused, so that they do not
/// become open ones.
///
/// A file is at most 100 MiB, and has 1 to 100,000 records of at most 64 KiB each, not counting the
/// header of a table and empty lines. JSON is in UTF-8. A table is in UTF-8 or, where it is not, in
/// Windows-1252, with or without a byte order mark; it has at most 200 columns, and only `address` and
/// `street` go on over several lines. The upload can begin within 15 minutes; an import without a file
/// expires after a day.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "patients",
    request_body = ImportInput,
    responses(
        (status = 202, description = "The file can be uploaded", body = StartedImport,
         headers(("Location" = String, description = "Where the import is"))),
        (status = 400, description = "A field is invalid, or the file is too large", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn start_import(
    caller: Caller,
    State((database, files)): State<(PgPool, Arc<Files>)>,
    trail: Trail,
    Input(input): Input<ImportInput>,
) -> Result<impl IntoResponse, Problem> {
    let columns = input.parse()?;
    let id = Uuid::now_v7();
    let content_type = input.format.content_type();
    let link = files
        .upload_link(&upload_key(id), content_type, input.content_length)
        .await?;
    let columns = serde_json::to_value(columns).map_err(Problem::internal)?;

    let mut transaction = Transaction::begin(&database).await?;
    sqlx::query!(
        "INSERT INTO patients.import
             (id, format, date_format, columns, welcome, content_length, actor_id, actor_role)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        id,
        input.format.name(),
        input.date_format.name(),
        columns,
        input.welcome,
        input.content_length,
        caller.user,
        caller.role.name(),
    )
    .execute(&mut transaction)
    .await?;
    trail
        .succeeded(&mut transaction, Subject::Resource(on_record(id)))
        .await?;
    transaction.commit().await?;
    let upload_headers = BTreeMap::from([
        ("Content-Type".to_owned(), content_type.to_owned()),
        (
            "Content-Length".to_owned(),
            input.content_length.to_string(),
        ),
    ]);
    let started = StartedImport {
        id,
        state: answer::State::AwaitingUpload,
        upload_url: link.url,
        upload_headers,
        upload_url_expires_at: link.expires_at,
    };
    let at = [(header::LOCATION, format!("imports/{id}"))];
    Ok((StatusCode::ACCEPTED, at, Json(started)))
}

impl ImportInput {
    /// The titles of the columns by field.
    fn parse(&self) -> Result<BTreeMap<Field, String>, Problem> {
        let mut errors = InputErrors::default();
        if !(1..=MOST_BYTES).contains(&self.content_length) {
            let refusal: Result<(), _> = Err("Must be between 1 and 104857600 bytes");
            errors.field("contentLength", refusal);
        }
        let mut columns = BTreeMap::new();
        for (field, title) in &self.columns {
            let known = field.parse::<Field>();
            if known.is_err() {
                // What the client has made up is not repeated.
                let message = "The columns must be fields of a patient, such as dateOfBirth";
                errors.field("columns", known.map_err(|_| message));
            } else if self.format == FileFormat::Ndjson {
                let refusal: Result<(), _> = Err("Only a table has columns");
                errors.field("columns", refusal);
            } else if let Ok(field) = known {
                let title = Line::parse(title, &(1..=100));
                let title = title.map_err(|error| format!("The title of {} {error}", field.name()));
                if let Some(title) = errors.field("columns", title) {
                    columns.insert(field, title.as_str().to_owned());
                }
            }
        }
        if errors.is_empty() {
            Ok(columns)
        } else {
            Err(errors.into_problem())
        }
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn every_column_that_is_read_is_documented() {
        let schema = serde_json::to_value(ImportInput::schema()).unwrap();
        let described = schema["properties"]["format"]["description"].to_string();
        let guide = include_str!("../../../../docs/patients.md");
        for field in Field::ALL {
            let name = format!("`{}`", field.name());
            assert!(described.contains(&name), "{name} in the API document");
            assert!(guide.contains(&name), "{name} in docs/patients.md");
        }
    }
}
