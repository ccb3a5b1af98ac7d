//! How the public keys are stored: one function writes them, others read them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{KeyError, PublicKeys};

/// How often, at most, a process reads the public keys again for tokens with unknown keys, so that
/// forged tokens do not each cost a call to DynamoDB.
pub const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(3);

/// How long after its publication every process accepts a new key: whoever read the keys just before
/// may read them again after the pause, and their request takes a moment, too.
pub const NEW_KEY_KNOWN_AFTER: Duration = UNKNOWN_KEY_PAUSE.saturating_add(Duration::from_secs(2));

/// The published keys as an item of a DynamoDB table with the partition key `id`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishedKeys {
    id: String,
    /// A JSON Web Key Set, as text.
    keys: String,
    version: u64,
}

impl PublishedKeys {
    /// The item's `id`. There is only one item.
    pub const ID: &str = "access-tokens";

    /// The item with these keys that replaces this version. The first item replaces version 0.
    #[must_use]
    pub fn after(version: u64, keys: &PublicKeys) -> Self {
        Self {
            id: Self::ID.to_owned(),
            keys: keys.to_json(),
            version: version + 1,
        }
    }

    /// The version of the keys. It increases by one each time, so that nobody overwrites what they
    /// have not read.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The keys.
    ///
    /// # Errors
    /// If they are not a JSON Web Key Set of ours.
    pub fn keys(&self) -> Result<PublicKeys, KeyError> {
        PublicKeys::from_json(&self.keys)
    }
}
