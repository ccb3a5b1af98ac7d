//! The progress of a Kafka consumer group.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Stack;

/// The request `OffsetFetch` in its version 1
/// (<https://kafka.apache.org/protocol#The_Messages_OffsetFetch>).
const OFFSET_FETCH: [u8; 4] = [0, 9, 0, 1];

/// The largest response, in bytes: far more than the offsets of one topic.
const LARGEST: usize = 1_000_000;

/// The committed offset of this function's consumer group, by partition of the topic that it reads.
/// Partitions that it has not started are missing.
///
/// # Errors
/// If the broker does not respond, or not according to the protocol.
pub async fn committed_offsets(
    stack: &Stack,
    function: &str,
    topic: &str,
    partitions: impl ExactSizeIterator<Item = i32>,
) -> std::io::Result<BTreeMap<i32, i64>> {
    let mut request = OFFSET_FETCH.to_vec();
    // A correlation id, and no client id.
    request.extend([0, 0, 0, 1, 0xff, 0xff]);
    put_text(&mut request, &stack.function_name(function));
    request.extend(1_i32.to_be_bytes());
    put_text(&mut request, topic);
    request.extend(length(partitions.len()).to_be_bytes());
    for partition in partitions {
        request.extend(partition.to_be_bytes());
    }

    let mut connection = kafka::testing::connect().await?;
    connection.write_i32(length(request.len())).await?;
    connection.write_all(&request).await?;
    connection.flush().await?;
    let size = usize::try_from(connection.read_i32().await?).unwrap_or(usize::MAX);
    if size > LARGEST {
        return Err(malformed());
    }
    let mut answer = vec![0; size];
    connection.read_exact(&mut answer).await?;
    read(&answer).ok_or_else(malformed)
}

fn read(answer: &[u8]) -> Option<BTreeMap<i32, i64>> {
    let mut rest = answer;
    let mut offsets = BTreeMap::new();
    let _correlation_id: [u8; 4] = take(&mut rest)?;
    for _topic in 0..i32::from_be_bytes(take(&mut rest)?) {
        skip_text(&mut rest)?;
        for _partition in 0..i32::from_be_bytes(take(&mut rest)?) {
            let partition = i32::from_be_bytes(take(&mut rest)?);
            let offset = i64::from_be_bytes(take(&mut rest)?);
            skip_text(&mut rest)?;
            let error = i16::from_be_bytes(take(&mut rest)?);
            if error == 0 && offset >= 0 {
                offsets.insert(partition, offset);
            }
        }
    }
    Some(offsets)
}

fn take<const SIZE: usize>(bytes: &mut &[u8]) -> Option<[u8; SIZE]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// A null text has the length -1.
fn skip_text(bytes: &mut &[u8]) -> Option<()> {
    let length = i16::from_be_bytes(take(bytes)?).max(0);
    *bytes = bytes.get(usize::try_from(length).ok()?..)?;
    Some(())
}

fn put_text(request: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    request.extend(length.to_be_bytes());
    request.extend(text.as_bytes());
}

fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn malformed() -> std::io::Error {
    std::io::Error::other("the broker's response is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_parsed_and_a_truncated_one_is_rejected() {
        let mut answer = vec![0, 0, 0, 1, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2];
        // Partition 0 is at 7; partition 1 has not been started.
        answer.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 0, 0]);
        answer.extend([
            0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0,
        ]);
        assert_eq!(read(&answer), Some(BTreeMap::from([(0, 7)])));
        assert_eq!(read(&answer[..answer.len() - 1]), None);
    }
}
