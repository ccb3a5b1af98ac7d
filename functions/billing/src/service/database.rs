//! What a failed statement means to the caller.

use std::{error::Error, sync::Arc};

use sql_state::Meaning;
use tonic::Status;

/// A call failed in a way that is over at once, such as a statement that was prepared before a migration,
/// or a transaction that gave way to another.
#[derive(Debug, thiserror::Error)]
#[error("the call may be run again")]
struct MayRunAgain;

/// Logs why the statement failed, and tells the caller whether retrying helps.
pub(crate) fn failed(error: &sqlx::Error) -> Status {
    let meaning = sql_state::meaning(error);
    if meaning == Meaning::Fault {
        tracing::error!(cause = %error, "a statement failed");
        return Status::internal("the billing service failed; its log says why");
    }
    tracing::warn!(cause = %error, "the database cannot respond");
    let mut status = Status::unavailable("the billing service's database cannot respond right now");
    if sql_state::may_run_again(meaning) {
        status.set_source(Arc::new(MayRunAgain));
    }
    status
}

/// Runs the call, and once more if that helps at once, so that callers do not notice a migration, or that
/// others were changing the same things.
pub(crate) async fn once_more<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    match call().await {
        Err(status)
            if status
                .source()
                .is_some_and(<dyn Error + 'static>::is::<MayRunAgain>) =>
        {
            tracing::info!("running the call once more");
            call().await
        }
        result => result,
    }
}
