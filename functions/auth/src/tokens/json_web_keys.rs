//! `GET /auth/.well-known/jwks.json`: the public keys, for anyone who verifies access tokens
//! themselves.

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

/// How long this function caches the keys: whoever asks because of a new key should get it.
pub const KEPT_FOR: Duration = Duration::from_secs(10);

/// As long as our other functions cache the keys.
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
/// A JSON Web Key Set (RFC 7517). A token identifies its key by `kid`; if that key is not in your
/// copy of the set, it may be newer than your copy.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "auth",
    responses(
        (status = 200, description = "The keys", body = PublicKeys,
         headers(("Cache-Control" = String, description = "How long the keys may be cached"))),
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
