//! Puts the records of the dead-letter queue back on Kafka, after what made them unreadable
//! was repaired.
//!
//! Called by whoever operates the system. A record goes to the end of its old partition,
//! with its old key, value and headers, and its letters are deleted once Kafka has it.
//! Consumers that had handled it before know it by their marks. Whoever still cannot read it
//! puts it aside again.
//!
//! All letters are taken before the first record is put back, so that none is taken twice
//! that comes back meanwhile. A run that dies leaves its letters in the queue, where they
//! reappear when their time is over; that a record is then put back twice does no harm.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use aws_sdk_sqs::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use contracts::TOPICS;
use events::{DeadLetter, DeadLetterQueue, Taken};
use kafka::Cluster;
use rskafka::{
    client::partition::{Compression, PartitionClient},
    record::{Record, RecordAndOffset},
};
use serde::Serialize;
use store::{aws_config, setting};

use crate::kafka::{Answer, Kafka};

/// How many letters one run takes.
const LETTERS: usize = 1000;

/// How many bytes of letters one run takes: it has them all in its memory.
const BYTES: usize = 64 * 1024 * 1024;

/// For how long others do not see the letters that a run has taken: longer than the function
/// may run.
const HIDDEN: Duration = Duration::from_secs(330);

/// How long the brokers may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many bytes a record may have that is read from Kafka. One that is larger comes all
/// the same: it is the first of the answer.
const FETCH: i32 = 4 * 1024 * 1024;

/// How long the brokers may wait for a record to read, in milliseconds. It is there, or gone.
const FETCH_WAIT: i32 = 100;

/// What a run has done. There may be more in the queue if `letters` and `left` make 1000
/// together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// How many records are on Kafka again.
    pub redriven: usize,
    /// How many letters told of them: there is one per consumer.
    pub letters: usize,
    /// How many of the letters that were taken stay in the queue. The log says why.
    pub left: usize,
}

/// A partition of a topic.
type PartitionId = (&'static str, i32);

/// Where a record stands: the order that records are put back in.
type Place = (PartitionId, i64);

/// Puts back what is in the queue that `DEAD_LETTER_QUEUE_URL` names, through the
/// brokers that the settings name.
///
/// # Errors
/// If the queue or the brokers cannot be reached at all.
pub async fn redrive() -> anyhow::Result<Redriven> {
    let url = setting("DEAD_LETTER_QUEUE_URL")?;
    let queue = DeadLetterQueue::new(Client::new(aws_config().await), url);
    let kafka = Kafka::connect(&Cluster::from_env()?, PATIENCE).await?;
    let taken = take(&queue).await?;
    let mut done = Redriven::default();

    let mut places: BTreeMap<Place, Vec<(DeadLetter, Taken)>> = BTreeMap::new();
    for taken in taken {
        match readable(&taken) {
            Ok((place, letter)) => places.entry(place).or_default().push((letter, taken)),
            Err(reason) => {
                let reason = format!("{reason:#}");
                tracing::error!(messageId = taken.id, reason, "this letter stays");
                leave(&queue, &taken, &mut done).await;
            }
        }
    }

    let mut partitions = Partitions {
        kafka,
        open: HashMap::new(),
    };
    for ((id, offset), letters) in places {
        let put_back = partitions.put_back(id, offset, &letters).await;
        let (topic, partition) = id;
        if let Err(reason) = &put_back {
            let reason = format!("{reason:#}");
            tracing::error!(
                topic,
                partition,
                offset,
                reason,
                "this record was not put back"
            );
        } else {
            tracing::info!(topic, partition, offset, "this record is on Kafka again");
            done.redriven += 1;
        }
        for (_, taken) in &letters {
            if put_back.is_ok() {
                delete(&queue, taken, &mut done).await;
            } else {
                leave(&queue, taken, &mut done).await;
            }
        }
    }
    Ok(done)
}

async fn take(queue: &DeadLetterQueue) -> anyhow::Result<Vec<Taken>> {
    let mut taken = Vec::new();
    let mut bytes = 0;
    while taken.len() < LETTERS && bytes < BYTES {
        let more = queue.take(HIDDEN).await;
        let more = more.map_err(|error| anyhow!(error).context("the queue does not answer"))?;
        if more.is_empty() {
            break;
        }
        bytes += more.iter().map(Taken::size).sum::<usize>();
        taken.extend(more);
    }
    Ok(taken)
}

/// The letter, if it is one of a record that may go back.
fn readable(taken: &Taken) -> anyhow::Result<(Place, DeadLetter)> {
    let letter = taken.letter().context("it is no letter")?;
    let topic = TOPICS.into_iter().find(|topic| letter.topic == *topic);
    let topic = topic.context("its topic is not ours")?;
    let partition = i32::try_from(letter.partition).context("its partition")?;
    Ok((((topic, partition), letter.offset), letter))
}

async fn delete(queue: &DeadLetterQueue, taken: &Taken, done: &mut Redriven) {
    match queue.delete(taken).await {
        Ok(()) => done.letters += 1,
        Err(error) => {
            tracing::warn!(messageId = taken.id, cause = %error, "this letter will come back");
            done.left += 1;
        }
    }
}

async fn leave(queue: &DeadLetterQueue, taken: &Taken, done: &mut Redriven) {
    done.left += 1;
    if let Err(error) = queue.put_back(taken).await {
        tracing::warn!(messageId = taken.id, cause = %error, "this letter comes back later");
    }
}

/// The partitions that records go back to. One that fails is closed: what follows on it
/// waits for the next run, so that the order stays.
struct Partitions {
    kafka: Kafka,
    open: HashMap<PartitionId, Option<PartitionClient>>,
}

impl Partitions {
    async fn put_back(
        &mut self,
        id: PartitionId,
        offset: i64,
        letters: &[(DeadLetter, Taken)],
    ) -> anyhow::Result<()> {
        let Some((letter, _)) = letters.first() else {
            return Ok(());
        };
        let partition = match self.open.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let (topic, number) = id;
                let client = self.kafka.partition(topic, number);
                unknown.insert(client.await.ok())
            }
        };
        let Some(client) = partition else {
            return Err(anyhow!("its partition cannot be reached"));
        };
        // What is wrong with one record says nothing about the next.
        let record = if letter.too_large {
            from_kafka(client, offset).await?
        } else {
            from_letter(letter)?
        };
        let produced = tokio::time::timeout(PATIENCE, send(client, record)).await;
        if !matches!(produced, Ok(Ok(()))) {
            *partition = None;
        }
        produced.context("Kafka did not answer in time")??;
        Ok(())
    }
}

fn from_letter(letter: &DeadLetter) -> anyhow::Result<Record> {
    let bytes = |text: &Option<String>| text.as_ref().map(|text| STANDARD.decode(text)).transpose();
    let headers = letter.headers.iter();
    Ok(Record {
        key: bytes(&letter.key).context("its key is not base64")?,
        value: bytes(&letter.value).context("its value is not base64")?,
        headers: headers
            .map(|header| Ok((header.name.clone(), STANDARD.decode(&header.value)?)))
            .collect::<Result<_, base64::DecodeError>>()
            .context("a header is not base64")?,
        timestamp: Utc::now(),
    })
}

/// A record that was too large for the queue.
async fn from_kafka(partition: &PartitionClient, offset: i64) -> anyhow::Result<Record> {
    let records = tokio::time::timeout(PATIENCE, fetch(partition, offset))
        .await
        .context("Kafka did not answer in time")?
        .context("Kafka does not have it any more")?;
    let mut records = records.into_iter();
    let found = records
        .find(|record| record.offset == offset)
        .context("Kafka does not have it any more")?;
    Ok(Record {
        timestamp: Utc::now(),
        ..found.record
    })
}

fn send(partition: &PartitionClient, record: Record) -> Answer<'_, ()> {
    Box::pin(async {
        partition
            .produce(vec![record], Compression::NoCompression)
            .await?;
        Ok(())
    })
}

fn fetch(partition: &PartitionClient, offset: i64) -> Answer<'_, Vec<RecordAndOffset>> {
    Box::pin(async move {
        let (records, _) = partition
            .fetch_records(offset, 1..FETCH, FETCH_WAIT)
            .await?;
        Ok(records)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use aws_sdk_sqs::types::Message;
    use contracts::{APPOINTMENT_EVENTS_TOPIC, PATIENT_EVENTS_TOPIC};
    use events::Header;

    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            consumer: "count-patient-events".to_owned(),
            topic: PATIENT_EVENTS_TOPIC.to_owned(),
            partition: 2,
            offset: 7,
            reason: "not protobuf".to_owned(),
            too_large: false,
            key: Some("AP8=".to_owned()),
            value: None,
            headers: vec![Header {
                name: "odd 🩺".to_owned(),
                value: "/wA=".to_owned(),
            }],
        }
    }

    #[test]
    fn a_record_goes_back_as_it_was() {
        let record = from_letter(&letter()).unwrap();
        assert_eq!((record.key, record.value), (Some(vec![0, 255]), None));
        assert_eq!(record.headers, [("odd 🩺".to_owned(), vec![255, 0])].into());
    }

    #[test]
    fn a_letter_of_each_of_our_topics_goes_back_where_it_was() {
        let taken = |topic: &str| {
            let letter = DeadLetter {
                topic: topic.to_owned(),
                ..letter()
            };
            let body = serde_json::to_string(&letter).unwrap();
            Taken::from(Message::builder().body(body).build())
        };
        for topic in [PATIENT_EVENTS_TOPIC, APPOINTMENT_EVENTS_TOPIC] {
            let (place, _) = readable(&taken(topic)).unwrap();
            assert_eq!(place, ((topic, 2), 7));
        }
        assert!(readable(&taken("orders")).is_err());
    }

    #[test]
    fn a_letter_that_is_damaged_does_not_go_back() {
        for damage in [
            |letter: &mut DeadLetter| letter.key = Some("?".to_owned()),
            |letter: &mut DeadLetter| letter.value = Some("A".to_owned()),
            |letter: &mut DeadLetter| letter.headers[0].value = "?".to_owned(),
        ] {
            let mut letter = letter();
            damage(&mut letter);
            assert!(from_letter(&letter).is_err());
        }
    }
}
