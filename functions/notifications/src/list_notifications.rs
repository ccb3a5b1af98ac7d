//! `GET /api/notifications?patientId=…`: what was sent to a patient, newest first, a page at a
//! time.
//!
//! Welcomes are in DynamoDB, and messages about appointments in PostgreSQL. Both are in the order of
//! their events' times, and then of their ids, so that one cursor continues in both.

use std::{cmp::Reverse, sync::Arc};

use api::{
    Cursor, Id, InvalidId, Limit, Problem, ProblemDocument, QueryInput, State as Shared, Time,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use identity::{Caller, Permission};
use patient_access::{ids_of, must_see};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Table;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    notification::{
        self, Channel, FailureReason, Kind, NotificationsTable, State, partition, sort,
    },
    occasion::Occasion,
    suppression::Suppression,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/notifications")
    .function("list-notifications")
    .requires(Permission::ReadNotifications)
    .records(Action::ReadNotifications)
    .about(About::PatientInQuery);

/// Serves the route.
pub fn routes(database: PgPool, NotificationsTable(table): NotificationsTable) -> Router {
    ROUTE.served_by(
        list_notifications,
        (database.clone(), Arc::new(table)),
        database,
    )
}

/// Whose notifications, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// The patient's id.
    #[param(value_type = Uuid, required = true)]
    patient_id: Option<String>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Position>>,
    /// The number of notifications per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// Where a page ends: the time of the last notification's event, and the id of the event or, if it
/// is about an appointment, of the message.
type Position = (Time, Id);

/// A page of notifications.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationList {
    notifications: Vec<Notification>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A message to a patient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "019bc0fd-8d1c-7b10-8d6e-5a41c2f7e9b3",
    "patientId": "019bc0fd-8a38-7c35-9b6c-0d2a54f3c1aa",
    "kind": "WELCOME",
    "channel": "EMAIL",
    "recipient": "milo.feil@example.com",
    "subject": "Welcome to the clinic",
    "state": "SENT",
    "createdAt": "2026-01-15T09:30:00.412Z",
    "sentAt": "2026-01-15T09:30:00.655Z",
    "appointmentId": null,
    "dueAt": null,
    "reason": null
}))]
pub(crate) struct Notification {
    id: Uuid,
    patient_id: Uuid,
    kind: Kind,
    channel: Channel,
    /// The address or number that it was sent to; null for a message about an appointment that was
    /// not sent.
    #[schema(required)]
    recipient: Option<String>,
    /// Empty for text messages; null for a message about an appointment that was not sent.
    #[schema(required)]
    subject: Option<String>,
    state: State,
    created_at: DateTime<Utc>,
    /// When the mail service accepted it; null if it has not.
    #[schema(required)]
    sent_at: Option<DateTime<Utc>>,
    /// The appointment that it is about; null if it is about none.
    #[schema(required)]
    appointment_id: Option<Uuid>,
    /// When a message about an appointment is due, or was; null for a welcome.
    #[schema(required)]
    due_at: Option<DateTime<Utc>>,
    /// Why it is not sent, or was rejected, such as `NOT_WANTED` or `ADDRESS_SUPPRESSED`; null for all
    /// others.
    #[schema(required)]
    reason: Option<String>,
}

impl From<notification::Notification> for Notification {
    fn from(stored: notification::Notification) -> Self {
        Self {
            id: stored.id,
            patient_id: stored.patient_id,
            kind: stored.kind,
            channel: stored.channel,
            recipient: Some(stored.recipient),
            subject: Some(stored.subject),
            state: stored.state,
            created_at: stored.created_at,
            sent_at: stored.sent_at,
            appointment_id: None,
            due_at: None,
            reason: (stored.suppression.map(Suppression::name))
                .or(stored.failure_reason.map(FailureReason::name))
                .map(str::to_owned),
        }
    }
}

/// List a patient's notifications
///
/// The messages to the patient, newest first, and what became of each.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "notifications",
    params(Page),
    responses(
        (status = 200, description = "A page of notifications", body = NotificationList),
        (status = 403, description = "The role may not see notifications, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 400, description = "The patient's id, the cursor or the limit is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_notifications(
    caller: Caller,
    Shared((database, table)): Shared<(PgPool, Arc<Table>)>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<NotificationList>, Problem> {
    let patient_id = patient_id(page.patient_id.as_deref())?;
    must_see(caller, patient_id, &database).await?;

    let position = page.cursor.map(|Cursor((Time(time), Id(id)))| (time, id));
    let patients = ids_of(patient_id, &database).await?;
    let mut listed = messages(&database, &patients, position, page.limit).await?;
    // Where there are more welcomes than were read, what comes after the last one has to wait.
    let mut horizon: Option<Place> = None;
    for &patient in &patients {
        let (welcomes, cut_short) = welcomes(&table, patient, position, page.limit).await?;
        if cut_short {
            horizon = horizon.max(welcomes.last().map(|(place, _)| *place));
        }
        listed.extend(welcomes);
    }
    let cut_short = horizon.is_some();
    listed.retain(|(place, _)| horizon.is_none_or(|horizon| *place >= horizon));
    listed.sort_by_key(|(place, _)| Reverse(*place));

    let more = cut_short || listed.len() > page.limit.items();
    listed.truncate(page.limit.items());
    let next_cursor = listed
        .last()
        .filter(|_| more)
        .map(|((time, id), _)| Cursor((Time(*time), Id(*id))).encode());
    trail
        .succeeded(&database, Subject::Patient(patient_id))
        .await?;
    Ok(Json(NotificationList {
        notifications: listed.into_iter().map(|(_, shown)| shown).collect(),
        next_cursor,
    }))
}

/// A time and an id, by which all notifications are in order.
type Place = (DateTime<Utc>, Uuid);

/// The welcomes behind this place, newest first, and whether there are more of them.
async fn welcomes(
    table: &Table,
    patient_id: Uuid,
    position: Option<Place>,
    limit: Limit,
) -> Result<(Vec<(Place, Notification)>, bool), Problem> {
    let partition = AttributeValue::S(partition(patient_id));
    let mut request = table
        .client()
        .await
        .query()
        .table_name(table.name())
        .consistent_read(true)
        .scan_index_forward(false)
        .key_condition_expression("pk = :patient")
        .expression_attribute_values(":patient", partition.clone())
        .limit(i32::try_from(limit.and_one_more()).map_err(Problem::internal)?);
    if let Some((occurred_at, event_id)) = position {
        request = request
            .exclusive_start_key("pk", partition)
            .exclusive_start_key("sk", AttributeValue::S(sort(occurred_at, event_id)));
    }
    let answer = request.send().await?;
    let cut_short = answer.last_evaluated_key.is_some();
    let stored: Vec<notification::Notification> =
        serde_dynamo::from_items(answer.items.unwrap_or_default()).map_err(Problem::internal)?;
    let listed = stored
        .into_iter()
        .map(|stored| ((stored.occurred_at, stored.event_id), stored.into()));
    Ok((listed.collect(), cut_short))
}

/// The messages about appointments behind this place, newest first, one more than fits on the page.
async fn messages(
    database: &PgPool,
    patients: &[Uuid],
    position: Option<Place>,
    limit: Limit,
) -> Result<Vec<(Place, Notification)>, Problem> {
    let (before, before_id) = position.unzip();
    let stored = sqlx::query!(
        "SELECT id, patient_id, appointment_id, kind, channel, occurred_at, due_at, state, reason, created_at,
                recipient, subject, sent_at
         FROM notifications.message
         WHERE patient_id = ANY($1)
           AND ($2::timestamptz IS NULL OR (occurred_at, id) < ($2, $3::uuid))
         ORDER BY occurred_at DESC, id DESC
         LIMIT $4",
        patients,
        before,
        before_id,
        limit.and_one_more(),
    )
    .fetch_all(database)
    .await?;
    stored
        .into_iter()
        .map(|row| {
            let unknown = |_| Problem::internal("a message that this version does not know");
            let occasion: Occasion = row.kind.parse().map_err(unknown)?;
            let shown = Notification {
                id: row.id,
                patient_id: row.patient_id,
                kind: occasion.into(),
                channel: row.channel.parse().map_err(unknown)?,
                recipient: row.recipient,
                subject: row.subject,
                state: row.state.parse().map_err(unknown)?,
                created_at: row.created_at,
                sent_at: row.sent_at,
                appointment_id: row.appointment_id,
                due_at: Some(row.due_at),
                reason: row.reason,
            };
            Ok(((row.occurred_at, row.id), shown))
        })
        .collect()
}

fn patient_id(text: Option<&str>) -> Result<Uuid, Problem> {
    let text = text.filter(|text| !text.is_empty());
    let text =
        text.ok_or_else(|| Problem::invalid_field("patientId", "The patient's id is required"))?;
    text.parse()
        .map(|Id(id)| id)
        .map_err(|InvalidId| Problem::invalid_field("patientId", "The patient's id must be a UUID"))
}
