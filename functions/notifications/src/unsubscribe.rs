//! `GET /unsubscribe/{token}` shows a page with a button, and changes nothing: mail programs fetch
//! links by themselves. `POST /unsubscribe/{token}` opts the patient out of such messages on that
//! channel: by the button, or by a mail program with one click (RFC 8058).

use api::{
    Problem, ProblemDocument, State,
    layers::{Open, Recorded, Repeatable, Unrecorded},
};
use audit_trail::{Action, Subject, Trail};
use axum::{
    Router,
    extract::Path,
    response::{Html, IntoResponse as _, Response},
};
use http::{HeaderValue, header};
use route::Route;
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use crate::{
    language::Language,
    notification::Channel,
    occasion::Occasion,
    preferences::{Preferences, opt_out},
    unsubscribe_token::is_token,
};

/// The route of the page.
pub const PAGE: Route<Open, Unrecorded, Repeatable> =
    Route::get("/unsubscribe/{token}").function("unsubscribe");

/// The route of its button.
pub const ROUTE: Route<Open, Recorded, Repeatable> = Route::post("/unsubscribe/{token}")
    .function("unsubscribe")
    .records(Action::ChangeNotificationPreferences);

/// Serves both routes.
pub fn routes(database: PgPool) -> Router {
    PAGE.served_by(show_unsubscribe_page, database.clone())
        .merge(ROUTE.served_by(unsubscribe, database.clone(), database))
}

/// What the pages may do: send their form here, and nothing else.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The page to unsubscribe from messages
///
/// For patients who follow the link in a message. It changes nothing.
#[utoipa::path(
    get, path = PAGE.path(), tag = "notifications", operation_id = "getUnsubscribePage",
    params(("token" = String, Path, description = "The token in the message", max_length = 64)),
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 404, description = "There is no such token", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_unsubscribe_page(
    State(database): State<PgPool>,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let mut transaction = Transaction::begin(&database).await?;
    let (of, language) = find(&token, &mut transaction).await?;
    transaction.commit().await?;
    Ok(page(
        &language,
        of.words(&language),
        Some(button(&language)),
    ))
}

/// Unsubscribe from messages
///
/// With the form of the page, or with one click in a mail program. The body is not read. Repeating
/// it changes nothing.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "notifications", operation_id = "unsubscribe",
    params(("token" = String, Path, description = "The token in the message", max_length = 64)),
    responses(
        (status = 200, description = "The patient gets no more of these messages", content_type = "text/html", body = String),
        (status = 404, description = "There is no such token", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn unsubscribe(
    State(database): State<PgPool>,
    trail: Trail,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let mut transaction = Transaction::begin(&database).await?;
    let (of, language) = find(&token, &mut transaction).await?;
    trail.about(Subject::Patient(of.patient));
    opt_out(of.patient, of.occasion, of.channel, &mut transaction).await?;
    trail
        .succeeded(&mut transaction, Subject::Patient(of.patient))
        .await?;
    transaction.commit().await?;
    Ok(page(&language, done(&language), None))
}

/// What a token is for.
struct TokenOf {
    patient: Uuid,
    occasion: Occasion,
    channel: Channel,
}

/// A later version of this function has stored it.
const UNKNOWN: &str = "a token is for a kind of message that is not known";

/// What the token is for, and the patient's language.
async fn find(token: &str, transaction: &mut Transaction) -> Result<(TokenOf, Language), Problem> {
    let not_found = || Problem::not_found("This link is not valid any more");
    if !is_token(token) {
        return Err(not_found());
    }
    let found = sqlx::query!(
        "SELECT patient_id, kind, channel FROM notifications.unsubscribe_token WHERE token = $1",
        token,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(not_found)?;
    let of = TokenOf {
        patient: found.patient_id,
        occasion: found.kind.parse().map_err(|_| Problem::internal(UNKNOWN))?,
        channel: found
            .channel
            .parse()
            .map_err(|_| Problem::internal(UNKNOWN))?,
    };
    let preferences = Preferences::of(of.patient, transaction).await?;
    Ok((of, preferences.language))
}

impl TokenOf {
    /// What the patient would no longer get.
    fn words(&self, language: &Language) -> &'static str {
        match (language.code(), self.occasion) {
            ("de", Occasion::AppointmentBooked) => "Keine Terminbestätigungen mehr erhalten?",
            ("de", Occasion::AppointmentMoved) => {
                "Keine Nachrichten über verlegte Termine mehr erhalten?"
            }
            ("de", Occasion::AppointmentCancelled) => {
                "Keine Bestätigungen Ihrer Absagen mehr erhalten?"
            }
            // Nobody is offered that.
            ("de", Occasion::InvoiceSent) => "Keine Rechnungen mehr per E-Mail erhalten?",
            (_, Occasion::InvoiceSent) => "Get no more invoices by e-mail?",
            ("de", Occasion::StatementSent) => "Keine Kontoauszüge mehr per E-Mail erhalten?",
            (_, Occasion::StatementSent) => "Get no more statements by e-mail?",
            ("de", Occasion::AppointmentReminder) => "Keine Terminerinnerungen mehr erhalten?",
            (_, Occasion::AppointmentBooked) => "Get no more confirmations of appointments?",
            (_, Occasion::AppointmentMoved) => "Get no more messages about moved appointments?",
            (_, Occasion::AppointmentCancelled) => {
                "Get no more confirmations of your cancellations?"
            }
            (_, Occasion::AppointmentReminder) => "Get no more reminders of appointments?",
        }
    }
}

fn button(language: &Language) -> &'static str {
    match language.code() {
        "de" => "Abbestellen",
        _ => "Unsubscribe",
    }
}

fn done(language: &Language) -> &'static str {
    match language.code() {
        "de" => "Sie erhalten diese Nachrichten nicht mehr.",
        _ => "You will get no more of these messages.",
    }
}

/// A page without anything that comes from outside this file.
fn page(language: &Language, text: &'static str, button: Option<&'static str>) -> Response {
    let language = match language.code() {
        "de" => "de",
        _ => "en",
    };
    let form = button.map_or_else(String::new, |button| {
        format!("<form method=\"post\"><button type=\"submit\">{button}</button></form>\n")
    });
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{text}</title>\n</head>\n\
         <body>\n<p>{text}</p>\n{form}</body>\n</html>\n"
    );
    let mut response = Html(html).into_response();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
