//! The tokens by which patients opt out without logging in.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use store::Transaction;
use uuid::Uuid;

use crate::{notification::Channel, occasion::Occasion};

/// 128 random bits: nobody guesses them, and they fit into a header.
const BYTES: usize = 16;

/// Whether it looks like one of our tokens.
pub(crate) fn is_token(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == BYTES)
}

/// The patient's token for such messages on this channel: always the same.
///
/// # Errors
/// If the database does not respond, or there is no randomness.
pub(crate) async fn token_of(
    patient: Uuid,
    occasion: Occasion,
    channel: Channel,
    transaction: &mut Transaction,
) -> Result<String, sqlx::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| sqlx::Error::Encode(error.to_string().into()))?;
    // An update that changes nothing, because DO NOTHING returns nothing.
    sqlx::query_scalar!(
        "INSERT INTO notifications.unsubscribe_token (token, patient_id, kind, channel)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT unsubscribe_token_once DO UPDATE
         SET channel = excluded.channel
         RETURNING token",
        URL_SAFE_NO_PAD.encode(bytes),
        patient,
        occasion.name(),
        channel.name(),
    )
    .fetch_one(transaction)
    .await
}
