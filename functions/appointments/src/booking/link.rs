//! What patients see who follow the link in a message: a page that asks, and changes nothing.
//!
//! Mail programs fetch links by themselves, so only a form on the page confirms or cancels. The page
//! says when and where, and nothing about what the appointment is for.

use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use http::{HeaderValue, StatusCode, header};
use sqlx::PgExecutor;
use uuid::Uuid;
use zones::Zone;

use super::status::Status;

/// The frame of the page.
const PAGE: &str = include_str!("../../templates/link.html");

/// The appointment that a link is for, as its page shows it.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) id: Uuid,
    pub(crate) patient_id: Uuid,
    pub(crate) status: Status,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) time_zone: String,
    pub(crate) location_name: String,
    pub(crate) is_confirmed: bool,
}

/// The page for a link that leads nowhere. Nothing is recorded, because it is about nobody.
pub(crate) fn nowhere() -> Response {
    let mut page = page("<p>This link is not valid, or no longer.</p>");
    *page.status_mut() = StatusCode::NOT_FOUND;
    page
}

/// The appointment with this link.
///
/// # Errors
/// If the database does not respond.
pub(crate) async fn find(
    database: impl PgExecutor<'_>,
    token: Uuid,
) -> Result<Option<Linked>, sqlx::Error> {
    sqlx::query_as!(
        Linked,
        r#"SELECT appointment.id, patient_id, status AS "status: Status", starts_at,
                  appointment.time_zone, location.name AS location_name,
                  confirmed_at IS NOT NULL AS "is_confirmed!"
           FROM appointments.appointment
           JOIN appointments.location ON location.id = location_id
           WHERE link_token = $1 AND status <> 'PENDING'"#,
        token,
    )
    .fetch_optional(database)
    .await
}

impl Linked {
    /// Whether the patient can still confirm or cancel it.
    pub(crate) fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.status == Status::Booked && self.starts_at > now
    }

    /// The page about it.
    pub(crate) fn page(&self, now: DateTime<Utc>) -> Response {
        let zone = Zone::named(&self.time_zone).unwrap_or_else(|_| Zone::utc());
        let local = zone.local(self.starts_at);
        let time = local.format("%A, %-d %B %Y, %H:%M");
        let place = escaped(&self.location_name);
        let mut body = format!(
            "<p><strong>{time}</strong> ({})<br>{place}</p>\n",
            zone.name()
        );
        body.push_str(match self.status {
            Status::Cancelled => "<p>This appointment is cancelled.</p>",
            _ if !self.is_open(now) => "<p>This appointment can no longer be changed here.</p>",
            _ if self.is_confirmed => {
                "<p>Thank you, we expect you.</p>\n\
                 <form method=\"post\"><button class=\"second\" name=\"action\" value=\"cancel\">Cancel the appointment</button></form>"
            }
            _ => {
                "<form method=\"post\"><button name=\"action\" value=\"confirm\">I will come</button>\
                 <button class=\"second\" name=\"action\" value=\"cancel\">Cancel the appointment</button></form>"
            }
        });
        page(&body)
    }
}

/// A page that no other site can frame, with nothing from elsewhere, which nobody keeps.
fn page(body: &str) -> Response {
    let mut response = (StatusCode::OK, PAGE.replace("{body}", body)).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The text, where HTML expects text.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_and_not_markup() {
        assert_eq!(
            escaped("<b>O'Neil & \"Co\"</b>"),
            "&lt;b&gt;O&#39;Neil &amp; &quot;Co&quot;&lt;/b&gt;"
        );
    }
}
