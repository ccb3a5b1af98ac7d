//! `GET /api/notification-templates/{kind}/{language}/{channel}`: what such messages say.

use api::{
    EntityTag, PathInput, Problem, ProblemDocument, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use crate::{
    language::Language,
    notification::Channel,
    occasion::Occasion,
    template::{Rendered, Template, variables},
};

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> =
    Route::get("/api/notification-templates/{kind}/{language}/{channel}")
        .function("get-notification-template")
        .requires(Permission::ManageNotificationTemplates)
        .refusals_are(Action::ChangeNotificationTemplate);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_notification_template, database)
}

/// Which template.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TemplatePath {
    /// The occasion of the messages.
    pub(crate) kind: Occasion,
    /// Their language: an ISO 639 code.
    #[param(value_type = String, pattern = "^[a-z]{2,3}$", example = "en")]
    pub(crate) language: Language,
    /// How they are sent.
    pub(crate) channel: Channel,
}

/// What messages say
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotificationTemplate, example = json!({
    "kind": "APPOINTMENT_REMINDER",
    "language": "en",
    "channel": "SMS",
    "version": 3,
    "subject": null,
    "text": "Your appointment: {{ date }}, {{ time }}, {{ location }}.",
    "variables": { "date": "its date", "time": "its time of day" },
    "preview": {
        "subject": null,
        "text": "Your appointment: Monday 30 March 2026, 09:00, Main building."
    }
}))]
pub(crate) struct Shown {
    kind: Occasion,
    language: Language,
    channel: Channel,
    /// 0 if it is built in, and one more with every change.
    version: i64,
    /// One line; null for text messages.
    #[schema(required)]
    subject: Option<String>,
    text: String,
    /// What may stand in double braces, and in conditions, and what it means.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    variables: std::collections::BTreeMap<&'static str, &'static str>,
    /// The message with sample values.
    preview: Rendered,
}

impl Shown {
    pub(crate) fn new(path: TemplatePath, template: Template, preview: Rendered) -> Self {
        Self {
            kind: path.kind,
            language: path.language,
            channel: path.channel,
            version: template.version,
            subject: template.subject,
            text: template.text,
            variables: variables(path.kind).iter().copied().collect(),
            preview,
        }
    }
}

/// Get what messages say
///
/// Until the clinic has written its own, this is the built-in template, with version 0. In a
/// language without a template, messages are in English.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "notifications",
    params(TemplatePath),
    responses(
        (status = 200, description = "The template, and how it looks", body = Shown,
         headers(("ETag" = String, description = "The version"))),
        (status = 400, description = "There is no such kind, language or channel", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no template in this language", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_notification_template(
    State(database): State<PgPool>,
    PathInput(path): PathInput<TemplatePath>,
) -> Result<(EntityTag, Json<Shown>), Problem> {
    let template = Template::current(path.kind, &path.language, path.channel, &database)
        .await?
        .ok_or_else(|| {
            Problem::not_found("There is no template in this language: messages are in English")
        })?;
    let preview = template
        .preview(&path.language)
        .map_err(Problem::internal)?;
    let tag = EntityTag(template.version);
    Ok((tag, Json(Shown::new(path, template, preview))))
}
