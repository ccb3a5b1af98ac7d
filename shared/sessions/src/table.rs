//! How sessions are read from their table and written to it.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{
        transact_write_items::TransactWriteItemsError,
        update_item::{UpdateItemError, UpdateItemOutput},
    },
    types::{AttributeValue, KeysAndAttributes, Put, TransactWriteItem},
};
use serde::{Serialize, de::DeserializeOwned};
use store::{MissingSetting, Table, failure_code};

use crate::unavailable::SessionsUnavailable;

/// How often a rotation is retried that collided with another one of the same session.
pub(crate) const ATTEMPTS: u32 = 5;

/// The table of all sessions.
#[derive(Debug)]
pub struct Sessions {
    pub(crate) table: Table,
}

store::from_environment!(Sessions);

impl Sessions {
    /// The table named by `SESSIONS_TABLE`. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self::new(Table::from_env("SESSIONS_TABLE")?))
    }

    /// The sessions in this table.
    #[must_use]
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Reads these items with strong consistency.
    pub(crate) async fn read<const N: usize>(
        &self,
        keys: [(String, String); N],
    ) -> Result<Found, SessionsUnavailable> {
        let keys = keys
            .into_iter()
            .map(|(pk, sk)| {
                HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
            })
            .collect();
        let keys = KeysAndAttributes::builder()
            .consistent_read(true)
            .set_keys(Some(keys))
            .build()?;
        let answer = self
            .table
            .client()
            .await
            .batch_get_item()
            .request_items(self.table.name(), keys)
            .send()
            .await
            .map_err(|error| SessionsUnavailable::Failed(failure_code(&error)))?;
        // An item that was not read may exist all the same.
        if answer
            .unprocessed_keys()
            .is_some_and(|keys| !keys.is_empty())
        {
            return Err(SessionsUnavailable::Failed("throttled".to_owned()));
        }
        let mut responses = answer.responses.unwrap_or_default();
        let items = responses.remove(self.table.name()).unwrap_or_default();
        Ok(Found(items))
    }

    pub(crate) fn put(
        &self,
        item: &impl Serialize,
    ) -> Result<TransactWriteItem, SessionsUnavailable> {
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(serde_dynamo::to_item(item)?))
            .condition_expression("attribute_not_exists(pk)")
            .build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

/// Items that were read.
pub(crate) struct Found(Vec<HashMap<String, AttributeValue>>);

impl Found {
    /// The item with this sort key.
    pub(crate) fn take<T: DeserializeOwned>(
        &mut self,
        sk: &str,
    ) -> Result<Option<T>, serde_dynamo::Error> {
        let is_it = |item: &HashMap<String, AttributeValue>| {
            item.get("sk")
                .and_then(|key| key.as_s().ok())
                .map(String::as_str)
                == Some(sk)
        };
        let position = self.0.iter().position(is_it);
        position
            .map(|position| serde_dynamo::from_item(self.0.swap_remove(position)))
            .transpose()
    }
}

/// Whether somebody else changed the session at the same time.
pub(crate) fn is_collision(error: &SdkError<TransactWriteItemsError>) -> bool {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            let mut codes = cancelled
                .cancellation_reasons()
                .iter()
                .filter_map(|reason| reason.code());
            codes.any(|code| matches!(code, "ConditionalCheckFailed" | "TransactionConflict"))
        }
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => true,
        _ => false,
    }
}

/// Success if the update was made, or if another change has made it unnecessary.
pub(crate) fn unless_condition_failed(
    updated: Result<UpdateItemOutput, SdkError<UpdateItemError>>,
) -> Result<(), SessionsUnavailable> {
    match updated {
        Ok(_) => Ok(()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(SessionsUnavailable::Failed(failure_code(&error))),
    }
}

pub(crate) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
