//! Repeats a request that coincided with a migration or with another request.

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    middleware::Next,
    response::Response,
};

use crate::{MAX_BODY_BYTES, Problem, database::meaning_of, read_body};

/// Runs the request once more if one of its statements was prepared before a migration changed its
/// result type, or if its transaction was the one that PostgreSQL ended so that others may go on. The
/// client would get an error that is over by the time it reads of it.
pub(crate) async fn once_more(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // A larger body is rejected before any statement runs.
    let is_small = |size: u64| usize::try_from(size).is_ok_and(|size| size <= MAX_BODY_BYTES);
    if !body.size_hint().exact().is_some_and(is_small) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(problem) => return axum::response::IntoResponse::into_response(problem),
    };
    let request = || Request::from_parts(parts.clone(), Body::from(body.clone()));
    let response = next.clone().run(request()).await;
    // In both cases, nothing of its transaction has had an effect, and what else it has done (counted an
    // attempt, begun or ended a session) may be done twice.
    let failed_with = response.extensions().get::<Problem>().and_then(meaning_of);
    if !failed_with.is_some_and(sql_state::may_run_again) {
        return response;
    }
    tracing::info!("running the request once more");
    next.run(request()).await
}
