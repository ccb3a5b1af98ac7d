//! Settings of the broker of the stack, which it takes over while it runs.

use std::{io, time::Duration};

use kafka::testing::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::within;

/// The request `IncrementalAlterConfigs` in its version 0
/// (<https://kafka.apache.org/protocol#The_Messages_IncrementalAlterConfigs>).
const INCREMENTAL_ALTER_CONFIGS: [u8; 4] = [0, 44, 0, 0];

/// How long a busy machine may need for a login, including the secret that it takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A broker, among the things that have settings.
const BROKER: u8 = 4;

/// The id of the only one.
const ID: &str = "1";

/// Changes a setting of the broker. If it names a file, the broker reads that again.
///
/// # Errors
/// If the broker does not accept that.
pub async fn alter_broker(name: &str, value: &str) -> io::Result<()> {
    let mut request = INCREMENTAL_ALTER_CONFIGS.to_vec();
    // A correlation id, and no client id. Then one broker, and one setting.
    request.extend([0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1, BROKER]);
    put_text(&mut request, ID);
    request.extend([0, 0, 0, 1]);
    put_text(&mut request, name);
    // To be set, not to be removed.
    request.push(0);
    put_text(&mut request, value);
    // Not only to be validated.
    request.push(0);

    let mut connection = session().await;
    let length = i32::try_from(request.len()).map_err(io::Error::other)?;
    connection.write_i32(length).await?;
    connection.write_all(&request).await?;
    connection.flush().await?;
    let length = connection.read_u32().await?;
    let mut answer = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    connection.read_exact(&mut answer).await?;
    // Behind the correlation id, how long to wait and the number of answers.
    match answer.get(12..14) {
        Some([0, 0]) => Ok(()),
        _ => Err(io::Error::other(format!(
            "the broker does not accept {name}={value}: {}",
            String::from_utf8_lossy(&answer)
        ))),
    }
}

/// Opens a session, waits until it should be over, and sees the broker end it.
///
/// # Errors
/// If the broker goes on with it, or there is no session.
pub async fn outlive_session(lifetime: Duration) -> io::Result<()> {
    /// `ApiVersions` in its version 0, with a correlation id and no client id.
    const REQUEST: [u8; 10] = [0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let mut connection = session().await;
    tokio::time::sleep(lifetime).await;
    connection.write_u32(10).await?;
    connection.write_all(&REQUEST).await?;
    connection.flush().await?;
    match connection.read_u32().await {
        Ok(_) => Err(io::Error::other("the broker does not end sessions")),
        Err(_) => Ok(()),
    }
}

async fn session() -> Box<dyn Stream> {
    within(PATIENCE, "a session with the broker", async || {
        kafka::testing::connect().await.ok()
    })
    .await
}

fn put_text(request: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    request.extend(length.to_be_bytes());
    request.extend(text.as_bytes());
}
