//! Repeats a request that coincided with a migration.

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    middleware::Next,
    response::Response,
};

use crate::{MAX_BODY_BYTES, Problem, database::failed_as_outdated, read_body};

/// Runs the request once more if one of its statements was prepared before a migration changed its
/// result type. PostgreSQL rejects such a statement, and the client would get an error that is over
/// by the time it reads of it.
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
    match response.extensions().get::<Problem>() {
        Some(problem) if failed_as_outdated(problem) => {
            tracing::info!("a statement was outdated: running the request once more");
            sql_state::forget_statements();
            next.run(request()).await
        }
        _ => response,
    }
}
