//! All services of the system: their routes, and what they say about them.

use route::Row;
use utoipa::openapi::OpenApi;

/// A service: a folder of `functions/`.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The name of the folder and of the crate.
    pub name: &'static str,
    /// Its routes, in the order of its list.
    pub routes: &'static [Row],
    /// Its part of the API's document.
    pub document: fn() -> OpenApi,
}

// Collected when this is compiled, so that no service has to be named here.
include!(concat!(env!("OUT_DIR"), "/services.rs"));
