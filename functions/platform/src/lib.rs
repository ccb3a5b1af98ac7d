//! What belongs to no single service: filling a fresh deployment with what all of them
//! need, putting back what nobody could read, telling whether the system is healthy, and its
//! documentation.

pub mod docs;
pub mod health;
mod kafka;
pub mod openapi;
mod preflight;
pub mod provision;
pub mod redrive_dead_letters;
mod static_file;
pub mod unrouted;

/// The platform's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    tags((name = "platform", description = "Health and documentation of the system")),
    paths(health::check_health, openapi::get_document, docs::get_page, docs::get_asset)
)]
pub struct Documentation;
