//! What is to be added to which counters: of one event, or of many together.
//!
//! Counters are kept in shards, one for each partition that events come from, so that batches of
//! different partitions never write the same item. Whoever reads adds them up.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{AttributeValue, TransactWriteItem, Update},
};
use store::Table;

/// The partition with the shards of a partition's items. What was counted before there were shards is
/// in the partition itself, and is added to what is in here.
pub(crate) fn shards_of(partition: &str) -> String {
    format!("{partition}#SHARDS")
}

/// The sort key of an item, from that of one of its shards.
pub(crate) fn without_shard(sort: &str) -> Option<&str> {
    sort.rsplit_once('#').map(|(sort, _)| sort)
}

/// Where an item of counters is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The partition key.
    pub(crate) partition: String,
    /// The sort key, without the shard.
    pub(crate) sort: String,
}

/// What is to be added to which counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Additions(BTreeMap<Place, BTreeMap<&'static str, i128>>);

impl Additions {
    /// Adds to a counter.
    pub(crate) fn add(&mut self, place: Place, counter: &'static str, number: i128) {
        let counters = self.0.entry(place).or_default();
        *counters.entry(counter).or_default() += number;
    }

    /// Adds all of these.
    pub(crate) fn add_all(&mut self, others: &Self) {
        for (place, counters) in &others.0 {
            for (counter, number) in counters {
                self.add(place.clone(), counter, *number);
            }
        }
    }

    /// How many items it takes to add these as well, at most.
    pub(crate) fn items_with(&self, others: &Self) -> usize {
        let new = others.0.keys().filter(|place| !self.0.contains_key(place));
        self.0.len() + new.count()
    }

    /// The writes that add to this shard. What adds up to nothing is not written.
    pub(crate) fn writes(
        &self,
        table: &Table,
        shard: i64,
    ) -> Result<Vec<TransactWriteItem>, BuildError> {
        let places = self.0.iter();
        let places = places.filter(|(_, counters)| counters.values().any(|number| *number != 0));
        places
            .map(|(place, counters)| add(table, place, shard, counters))
            .collect()
    }
}

fn add(
    table: &Table,
    place: &Place,
    shard: i64,
    counters: &BTreeMap<&'static str, i128>,
) -> Result<TransactWriteItem, BuildError> {
    let sort = format!("{}#{shard}", place.sort);
    let mut update = Update::builder()
        .table_name(table.name())
        .key("pk", AttributeValue::S(shards_of(&place.partition)))
        .key("sk", AttributeValue::S(sort));
    let mut additions = Vec::new();
    for (name, number) in counters.iter().filter(|(_, number)| **number != 0) {
        additions.push(format!("#{name} :{name}"));
        update = update
            .expression_attribute_names(format!("#{name}"), *name)
            .expression_attribute_values(format!(":{name}"), AttributeValue::N(number.to_string()));
    }
    let update = update.update_expression(format!("ADD {}", additions.join(", ")));
    Ok(TransactWriteItem::builder().update(update.build()?).build())
}
