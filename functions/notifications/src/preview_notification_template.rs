//! `POST /api/notification-templates/{kind}/{language}/{channel}/preview`: how a template would look.

use api::{
    Input, PathInput, Problem, ProblemDocument,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use identity::Permission;
use route::Route;

use crate::{
    change_notification_template::TemplateInput, get_notification_template::TemplatePath,
    template::Rendered,
};

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> =
    Route::post("/api/notification-templates/{kind}/{language}/{channel}/preview")
        .function("preview-notification-template")
        .requires(Permission::ManageNotificationTemplates)
        .refusals_are(Action::ChangeNotificationTemplate);

/// Serves the route.
pub fn routes() -> Router {
    ROUTE.served_by(preview_notification_template, ())
}

/// See how a template would look
///
/// With sample values, and without saving it.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "notifications",
    params(TemplatePath),
    request_body = TemplateInput,
    responses(
        (status = 200, description = "The message", body = Rendered),
        (status = 400, description = "The template is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn preview_notification_template(
    PathInput(path): PathInput<TemplatePath>,
    Input(input): Input<TemplateInput>,
) -> Result<Json<Rendered>, Problem> {
    let (_, preview) = input.check(&path)?;
    Ok(Json(preview))
}
