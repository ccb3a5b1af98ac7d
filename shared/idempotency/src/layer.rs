//! The layer around the routes of a service that recognises repeated requests.

use api::{PathId, Problem, read_body};
use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts as _, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::request::Parts;
use identity::Caller;
use sqlx::PgPool;

use crate::{
    key::Key,
    request_identity::RequestIdentity,
    stored_answer::StoredAnswers,
    unit_of_work::{Begun, UnitOfWork},
};

/// The routes, with responses stored in this schema of the database for requests that have an
/// `Idempotency-Key`. A request without one is processed every time.
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
    let begun = Begun::default();
    request.extensions_mut().insert(UnitOfWork {
        database,
        answers,
        request: identity,
        begun: begun.clone(),
    });
    let response = next.run(request).await;

    let Some(transaction) = begun.lock().await.take() else {
        return response;
    };
    // The handler did not finish its work. It is rolled back before the client gets the response,
    // so that a retry finds no lock.
    if let Err(error) = transaction.rollback().await {
        let cause = &error as &dyn std::error::Error;
        tracing::warn!(
            cause,
            "the rollback failed: the database rolls back by itself"
        );
    }
    response
}

/// The request's identity, if it has a key. Without a caller it has none, and the handler rejects
/// it.
async fn identify(request: Request) -> Result<(Request, Option<RequestIdentity>), Problem> {
    let (mut parts, body) = request.into_parts();
    let Ok(caller) = Caller::of(&parts.extensions) else {
        return Ok((Request::from_parts(parts, body), None));
    };
    let Some(key) = Key::of(&parts.headers)? else {
        return Ok((Request::from_parts(parts, body), None));
    };
    let path = path_of(&mut parts).await;
    let body = read_body(body).await?;
    let identity = RequestIdentity::of(caller, &key, &path, &parts, &body);
    Ok((Request::from_parts(parts, Body::from(body)), Some(identity)))
}

/// The path of the route, with an id in canonical form however it was written.
pub(crate) async fn path_of(parts: &mut Parts) -> String {
    let id = PathId::from_request_parts(parts, &()).await;
    match (parts.extensions.get::<MatchedPath>(), id) {
        (Some(route), Ok(PathId(id))) => route.as_str().replace("{id}", &id.to_string()),
        // No id; or an invalid one, which the handler rejects.
        _ => parts.uri.path().to_owned(),
    }
}
