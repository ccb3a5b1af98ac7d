//! `GET /auth/validate`: whether an access token is valid, for clients and services that do not
//! verify it themselves.

use std::sync::Arc;

use api::{
    Problem, ProblemDocument, State,
    layers::{Open, Repeatable, Unrecorded},
};
use axum::{Json, Router};
use http::{HeaderMap, header};
use identity::{Claims, Role};
use route::Route;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::bearer_token::Gate;

/// The route.
pub const ROUTE: Route<Open, Unrecorded, Repeatable> =
    Route::get("/auth/validate").function("validate-token");

/// Serves the route.
pub fn routes(gate: Gate) -> Router {
    ROUTE.served_by(validate_token, Arc::new(gate))
}

/// The claims of a valid access token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "sub": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "role": "CLINICIAN",
    "iss": "patient-management",
    "sid": "2b1f6a0d-93c8-4e5f-8a77-6c1d0e2f4b55",
    "jti": "6f1c2c0e-5f0b-4b7e-9d8e-3f1f6f0c9a11",
    "iat": 1_767_225_600,
    "exp": 1_767_226_500
}))]
pub struct ValidToken {
    /// The id of the user.
    sub: Uuid,
    /// The user's role, which determines their permissions.
    role: Role,
    /// The issuer.
    iss: String,
    /// The session that it belongs to, which has not ended.
    sid: Uuid,
    /// The id of the token.
    jti: Uuid,
    /// Issued at, in seconds since 1970.
    iat: i64,
    /// Expires at, in seconds since 1970.
    exp: i64,
}

impl From<Claims> for ValidToken {
    fn from(claims: Claims) -> Self {
        let Claims {
            iss,
            sub,
            role,
            sid,
            jti,
            iat,
            exp,
            ..
        } = claims;
        Self {
            sub,
            role,
            iss,
            sid,
            jti,
            iat,
            exp,
        }
    }
}

/// Validate an access token
///
/// Returns the token's claims if it is valid and its session has not ended.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "auth",
    responses(
        (status = 200, description = "The token is valid", body = ValidToken),
        (status = 401, description = "The token is invalid or missing", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Try again in a moment", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn validate_token(
    State(gate): State<Arc<Gate>>,
    headers: HeaderMap,
) -> Result<Json<ValidToken>, Problem> {
    let authorization = only_authorization(&headers).ok_or_else(Problem::unauthorized)?;
    let claims = gate.verify(authorization).await?;
    Ok(Json(claims.into()))
}

/// The header, if there is exactly one: with two, it would be unclear which one counts.
fn only_authorization(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let only = values.next()?;
    if values.next().is_some() {
        return None;
    }
    only.to_str().ok()
}
