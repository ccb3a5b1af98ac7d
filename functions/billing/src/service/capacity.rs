//! How many calls run at a time: one too many is refused at once, while there is time
//! for its caller to try elsewhere or later, instead of making all of them slow.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::sync::Semaphore;
use tonic::Status;

use super::refusal::refusal;

/// Room for calls that run at the same time.
#[derive(Debug, Clone)]
pub struct Capacity(Arc<Semaphore>);

impl Capacity {
    /// Room for this many.
    #[must_use]
    pub fn new(calls: usize) -> Self {
        Self(Arc::new(Semaphore::new(calls)))
    }
}

/// Refuses the call if there is no room for it.
pub(crate) async fn keep(
    State(Capacity(room)): State<Capacity>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_permit) = room.try_acquire() else {
        return refusal(Status::resource_exhausted(
            "the billing service has too much to do, please try again",
        ));
    };
    next.run(request).await
}
