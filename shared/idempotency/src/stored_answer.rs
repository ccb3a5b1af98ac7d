//! The responses to earlier requests, for when they are repeated.

use std::sync::Arc;

use api::Problem;
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use sqlx::{AssertSqlSafe, PgExecutor, Row as _, postgres::PgRow};
use store::Transaction;
use uuid::Uuid;

use crate::{IDEMPOTENCY_REPLAYED, request_identity::RequestIdentity};

/// How long a response is kept. A client that has not retried within a day has given up.
const KEPT: &str = "interval '24 hours'";

/// How many responses are deleted at a time: few enough for one quick statement.
const PRUNED_AT_A_TIME: i64 = 5_000;

/// A response as the handler returned it, without the headers that every response carries.
///
/// It may contain a patient's data, so `Debug` reveals none of it.
#[derive(Clone)]
pub struct StoredAnswer {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    entity_tag: Option<HeaderValue>,
    location: Option<HeaderValue>,
    body: Bytes,
    subject: Option<Uuid>,
}

impl StoredAnswer {
    /// The part of this response that is stored, and the response itself.
    pub(crate) async fn of(response: Response, subject: Uuid) -> Result<(Self, Response), Problem> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(Problem::internal)?.to_bytes();
        let header = |name: HeaderName| parts.headers.get(name).cloned();
        let stored = Self {
            status: parts.status,
            content_type: header(header::CONTENT_TYPE),
            entity_tag: header(header::ETAG),
            location: header(header::LOCATION),
            body: body.clone(),
            subject: Some(subject),
        };
        Ok((stored, Response::from_parts(parts, Body::from(body))))
    }

    /// Whose data it contains. Responses stored by earlier versions do not say so if the path of
    /// their request does.
    #[must_use]
    pub const fn subject(&self) -> Option<Uuid> {
        self.subject
    }

    /// Whether what it said was removed, because the person was erased whose data it contained.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.body.is_empty()
    }

    /// The response to a request that has already taken effect.
    pub(crate) fn replay(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers: &mut HeaderMap = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, self.content_type),
            (header::ETAG, self.entity_tag),
            (header::LOCATION, self.location),
            (IDEMPOTENCY_REPLAYED, Some(HeaderValue::from_static("true"))),
        ] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        response
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let unreadable = |error: http::Error| sqlx::Error::Decode(Box::new(error));
        let header = |column: &str| {
            let value: Option<String> = row.try_get(column)?;
            let value = value.map(HeaderValue::try_from).transpose();
            value.map_err(|error| unreadable(error.into()))
        };
        let status = u16::try_from(row.try_get::<i16, _>("status")?).unwrap_or_default();
        Ok(Self {
            status: StatusCode::from_u16(status).map_err(|error| unreadable(error.into()))?,
            content_type: header("content_type")?,
            entity_tag: header("entity_tag")?,
            location: header("location")?,
            body: row.try_get::<Vec<u8>, _>("body")?.into(),
            subject: row.try_get("subject")?,
        })
    }
}

impl std::fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAnswer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What is known about a key.
pub(crate) enum Known {
    /// The request with this key got this response.
    Answer(StoredAnswer),
    /// The key belongs to another request.
    OtherRequest,
}

/// The table of a service. The name of its schema is a constant in the service's code, so
/// formatting it into a statement is safe.
#[derive(Debug, Clone)]
pub(crate) struct StoredAnswers {
    select: Arc<str>,
    insert: Arc<str>,
}

impl StoredAnswers {
    pub(crate) fn in_schema(schema: &'static str) -> Self {
        Self {
            select: format!(
                "SELECT fingerprint, status, content_type, entity_tag, location, body, subject
                 FROM {schema}.idempotency_key
                 WHERE id = $1 AND created_at > now() - {KEPT}"
            )
            .into(),
            // Expired responses count as absent, whether they have been deleted or not.
            insert: format!(
                "INSERT INTO {schema}.idempotency_key AS kept
                     (id, fingerprint, status, content_type, entity_tag, location, body, subject)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (id) DO UPDATE
                 SET fingerprint = excluded.fingerprint, status = excluded.status,
                     content_type = excluded.content_type, entity_tag = excluded.entity_tag,
                     location = excluded.location, body = excluded.body,
                     subject = excluded.subject, created_at = now()
                 WHERE kept.created_at <= now() - {KEPT}"
            )
            .into(),
        }
    }

    /// What is known about the key of this request.
    pub(crate) async fn find(
        &self,
        transaction: &mut Transaction,
        request: &RequestIdentity,
    ) -> Result<Option<Known>, sqlx::Error> {
        let row = sqlx::query(AssertSqlSafe(self.select.clone()))
            .bind(request.id.as_slice())
            .fetch_optional(transaction)
            .await?;
        row.map(|row| {
            let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
            if fingerprint == request.fingerprint {
                StoredAnswer::read(&row).map(Known::Answer)
            } else {
                Ok(Known::OtherRequest)
            }
        })
        .transpose()
    }

    /// Stores the response to this request, unless it has one.
    pub(crate) async fn keep(
        &self,
        database: impl PgExecutor<'_>,
        request: &RequestIdentity,
        answer: &StoredAnswer,
    ) -> Result<(), sqlx::Error> {
        let text = |value: &Option<HeaderValue>| {
            let value = value.as_ref()?.to_str().ok()?;
            Some(value.to_owned())
        };
        sqlx::query(AssertSqlSafe(self.insert.clone()))
            .bind(request.id.as_slice())
            .bind(request.fingerprint.as_slice())
            .bind(answer.status.as_u16().cast_signed())
            .bind(text(&answer.content_type))
            .bind(text(&answer.entity_tag))
            .bind(text(&answer.location))
            .bind(answer.body.as_ref())
            .bind(answer.subject)
            .execute(database)
            .await?;
        Ok(())
    }
}

/// Deletes expired responses of this service, as many as one quick statement can. Returns how many.
///
/// # Errors
/// If the database fails.
pub async fn prune(
    database: impl PgExecutor<'_>,
    schema: &'static str,
) -> Result<u64, sqlx::Error> {
    let statement = format!(
        "DELETE FROM {schema}.idempotency_key
         WHERE id IN (
             SELECT id FROM {schema}.idempotency_key
             WHERE created_at <= now() - {KEPT}
             ORDER BY created_at
             LIMIT $1
             FOR UPDATE SKIP LOCKED
         )"
    );
    let pruned = sqlx::query(AssertSqlSafe(statement))
        .bind(PRUNED_AT_A_TIME)
        .execute(database)
        .await?;
    Ok(pruned.rows_affected())
}
