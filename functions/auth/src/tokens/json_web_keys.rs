//! `GET /auth/.well-known/jwks.json`: the public keys, for everybody who verifies access
//! tokens themselves.

use std::{sync::Arc, time::Duration};

use api::{
    Problem, ProblemDocument, State,
    layers::{Open, Repeatable, Unrecorded},
};
use axum::{Json, Router};
use http::{HeaderName, header};
use identity::PublicKeys;
use route::Route;

use super::keys_in_aws::PublicKeysTable;

/// How long this function keeps the keys: who comes for a key that is new should find it.
pub const KEPT_FOR: Duration = Duration::from_secs(10);

/// As long as other functions of ours keep the keys.
const CACHE_CONTROL: &str = "public, max-age=300";

/// The route.
pub const ROUTE: Route<Open, Unrecorded, Repeatable> =
    Route::get("/auth/.well-known/jwks.json").function("json-web-keys");

/// Serves the route.
pub fn routes(public_keys: PublicKeysTable) -> Router {
    ROUTE.served_by(json_web_keys, Arc::new(public_keys.kept_for(KEPT_FOR)))
}

/// Public keys of the access tokens
///
/// A JSON Web Key Set (RFC 7517). A token names its key by `kid`; a key that is not in
/// the set may be newer than your copy of it.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "auth",
    responses(
        (status = 200, description = "The keys", body = PublicKeys,
         headers(("Cache-Control" = String, description = "How long the keys may be kept"))),
        (status = 503, description = "Try again in a moment", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn json_web_keys(
    State(public_keys): State<Arc<PublicKeysTable>>,
) -> Result<([(HeaderName, &'static str); 1], Json<PublicKeys>), Problem> {
    let keys = public_keys.keys().await?;
    Ok((
        [(header::CACHE_CONTROL, CACHE_CONTROL)],
        Json(keys.in_use()),
    ))
}
