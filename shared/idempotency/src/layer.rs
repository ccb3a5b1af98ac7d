//! Around the routes of a service: tells a request that comes again from a new one.

use api::{Problem, RequestId, read_body};
use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts as _, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use identity::Caller;
use sqlx::PgPool;

use crate::{
    key::Key,
    request_identity::RequestIdentity,
    stored_answer::{StoredAnswer, StoredAnswers},
    unit_of_work::{Begun, UnitOfWork},
};

/// The routes, with answers stored in the schema of this database for requests that have
/// an `Idempotency-Key`. A request without one is processed whenever it comes.
pub fn layer(database: PgPool, schema: &'static str, routes: Router) -> Router {
    let answers = StoredAnswers::in_schema(schema);
    routes.route_layer(middleware::from_fn_with_state((database, answers), once))
}

async fn once(
    State((database, answers)): State<(PgPool, StoredAnswers)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut request, identity) = match identify(request).await {
        Ok(identified) => identified,
        Err(problem) => return problem.into_response(),
    };
    let request_id = request.extensions().get::<RequestId>().cloned();
    let begun = Begun::default();
    request.extensions_mut().insert(UnitOfWork {
        database: database.clone(),
        answers: answers.clone(),
        request: identity.clone(),
        begun: begun.clone(),
    });
    let response = next.run(request).await;

    let Some(transaction) = begun.lock().await.take() else {
        return response;
    };
    // The handler did not come to the end of its work. Undone before the client hears of
    // it, so that it finds no lock when it tries again.
    if let Err(error) = transaction.rollback().await {
        let cause = &error as &dyn std::error::Error;
        tracing::warn!(cause, "the database undoes it by itself");
        return response;
    }
    let problem = response.extensions().get::<Problem>();
    if let (Some(identity), Some(problem)) = (identity, problem)
        && is_final(problem.kind().status())
    {
        let answer = problem.to_response(request_id.as_ref().map(RequestId::as_str));
        if let Err(problem) = keep(&database, &answers, &identity, answer).await {
            let cause = problem.causes();
            tracing::warn!(cause, "the answer is not stored, and found anew next time");
        }
    }
    response
}

async fn keep(
    database: &PgPool,
    answers: &StoredAnswers,
    identity: &RequestIdentity,
    answer: Response,
) -> Result<(), Problem> {
    let (answer, _) = StoredAnswer::of(answer).await?;
    answers.keep(database, identity, &answer).await?;
    Ok(())
}

/// Which request it is, if its caller gave it a key. Without a caller it is nobody's, and
/// the handler's to refuse.
async fn identify(request: Request) -> Result<(Request, Option<RequestIdentity>), Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &()).await;
    let Ok(caller) = caller else {
        return Ok((Request::from_parts(parts, body), None));
    };
    let Some(key) = Key::of(&parts.headers)? else {
        return Ok((Request::from_parts(parts, body), None));
    };
    let body = read_body(body).await?;
    let identity = RequestIdentity::of(caller, &key, &parts, &body);
    Ok((Request::from_parts(parts, Body::from(body)), Some(identity)))
}

/// Whether a request that fails with this status is done for. What is our fault, and what
/// says more about the caller or the form than about the request, is tried again.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
                | StatusCode::TOO_MANY_REQUESTS
        )
}
