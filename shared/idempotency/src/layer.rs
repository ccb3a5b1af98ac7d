//! Around the routes of a service: tells a request that comes again from a new one.

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
    // The handler did not come to the end of its work. Undone before the client hears of
    // it, so that it finds no lock when it tries again.
    if let Err(error) = transaction.rollback().await {
        let cause = &error as &dyn std::error::Error;
        tracing::warn!(cause, "the database undoes it by itself");
    }
    response
}

/// Which request it is, if its caller gave it a key. Without a caller it is nobody's, and
/// the handler's to refuse.
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

/// The path, with an id in one form, however it was written: as the route is asked for.
async fn path_of(parts: &mut Parts) -> String {
    let id = PathId::from_request_parts(parts, &()).await;
    match (parts.extensions.get::<MatchedPath>(), id) {
        (Some(route), Ok(PathId(id))) => route.as_str().replace("{id}", &id.to_string()),
        // Without an id; or with something that is none, which the handler refuses.
        _ => parts.uri.path().to_owned(),
    }
}
