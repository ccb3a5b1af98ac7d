//! The page that shows the API's description, and lets one log in and try the API.
//!
//! Everything that the page loads comes from here: Swagger UI, taken out of its archive
//! when this crate is built, and a frame of our own around it. All addresses in it are
//! relative to `/docs`, so that it works behind any stage, host and base path.

use axum::{
    Extension, Router,
    extract::Path,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use api::{
    AskedPath, Problem,
    layers::{Open, Repeatable, Unrecorded},
};
use route::Route;

use crate::static_file::{IfNoneMatch, StaticFile};

const PAGE_FILE: StaticFile = StaticFile {
    content_type: "text/html; charset=utf-8",
    cache_control: "no-cache",
    content: include_str!("docs/page.html"),
};

/// What the page loads, by name. The version of Swagger UI changes with a deployment, and
/// the page must not meet files of another one for long.
const ASSETS: [(&str, StaticFile); 5] = [
    (
        "page.css",
        asset("text/css; charset=utf-8", include_str!("docs/page.css")),
    ),
    (
        "page.js",
        asset(
            "text/javascript; charset=utf-8",
            include_str!("docs/page.js"),
        ),
    ),
    (
        "icon.svg",
        asset("image/svg+xml", include_str!("docs/icon.svg")),
    ),
    (
        "swagger-ui.css",
        asset(
            "text/css; charset=utf-8",
            include_str!(concat!(env!("OUT_DIR"), "/swagger-ui.css")),
        ),
    ),
    (
        "swagger-ui-bundle.js",
        asset(
            "text/javascript; charset=utf-8",
            include_str!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js")),
        ),
    ),
];

const fn asset(content_type: &'static str, content: &'static str) -> StaticFile {
    StaticFile {
        content_type,
        cache_control: "public, max-age=300",
        content,
    }
}

/// What the page may do: run and show what comes from here, call the API, and nothing
/// else. A token that it holds has nowhere to go.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The route of the page.
pub const PAGE: Route<Open, Unrecorded, Repeatable> = Route::get("/docs").function("docs");

/// The route of what it loads.
pub const ASSET: Route<Open, Unrecorded, Repeatable> = Route::get("/docs/{file+}").function("docs");

/// Serves both routes.
pub fn routes() -> Router {
    PAGE.served_by(get_page, ())
        .merge(ASSET.served_by(get_asset, ()))
}

/// The API's description, to read and to try
///
/// A page for people: log in, and call every route from the browser.
#[utoipa::path(
    get,
    path = PAGE.path(),
    tag = "platform",
    operation_id = "getDocumentationPage",
    params(IfNoneMatch),
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String,
         headers(("ETag" = String, description = "The version"))),
        (status = 304, description = "Unchanged since the version in `If-None-Match`",
         headers(("ETag" = String, description = "The version"))),
    ),
)]
pub(crate) async fn get_page(
    Extension(AskedPath(asked)): Extension<AskedPath>,
    headers: HeaderMap,
) -> Response {
    if asked.ends_with('/') {
        return without_slash();
    }
    secured(PAGE_FILE.answer(&headers))
}

/// A file of the page
///
/// Its script, its style, its icon.
#[utoipa::path(
    get,
    path = ASSET.path(),
    tag = "platform",
    operation_id = "getDocumentationAsset",
    params(("file" = String, Path, description = "Its name", example = "page.css"), IfNoneMatch),
    responses(
        (status = 200, description = "The file", headers(("ETag" = String, description = "The version")),
         content((String = "text/css"), (String = "text/javascript"), (String = "image/svg+xml"))),
        (status = 304, description = "Unchanged since the version in `If-None-Match`",
         headers(("ETag" = String, description = "The version"))),
        (status = 404, description = "The page has no such file", body = api::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_asset(
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, asset) = ASSETS
        .iter()
        .find(|(name, _)| *name == file)
        .ok_or_else(|| Problem::not_found("The documentation has no such file"))?;
    Ok(secured(asset.answer(&headers)))
}

/// The page's addresses are relative to the path without a slash at its end.
fn without_slash() -> Response {
    let location = HeaderValue::from_static("../docs");
    (
        StatusCode::PERMANENT_REDIRECT,
        [(header::LOCATION, location)],
    )
        .into_response()
}

fn secured(mut response: Response) -> Response {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
