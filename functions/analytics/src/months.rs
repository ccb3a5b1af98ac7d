//! Reading counts: the items of a month are in one partition, in the order of their days, and their
//! shards in another one.

use api::Problem;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::NaiveDate;
use futures::{StreamExt as _, TryStreamExt as _, future::try_join, stream};
use store::Table;

use crate::{
    additions::{shards_of, without_shard},
    counters::Item,
    period::Period,
};

/// How many months are read concurrently.
const MONTHS_AT_A_TIME: usize = 4;

/// Sorts after everything that may follow a day in a sort key.
const AFTER_A_DAY: &str = "#~";

/// Reads the items of a period, whose sort keys begin with their days, from the partitions of its
/// months. `item` is given the sort key, which is the same for all shards of an item; whoever reads
/// them adds them up.
///
/// # Errors
/// If the table does not respond, or an item cannot be read.
pub(crate) async fn read<T, E>(
    table: &Table,
    period: Period,
    partition: impl Fn(NaiveDate) -> String,
    item: impl Fn(&str, &Item) -> Result<T, E>,
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

/// Reads the items of a partition, and their shards, whose sort keys are between two, inclusive.
///
/// # Errors
/// If the table does not respond, or an item cannot be read.
pub(crate) async fn read_between<T, E>(
    table: &Table,
    partition: String,
    between: (String, String),
    item: impl Fn(&str, &Item) -> Result<T, E>,
) -> Result<Vec<T>, Problem>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let shards = read_partition(table, shards_of(&partition), &between, |sort, shard| {
        item(without_shard(sort).unwrap_or_default(), shard)
    });
    let items = read_partition(table, partition, &between, &item);
    // Boxed: the AWS SDK's futures inside are large.
    let (mut read, shards) = Box::pin(try_join(items, shards)).await?;
    read.extend(shards);
    Ok(read)
}

async fn read_partition<T, E>(
    table: &Table,
    partition: String,
    (first, last): &(String, String),
    item: impl Fn(&str, &Item) -> Result<T, E>,
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
        .expression_attribute_values(":from", AttributeValue::S(first.clone()))
        .expression_attribute_values(":to", AttributeValue::S(last.clone()))
        .into_paginator()
        .items()
        .send();
    let mut read = Vec::new();
    while let Some(next) = items.next().await {
        let next = next?;
        let sort = next.get("sk").and_then(|key| key.as_s().ok());
        let sort = sort.map(String::as_str).unwrap_or_default();
        read.push(item(sort, &next).map_err(Problem::internal)?);
    }
    Ok(read)
}
