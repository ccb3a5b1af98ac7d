//! Around a route: nothing comes out that is not on record.

use api::{Id, Problem, ProblemType, id_in_query};
use axum::{
    Router,
    extract::{FromRequestParts as _, RawPathParams, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::request::Parts;
use idempotency::IDEMPOTENCY_REPLAYED;
use sqlx::PgPool;
use store::Connection;

use crate::{About, Action, Outcome, Subject, Trail};

/// The routes, whose requests are this action and name the subject there. Their handlers take a
/// [`Trail`], and write to it what they do; what they refuse is written here.
pub fn layer(database: PgPool, action: Action, about: About, routes: Router) -> Router {
    routes.route_layer(middleware::from_fn_with_state(
        (database, action, about),
        on_record,
    ))
}

async fn on_record(
    State((database, action, about)): State<(PgPool, Action, About)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let trail = Trail::of(Connection::of(database), action, &parts);
    let named = named(about, &mut parts).await;
    parts.extensions.insert(trail.clone());
    let response = next.run(Request::from_parts(parts, body)).await;

    let answered = Answered::of(&response);
    let subject = trail.is_about().or(named);
    match complete(&trail, subject, answered).await {
        Ok(()) => response,
        Err(problem) => problem.into_response(),
    }
}

/// What an answer says.
enum Answered {
    Success,
    /// The same as before, because the request was the same.
    Replayed,
    NotDone(ProblemType, Outcome),
    /// Nothing about anybody's data.
    Nothing,
}

impl Answered {
    fn of(response: &Response) -> Self {
        if response.status().is_success() {
            if response.headers().contains_key(IDEMPOTENCY_REPLAYED) {
                return Self::Replayed;
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
    trail: &Trail,
    subject: Option<Subject<'static>>,
    answered: Answered,
) -> Result<(), Problem> {
    match answered {
        Answered::Success | Answered::Replayed if trail.written() == Some(Outcome::Succeeded) => {}
        Answered::Success => return Err(Problem::internal("an answer without a record")),
        // It was done before; now its answer was looked at once more. Handlers that know more of whom it
        // is about have recorded that themselves.
        Answered::Replayed => {
            let subject = subject.unwrap_or(Subject::Nobody);
            trail.succeeded(trail.database(), subject).await?;
        }
        Answered::NotDone(problem, outcome) => {
            trail
                .not_done(trail.database(), outcome, problem.name(), subject)
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
        AmbiguousLocalTime, BodyTooLarge, Conflict, Deleted, Forbidden, HoldExpired,
        IdempotencyKeyReused, Internal, InvalidInput, MethodNotAllowed, NonexistentLocalTime,
        NotBookable, NotFound, PreconditionFailed, PreconditionRequired, RequestInProgress,
        SlotTaken, TooManyRequests, Unauthorized, Unavailable, UnsupportedMediaType,
    };
    match problem {
        Unauthorized | Forbidden | TooManyRequests => Some((problem, Outcome::Refused)),
        NotFound | Deleted | Conflict | SlotTaken | HoldExpired | NotBookable
        | PreconditionFailed => Some((problem, Outcome::Failed)),
        InvalidInput | NonexistentLocalTime | AmbiguousLocalTime | MethodNotAllowed
        | PreconditionRequired | RequestInProgress | BodyTooLarge | UnsupportedMediaType
        | IdempotencyKeyReused | Unavailable | Internal => None,
    }
}

/// Whom the request names, where its route says that it does.
async fn named(about: About, parts: &mut Parts) -> Option<Subject<'static>> {
    let id = match about {
        About::Nobody => None,
        About::PatientInQuery => id_in_query(&parts.uri, "patientId"),
        About::PatientInPath | About::AccountInPath | About::ResourceInPath(_) => {
            let path = RawPathParams::from_request_parts(parts, &()).await.ok()?;
            let (_, id) = path.iter().find(|(name, _)| *name == "id")?;
            id.parse().ok().map(|Id(id)| id)
        }
    };
    Some(about.whoever_is(id?))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn named_by(uri: &str) -> Option<Subject<'static>> {
        let request = http::Request::get(uri).body(()).unwrap();
        named(About::PatientInQuery, &mut request.into_parts().0).await
    }

    #[tokio::test]
    async fn the_query_may_name_the_patient_however_it_is_encoded() {
        let id = uuid::Uuid::from_u128(0xab);
        let encoded = id.to_string().replace('0', "%30").replace('-', "%2D");
        for query in [
            format!("limit=1&patientId={id}"),
            format!("patientId={}", id.to_string().to_uppercase()),
            format!("patient%49d={encoded}"),
        ] {
            let uri = format!("/api/notifications?{query}");
            assert_eq!(named_by(&uri).await, Some(Subject::Patient(id)), "{query}");
        }
        for uri in [
            "/api/notifications?patientId=nobody",
            "/api/notifications?patientId=urn:uuid:00000000-0000-0000-0000-0000000000ab",
            "/api/notifications",
        ] {
            assert_eq!(named_by(uri).await, None, "{uri}");
        }
    }
}
