//! `POST /appointment-links/{token}`: a patient confirms or cancels their appointment.

use api::{
    Id, Problem, State,
    layers::{Open, Recorded, Repeatable},
};
use audit_trail::{Action, Resource, Subject, Trail};
use axum::{Router, body::Bytes, extract::Path, response::Response};
use events::AppointmentChange;
use route::Route;
use sqlx::PgPool;
use store::Transaction;

use super::{
    appointment::{self, By, Change, not_found},
    link, occupancy,
};
use crate::{clock, outbox::Delivery};

/// Why it is cancelled, in its history.
const REASON: &str = "Cancelled by the patient";

/// The route.
pub const ROUTE: Route<Open, Recorded, Repeatable> = Route::post("/appointment-links/{token}")
    .function("use-appointment-link")
    .records(Action::AnswerAppointmentLink);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(use_appointment_link, (database.clone(), delivery), database)
}

/// What the patient wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Confirm,
    Cancel,
}

/// Confirm or cancel an appointment
///
/// Sent by the form on the page of the appointment. Sent twice, it has one effect; after the
/// appointment has started, or was cancelled, it has none.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(("token" = uuid::Uuid, Path, description = "The token in the link")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "`action=confirm` or `action=cancel`"),
    responses(
        (status = 200, description = "The page of the appointment as it is now", body = String, content_type = "text/html"),
        (status = 400, description = "There is no such action", body = api::ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such link", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn use_appointment_link(
    State((database, delivery)): State<(PgPool, Delivery)>,
    trail: Trail,
    Path(token): Path<String>,
    form: Bytes,
) -> Result<Response, Problem> {
    let now = clock::now();
    let answer = Answer::of(&form)?;
    let Ok(Id(token)) = token.parse() else {
        return Ok(link::nowhere());
    };
    let mut transaction = Transaction::begin(&database).await?;
    let Some(linked) = link::find(&mut transaction, token).await? else {
        transaction.rollback().await?;
        return Ok(link::nowhere());
    };
    let mut stored = appointment::lock(&mut transaction, linked.id)
        .await?
        .ok_or_else(not_found)?;
    // Read again within the lock: somebody may have changed it since.
    let linked = link::find(&mut transaction, token).await?.unwrap_or(linked);
    if linked.is_open(now) {
        match answer {
            Answer::Confirm if linked.is_confirmed => {}
            Answer::Confirm => {
                stored.confirmed_at = Some(now);
                let by = By::default();
                stored
                    .save(&mut transaction, Change::ConfirmedByPatient, by)
                    .await?;
            }
            Answer::Cancel => {
                let by = By {
                    actor: None,
                    reason: Some(REASON),
                };
                stored.cancel(by, REASON, now);
                stored.save(&mut transaction, Change::Cancelled, by).await?;
                occupancy::leave(&mut transaction, stored.id).await?;
                let change = AppointmentChange::Cancelled { by_patient: true };
                stored.announce(&mut transaction, change).await?;
            }
        }
    }
    let linked = link::find(&mut transaction, token).await?.unwrap_or(linked);
    let patient = linked.patient_id;
    let subject = Subject::ResourceOfPatient(Resource::appointment(linked.id), patient);
    trail.succeeded(&mut transaction, subject).await?;
    transaction.commit().await?;
    delivery.deliver_now(&database, patient).await;
    Ok(linked.page(now))
}

impl Answer {
    fn of(form: &[u8]) -> Result<Self, Problem> {
        let action = form_urlencoded::parse(form).find(|(name, _)| name == "action");
        match action.as_ref().map(|(_, value)| &**value) {
            Some("confirm") => Ok(Self::Confirm),
            Some("cancel") => Ok(Self::Cancel),
            _ => Err(Problem::invalid_field(
                "action",
                "Must be confirm or cancel",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_what_the_patient_wants() {
        assert_eq!(Answer::of(b"action=confirm").ok(), Some(Answer::Confirm));
        assert_eq!(Answer::of(b"x=1&action=cancel").ok(), Some(Answer::Cancel));
        for wrong in [&b""[..], b"action=", b"action=Confirm", b"confirm"] {
            assert!(Answer::of(wrong).is_err());
        }
    }
}
