//! All services of the system, with their routes and their documentation.

use route::Row;
use utoipa::openapi::OpenApi;

/// A service: a folder of `functions/`.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The name of the folder and of the crate.
    pub name: &'static str,
    /// Its routes, in the order of its table of contents.
    pub routes: &'static [Row],
    /// Its part of the API document.
    pub document: fn() -> OpenApi,
}

// Collected at compile time, so that no service has to be listed here.
include!(concat!(env!("OUT_DIR"), "/services.rs"));
