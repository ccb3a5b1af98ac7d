//! How the public keys are stored, which one function writes and others read.

use serde::{Deserialize, Serialize};

use crate::{KeyError, PublicKeys};

/// The published keys as an item of a DynamoDB table, whose partition key is `id`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishedKeys {
    id: String,
    /// A JSON Web Key Set, as text.
    keys: String,
    version: u64,
}

impl PublishedKeys {
    /// The item's `id`. There is one such item.
    pub const ID: &str = "access-tokens";

    /// These keys in the place of those of the version before, of 0 for the first ones.
    #[must_use]
    pub fn after(version: u64, keys: &PublicKeys) -> Self {
        Self {
            id: Self::ID.to_owned(),
            keys: keys.to_json(),
            version: version + 1,
        }
    }

    /// Which version of the keys it is. Each has the next number, so that nobody overwrites
    /// what they have not seen.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The keys.
    ///
    /// # Errors
    /// If they are no JSON Web Key Set of ours.
    pub fn keys(&self) -> Result<PublicKeys, KeyError> {
        PublicKeys::from_json(&self.keys)
    }
}
