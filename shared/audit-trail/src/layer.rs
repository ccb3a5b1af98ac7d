//! Around a route: nothing comes out that is not on record.

use api::{Problem, ProblemType};
use axum::{
    Router,
    extract::{FromRequestParts as _, RawPathParams, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::{Uri, header, request::Parts};
use idempotency::IDEMPOTENCY_REPLAYED;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Action, Outcome, Subject, Trail};

/// The routes, whose requests are this action. Their handlers take a [`Trail`], and write
/// to it what they do; what they refuse is written here.
pub fn layer(database: PgPool, action: Action, routes: Router) -> Router {
    routes.route_layer(middleware::from_fn_with_state(
        (database, action),
        on_record,
    ))
}

async fn on_record(
    State((database, action)): State<(PgPool, Action)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let trail = Trail::of(action, &mut parts).await;
    let named = id_in_request(&mut parts).await;
    parts.extensions.insert(trail.clone());
    let response = next.run(Request::from_parts(parts, body)).await;

    let answered = Answered::of(&response);
    match complete(&database, &trail, named, answered).await {
        Ok(()) => response,
        Err(problem) => problem.into_response(),
    }
}

/// What an answer says.
enum Answered {
    Success,
    /// The same as before, because the request was the same. It was about this patient, if
    /// it registered them.
    Replayed(Option<Uuid>),
    NotDone(ProblemType, Outcome),
    /// Nothing about anybody's data.
    Nothing,
}

impl Answered {
    fn of(response: &Response) -> Self {
        if response.status().is_success() {
            if response.headers().contains_key(IDEMPOTENCY_REPLAYED) {
                return Self::Replayed(id_in_location(response));
            }
            return Self::Success;
        }
        let problem = response.extensions().get::<Problem>().map(Problem::kind);
        let not_done = problem.and_then(outcome_of);
        not_done.map_or(Self::Nothing, |(problem, outcome)| {
            Self::NotDone(problem, outcome)
        })
    }
}

/// Sees to it that the answer is on record.
async fn complete(
    database: &PgPool,
    trail: &Trail,
    named: Option<Uuid>,
    answered: Answered,
) -> Result<(), Problem> {
    match answered {
        Answered::Success if trail.written() == Some(Outcome::Succeeded) => {}
        Answered::Success => return Err(Problem::internal("an answer without a record")),
        // It was done before; now its answer was looked at once more.
        Answered::Replayed(registered) => {
            let patient = named.or(registered);
            let subject = patient.map_or(Subject::Nobody, Subject::Patient);
            trail.succeeded(database, subject).await?;
        }
        Answered::NotDone(problem, outcome) => {
            trail
                .not_done(database, outcome, problem.name(), named)
                .await?;
        }
        Answered::Nothing => {}
    }
    Ok(())
}

/// What the problem says about the request; nothing if it says something about its form
/// or about us.
const fn outcome_of(problem: ProblemType) -> Option<(ProblemType, Outcome)> {
    use ProblemType::{
        BodyTooLarge, Conflict, Forbidden, IdempotencyKeyReused, Internal, InvalidInput,
        MethodNotAllowed, NotFound, PreconditionFailed, PreconditionRequired, RequestInProgress,
        TooManyRequests, Unauthorized, Unavailable, UnsupportedMediaType,
    };
    match problem {
        Unauthorized | Forbidden | TooManyRequests => Some((problem, Outcome::Refused)),
        NotFound | Conflict | PreconditionFailed => Some((problem, Outcome::Failed)),
        InvalidInput | MethodNotAllowed | PreconditionRequired | RequestInProgress
        | BodyTooLarge | UnsupportedMediaType | IdempotencyKeyReused | Unavailable | Internal => {
            None
        }
    }
}

/// The patient or the account that the path names, or the query.
async fn id_in_request(parts: &mut Parts) -> Option<Uuid> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok();
    let in_path = parameters
        .iter()
        .flatten()
        .find_map(|(name, value)| (name == "id").then(|| value.parse().ok()).flatten());
    in_path.or_else(|| id_in_query(&parts.uri))
}

fn id_in_query(uri: &Uri) -> Option<Uuid> {
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix("patientId=")?.parse().ok())
}

/// The patient that was registered, of whom the path of the request says nothing.
fn id_in_location(response: &Response) -> Option<Uuid> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    location.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_may_name_the_patient() {
        let id = Uuid::from_u128(7);
        let uri: Uri = format!("/api/notifications?limit=1&patientId={id}")
            .parse()
            .unwrap();
        assert_eq!(id_in_query(&uri), Some(id));
        let uri: Uri = "/api/notifications?patientId=nobody".parse().unwrap();
        assert_eq!(id_in_query(&uri), None);
        assert_eq!(id_in_query(&Uri::from_static("/api/notifications")), None);
    }
}
