//! What a failed statement means to the caller.

use std::{error::Error, sync::Arc};

use sql_state::Meaning;
use tonic::Status;

/// A statement was prepared before a migration changed its result type.
#[derive(Debug, thiserror::Error)]
#[error("a statement is outdated")]
struct Outdated;

/// Logs why the statement failed, and tells the caller whether retrying helps.
pub(crate) fn failed(error: &sqlx::Error) -> Status {
    let meaning = sql_state::meaning(error);
    if meaning == Meaning::Fault {
        tracing::error!(cause = %error, "a statement failed");
        return Status::internal("the billing service failed; its log says why");
    }
    tracing::warn!(cause = %error, "the database cannot respond");
    let mut status = Status::unavailable("the billing service's database cannot respond right now");
    if meaning == Meaning::Outdated {
        sql_state::forget_statements();
        status.set_source(Arc::new(Outdated));
    }
    status
}

/// Runs the call, and once more if one of its statements was outdated, so that callers do not
/// notice a migration.
pub(crate) async fn once_more_if_outdated<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    match call().await {
        Err(status)
            if status
                .source()
                .is_some_and(<dyn Error + 'static>::is::<Outdated>) =>
        {
            call().await
        }
        result => result,
    }
}
