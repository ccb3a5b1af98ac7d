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

route::service! {
    tags("platform" = "Health and documentation of the system"),
    health::ROUTE => check_health,
    openapi::ROUTE => get_document,
    docs::PAGE => get_page,
    docs::ASSET => get_asset,
}
