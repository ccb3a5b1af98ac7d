//! A DynamoDB table and the client that reaches it.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata as _, SdkError},
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
    /// The table had no room for more writes, even after a few attempts.
    #[error("the table is too busy")]
    Throttled,
    /// The table will never accept this transaction, because of what is in it or in the items: with
    /// the codes of the reasons.
    #[error("{0}")]
    Invalid(String),
    /// The table did not respond, or failed: with the code of the reason.
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
    /// If the items were not written; a conflict with other writers, or too many writes, only after a
    /// few attempts. If the table does not respond, they may have been written all the same.
    pub async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<(), TransactionError> {
        // Functions that write the same item at the same time collide, and one of them has to
        // retry; with jitter they do not collide again. A table that is paid for by use refuses what
        // is far more than ever before, and makes room meanwhile.
        let attempts = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_millis(500))
            .with_max_times(8);
        (|| self.attempt(items.clone()))
            .retry(attempts)
            .when(TransactionError::is_passing)
            .await
    }

    async fn attempt(&self, items: Vec<TransactWriteItem>) -> Result<(), TransactionError> {
        let request = self.client().await.transact_write_items();
        let written = request.set_transact_items(Some(items)).send().await;
        written.map(|_| ()).map_err(|error| classify(&error))
    }
}

impl TransactionError {
    const fn is_passing(&self) -> bool {
        matches!(self, Self::Conflict | Self::Throttled)
    }
}

fn classify(error: &SdkError<TransactWriteItemsError>) -> TransactionError {
    let reasons = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons()
        }
        Some(error) if error.code() == Some("ValidationException") => {
            return TransactionError::Invalid("ValidationException".to_owned());
        }
        _ => return TransactionError::Failed(failure_code(error)),
    };
    let codes = reasons.iter().filter_map(CancellationReason::code);
    let codes: BTreeSet<&str> = codes.filter(|code| *code != "None").collect();
    if codes.contains("TransactionConflict") {
        TransactionError::Conflict
    } else if codes.contains("ThrottlingError") || codes.contains("ProvisionedThroughputExceeded") {
        TransactionError::Throttled
    } else if codes.contains("ConditionalCheckFailed") {
        TransactionError::Refused(reasons.to_vec())
    } else {
        let codes: Vec<_> = codes.into_iter().collect();
        let codes = format!("{} ({})", failure_code(error), codes.join(", "));
        TransactionError::Invalid(codes)
    }
}
