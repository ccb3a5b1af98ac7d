//! Limits the number of concurrent calls: a call beyond the limit is rejected at once, while its
//! caller has time to try elsewhere or later, instead of slowing down all of them.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::sync::Semaphore;
use tonic::Status;

use super::refusal::refusal;

/// Permits for calls that run at the same time.
#[derive(Debug, Clone)]
pub struct Capacity(Arc<Semaphore>);

impl Capacity {
    /// Room for this many calls.
    #[must_use]
    pub fn new(calls: usize) -> Self {
        Self(Arc::new(Semaphore::new(calls)))
    }
}

/// Rejects the call if there is no room for it.
pub(crate) async fn keep(
    State(Capacity(room)): State<Capacity>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_permit) = room.try_acquire() else {
        return refusal(Status::resource_exhausted(
            "the billing service is overloaded, please try again",
        ));
    };
    next.run(request).await
}
