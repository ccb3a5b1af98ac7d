//! The notes on what appointments were last counted as.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Put, TransactWriteItem};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use events::AppointmentEvent;
use store::{Table, failure_code};
use uuid::Uuid;

use super::counted::Counted;
use crate::{counters::Item, counting::CountError};

/// The most items that one request may read
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>).
const MOST_READ: usize = 100;

const PARTITION: &str = "APPOINTMENT#";
const SORT: &str = "COUNTED";

/// The notes on some appointments, as far as they have been read.
pub(crate) struct Notes<'a> {
    table: &'a Table,
    /// `None` for appointments that have none.
    known: HashMap<Uuid, Option<Counted>>,
}

impl<'a> Notes<'a> {
    /// The notes in this table, of which none has been read yet.
    pub(crate) fn of(table: &'a Table) -> Self {
        Self {
            table,
            known: HashMap::new(),
        }
    }

    /// What an appointment was last counted as.
    pub(crate) fn on(&self, appointment: Uuid) -> Option<&Counted> {
        self.known.get(&appointment)?.as_ref()
    }

    /// Reads the notes on the appointments of these events that have not been read.
    ///
    /// # Errors
    /// If the table does not respond, or a note cannot be read.
    pub(crate) async fn read(&mut self, events: &[AppointmentEvent]) -> Result<(), CountError> {
        let appointments = events.iter().map(|event| event.appointment_id);
        let unknown: HashSet<Uuid> = appointments
            .filter(|appointment| !self.known.contains_key(appointment))
            .collect();
        let unknown: Vec<Uuid> = unknown.into_iter().collect();
        for appointments in unknown.chunks(MOST_READ) {
            let mut read = self.fetch(appointments).await?;
            for appointment in appointments {
                let note = read.remove(&partition(*appointment));
                self.known.insert(*appointment, note);
            }
        }
        Ok(())
    }

    /// The notes on these appointments, by their partitions.
    async fn fetch(&self, appointments: &[Uuid]) -> Result<HashMap<String, Counted>, CountError> {
        let name = self.table.name();
        let keys = appointments.iter().map(|appointment| key(*appointment));
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(keys.collect()))
            .consistent_read(true)
            .build()?;
        let mut wanted = HashMap::from([(name.to_owned(), wanted)]);
        let mut read = HashMap::with_capacity(appointments.len());
        let mut pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_millis(500))
            .with_max_times(8)
            .build();
        loop {
            let get = self.table.client().await.batch_get_item();
            let answer = get
                .set_request_items(Some(wanted))
                .send()
                .await
                .map_err(|error| CountError::Reading(failure_code(&error)))?;
            let items = answer.responses.and_then(|mut tables| tables.remove(name));
            for item in items.unwrap_or_default() {
                let partition = item.get("pk").and_then(|key| key.as_s().ok()).cloned();
                let note = serde_dynamo::from_item(item)?;
                read.insert(partition.unwrap_or_default(), note);
            }
            // What a busy table had no time for.
            wanted = answer.unprocessed_keys.unwrap_or_default();
            if wanted.is_empty() {
                return Ok(read);
            }
            let Some(pause) = pauses.next() else {
                return Err(CountError::Reading("the table is too busy".to_owned()));
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Notes how an appointment is counted now, if the note is still the one that was read.
    ///
    /// # Errors
    /// If the note cannot be written.
    pub(crate) fn replace(
        &self,
        appointment: Uuid,
        after: &Counted,
    ) -> Result<TransactWriteItem, CountError> {
        let mut item: Item = serde_dynamo::to_item(after)?;
        item.extend(key(appointment));
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(item));
        let put = match self.on(appointment) {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(before) => {
                let before = AttributeValue::S(before.event_id.to_string());
                put.condition_expression("eventId = :before")
                    .expression_attribute_values(":before", before)
            }
        };
        Ok(TransactWriteItem::builder().put(put.build()?).build())
    }

    /// These are now in the table.
    pub(crate) fn are_now(&mut self, after: HashMap<Uuid, Counted>) {
        let after = after.into_iter();
        self.known
            .extend(after.map(|(appointment, note)| (appointment, Some(note))));
    }

    /// They may have changed.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}

fn partition(appointment: Uuid) -> String {
    format!("{PARTITION}{appointment}")
}

fn key(appointment: Uuid) -> Item {
    Item::from([
        ("pk".to_owned(), AttributeValue::S(partition(appointment))),
        ("sk".to_owned(), AttributeValue::S(SORT.to_owned())),
    ])
}
