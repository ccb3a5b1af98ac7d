//! A DynamoDB table and the client that reaches it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, TransactWriteItem},
};
use backon::{ExponentialBuilder, Retryable as _};
use tokio::sync::OnceCell;

use crate::{MissingSetting, aws_config, failure_code, setting};

/// A table, connected on the first request that needs it.
#[derive(Debug)]
pub struct Table {
    name: String,
    client: OnceCell<Client>,
}

/// Why a transaction changed nothing. Reveals nothing of what the items contain.
#[derive(thiserror::Error)]
pub enum TransactionError {
    /// A condition did not hold. There is one reason per item, in the order of the items.
    #[error("a condition of the transaction does not hold")]
    Refused(Vec<CancellationReason>),
    /// Other writers kept changing the same items.
    #[error("the items stayed in use by others")]
    Conflict,
    /// The table rejected the transaction, or did not respond: with the codes of the reasons.
    #[error("{0}")]
    Failed(String),
}

impl std::fmt::Debug for TransactionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TransactionError")
            .field(&self.to_string())
            .finish()
    }
}

impl Table {
    /// The table whose name is in this setting.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env(name: &'static str) -> Result<Self, MissingSetting> {
        Ok(Self {
            name: setting(name)?,
            client: OnceCell::new(),
        })
    }

    /// The table of this name, called with this client.
    #[must_use]
    pub fn with_client(name: String, client: Client) -> Self {
        Self {
            name,
            client: OnceCell::from(client),
        }
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client to call with.
    pub async fn client(&self) -> &Client {
        self.client
            .get_or_init(|| async { Client::new(aws_config().await) })
            .await
    }

    /// Writes all of these items, or none.
    ///
    /// # Errors
    /// If the items were not written; a conflict with other writers only after a few attempts.
    pub async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<(), TransactionError> {
        // Functions that write the same item at the same time collide, and one of them has to
        // retry; with jitter they do not collide again.
        let attempts = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_millis(500))
            .with_max_times(8);
        (|| self.attempt(items.clone()))
            .retry(attempts)
            .when(|error| matches!(error, TransactionError::Conflict))
            .await
    }

    async fn attempt(&self, items: Vec<TransactWriteItem>) -> Result<(), TransactionError> {
        let request = self.client().await.transact_write_items();
        let written = request.set_transact_items(Some(items)).send().await;
        written.map(|_| ()).map_err(|error| classify(&error))
    }
}

fn classify(error: &SdkError<TransactWriteItemsError>) -> TransactionError {
    let reasons = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons()
        }
        _ => return TransactionError::Failed(failure_code(error)),
    };
    let code = |reason: &CancellationReason| reason.code().unwrap_or("None").to_owned();
    let has = |name: &str| reasons.iter().any(|reason| code(reason) == name);
    if has("TransactionConflict") {
        TransactionError::Conflict
    } else if has("ConditionalCheckFailed") {
        TransactionError::Refused(reasons.to_vec())
    } else {
        let codes: Vec<_> = reasons.iter().map(code).collect();
        TransactionError::Failed(format!("{} ({})", failure_code(error), codes.join(", ")))
    }
}
