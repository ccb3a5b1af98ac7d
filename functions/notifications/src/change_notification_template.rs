//! `PUT /api/notification-templates/{kind}/{language}/{channel}`: changes what such messages say.

use api::{
    EntityTag, IfMatch, Input, PathInput, Problem, ProblemDocument, ReadOnly, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;

use crate::{
    get_notification_template::{Shown, TemplatePath},
    template::{Rendered, Template, check},
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::put("/api/notification-templates/{kind}/{language}/{channel}")
        .function("change-notification-template")
        .requires(Permission::ManageNotificationTemplates)
        .records(Action::ChangeNotificationTemplate);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(change_notification_template, database.clone(), database)
}

/// What messages are to say. A template that was read may be sent back with changes.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NotificationTemplateInput, example = json!({
    "subject": "Your appointment on {{ date }}",
    "text": "Dear {{ name }},\n\nyour appointment: {{ date }}, {{ time }}, {{ location }}."
}))]
pub(crate) struct TemplateInput {
    /// One line, at most 300 characters; null for text messages.
    #[schema(max_length = 300)]
    subject: Option<String>,
    /// Plain text, at most 5000 characters.
    #[schema(max_length = 5000, pattern = r"\S")]
    text: String,
    #[serde(default, rename = "kind")]
    #[schema(read_only, value_type = Option<String>)]
    _kind: ReadOnly,
    #[serde(default, rename = "language")]
    #[schema(read_only, value_type = Option<String>)]
    _language: ReadOnly,
    #[serde(default, rename = "channel")]
    #[schema(read_only, value_type = Option<String>)]
    _channel: ReadOnly,
    #[serde(default, rename = "version")]
    #[schema(read_only, value_type = Option<i64>)]
    _version: ReadOnly,
    #[serde(default, rename = "variables")]
    #[schema(read_only, value_type = Option<Object>)]
    _variables: ReadOnly,
    #[serde(default, rename = "preview")]
    #[schema(read_only, value_type = Option<Object>)]
    _preview: ReadOnly,
}

impl TemplateInput {
    pub(crate) fn check(&self, path: &TemplatePath) -> Result<(Template, Rendered), Problem> {
        check(
            path.kind,
            self.subject.as_deref(),
            &self.text,
            &path.language,
            path.channel,
        )
    }
}

/// Change what messages say
///
/// The template is rendered with sample values, and rejected if that does not succeed in all cases.
/// Every version is kept. A language that had no template gets one.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "notifications",
    params(TemplatePath, IfMatch),
    request_body = TemplateInput,
    responses(
        (status = 200, description = "The template as it is now, and how it looks", body = Shown,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The template is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change_notification_template(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathInput(path): PathInput<TemplatePath>,
    if_match: IfMatch,
    Input(input): Input<TemplateInput>,
) -> Result<(EntityTag, Json<Shown>), Problem> {
    let (template, preview) = input.check(&path)?;

    let mut transaction = Transaction::begin(&database).await?;
    let version = locked_version(&path, &mut transaction).await?;
    if_match.check(version)?;
    let template = Template {
        version: version + 1,
        ..template
    };
    sqlx::query!(
        "INSERT INTO notifications.template
             (kind, language, channel, version, subject, text, changed_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        path.kind.name(),
        path.language.code(),
        path.channel.name(),
        template.version,
        template.subject,
        template.text,
        caller.user,
    )
    .execute(&mut transaction)
    .await?;
    trail.succeeded(&mut transaction, Subject::Nobody).await?;
    transaction.commit().await?;
    let tag = EntityTag(template.version);
    Ok((tag, Json(Shown::new(path, template, preview))))
}

/// The stored version, or 0. Nobody else adds one until the transaction ends.
async fn locked_version(
    path: &TemplatePath,
    transaction: &mut Transaction,
) -> Result<i64, sqlx::Error> {
    let name = format!("{} {} {}", path.kind, path.language, path.channel);
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('notifications.template ' || $1::text, 0))",
        name,
    )
    .fetch_one(&mut *transaction)
    .await?;
    sqlx::query_scalar!(
        r#"SELECT coalesce(max(version), 0) AS "version!" FROM notifications.template
           WHERE kind = $1 AND language = $2 AND channel = $3"#,
        path.kind.name(),
        path.language.code(),
        path.channel.name(),
    )
    .fetch_one(transaction)
    .await
}
