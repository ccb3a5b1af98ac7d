//! Reading counts: the items of a month are in one partition, in the order of their days.

use api::Problem;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::NaiveDate;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store::Table;

use crate::{counters::Item, period::Period};

/// How many months are read concurrently.
const MONTHS_AT_A_TIME: usize = 4;

/// Sorts after everything that may follow a day in a sort key.
const AFTER_A_DAY: &str = "#~";

/// Reads the items of a period, whose sort keys begin with their days, from the partitions of its
/// months.
///
/// # Errors
/// If the table does not respond, or an item cannot be read.
pub(crate) async fn read<T, E>(
    table: &Table,
    period: Period,
    partition: impl Fn(NaiveDate) -> String,
    item: impl Fn(&Item) -> Result<T, E>,
) -> Result<Vec<T>, Problem>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let months: Vec<Vec<T>> = stream::iter(period.months().map(partition))
        .map(|month| {
            let last = format!("{}{AFTER_A_DAY}", period.to());
            read_between(table, month, (period.from().to_string(), last), &item)
        })
        .buffer_unordered(MONTHS_AT_A_TIME)
        .try_collect()
        .await?;
    Ok(months.into_iter().flatten().collect())
}

/// Reads the items of a partition whose sort keys are between two, inclusive.
///
/// # Errors
/// If the table does not respond, or an item cannot be read.
pub(crate) async fn read_between<T, E>(
    table: &Table,
    partition: String,
    (first, last): (String, String),
    item: impl Fn(&Item) -> Result<T, E>,
) -> Result<Vec<T>, Problem>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut items = table
        .client()
        .await
        .query()
        .table_name(table.name())
        .consistent_read(true)
        .key_condition_expression("pk = :partition AND sk BETWEEN :from AND :to")
        .expression_attribute_values(":partition", AttributeValue::S(partition))
        .expression_attribute_values(":from", AttributeValue::S(first))
        .expression_attribute_values(":to", AttributeValue::S(last))
        .into_paginator()
        .items()
        .send();
    let mut read = Vec::new();
    while let Some(next) = items.next().await {
        read.push(item(&next?).map_err(Problem::internal)?);
    }
    Ok(read)
}
