//! How the records hold together: each chain is a sequence of records from 1 on, each with
//! the hash of the one before in its own.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What SHA-256 makes.
pub(crate) const HASH_BYTES: usize = 32;

/// What a chain begins with, before its first record.
pub(crate) const BEGINNING: [u8; HASH_BYTES] = [0; HASH_BYTES];

/// A record with its place and its hash, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRecord {
    pub(crate) chain: i16,
    pub(crate) sequence: i64,
    pub(crate) id: Uuid,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) actor_id: Option<Uuid>,
    pub(crate) actor_role: Option<String>,
    pub(crate) action: String,
    pub(crate) outcome: String,
    pub(crate) problem: Option<String>,
    pub(crate) patient_ids: Vec<Uuid>,
    pub(crate) account_id: Option<Uuid>,
    pub(crate) reason: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) resource_type: Option<String>,
    pub(crate) resource_id: Option<Uuid>,
    pub(crate) hash_version: i16,
    pub(crate) hash: Vec<u8>,
}

impl StoredRecord {
    /// The hash that the record should have behind one with this hash: over that, and
    /// everything that the record says, each value with its length. `audit.append` of the
    /// migrations says the same in SQL.
    ///
    /// Nothing if no record is like this one: its version is none that there is, or says something
    /// that the version does not cover.
    pub(crate) fn hash_behind(&self, previous: &[u8]) -> Option<[u8; HASH_BYTES]> {
        let since_first = match (self.hash_version, &self.resource_type, self.resource_id) {
            (1, None, None) => vec![],
            (2, kind, id) => vec![
                kind.clone(),
                id.map(|id| id.to_string()),
                Some(self.hash_version.to_string()),
            ],
            _ => return None,
        };
        let patients: Vec<String> = self.patient_ids.iter().map(Uuid::to_string).collect();
        let mut hash = Sha256::new();
        hash.update(previous);
        let first = [
            Some(self.chain.to_string()),
            Some(self.sequence.to_string()),
            Some(self.id.to_string()),
            Some(self.occurred_at.timestamp_micros().to_string()),
            self.actor_id.map(|id| id.to_string()),
            self.actor_role.clone(),
            Some(self.action.clone()),
            Some(self.outcome.clone()),
            self.problem.clone(),
            Some(patients.join(",")),
            self.account_id.map(|id| id.to_string()),
            self.reason.clone(),
            self.source.clone(),
            self.request_id.clone(),
        ];
        for value in first.into_iter().chain(since_first) {
            match value {
                Some(value) => hash.update(format!("{}:{value}", value.len())),
                None => hash.update("-"),
            }
        }
        Some(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify_audit_trail::hexadecimal;

    fn record() -> StoredRecord {
        StoredRecord {
            chain: 3,
            sequence: 7,
            id: Uuid::from_u128(1),
            occurred_at: DateTime::UNIX_EPOCH,
            actor_id: None,
            actor_role: None,
            action: "READ_PATIENT".to_owned(),
            outcome: "REFUSED".to_owned(),
            problem: Some("forbidden".to_owned()),
            patient_ids: vec![],
            account_id: None,
            reason: None,
            source: None,
            request_id: None,
            resource_type: None,
            resource_id: None,
            hash_version: 2,
            hash: vec![],
        }
    }

    #[test]
    fn whatever_a_record_says_is_in_its_hash() {
        let as_it_is = record().hash_behind(&BEGINNING).unwrap();
        let changes: [fn(&mut StoredRecord); 17] = [
            |record| record.chain = 4,
            |record| record.sequence = 8,
            |record| record.id = Uuid::from_u128(2),
            |record| record.occurred_at += chrono::TimeDelta::microseconds(1),
            |record| record.actor_id = Some(Uuid::nil()),
            |record| record.actor_role = Some("ADMIN".to_owned()),
            |record| record.action = "UPDATE_PATIENT".to_owned(),
            |record| record.outcome = "SUCCEEDED".to_owned(),
            |record| record.problem = None,
            |record| record.patient_ids.push(Uuid::nil()),
            |record| record.account_id = Some(Uuid::nil()),
            |record| record.reason = Some(String::new()),
            |record| record.source = Some("127.0.0.1".to_owned()),
            |record| record.request_id = Some("-".to_owned()),
            |record| record.resource_type = Some("INVOICE".to_owned()),
            |record| record.resource_id = Some(Uuid::nil()),
            |record| record.hash_version = 1,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut other = record();
            change(&mut other);
            let otherwise = other.hash_behind(&BEGINNING).unwrap();
            assert_ne!(otherwise, as_it_is, "change {index}");
        }
        assert_ne!(record().hash_behind(&as_it_is).unwrap(), as_it_is);
    }

    #[test]
    fn a_hash_is_what_its_version_has_always_made_of_the_record() {
        for (hash_version, hash) in [
            (
                1,
                "1b14c1dcb7d2e866a477c9a7fe852651330bfe1320acc634169f632d7bb859a5",
            ),
            (
                2,
                "acd15ba9e32beca2dbd2613ed623aebf90a4309a6ecb739cbd08c40a36d1416f",
            ),
        ] {
            let record = StoredRecord {
                hash_version,
                ..record()
            };
            let made = record.hash_behind(&BEGINNING).unwrap();
            assert_eq!(hexadecimal(&made), hash, "{hash_version}");
        }
    }

    #[test]
    fn there_is_no_hash_for_what_the_version_does_not_cover() {
        let changes: [fn(&mut StoredRecord); 4] = [
            |record| record.resource_type = Some("INVOICE".to_owned()),
            |record| record.resource_id = Some(Uuid::nil()),
            |record| record.hash_version = 0,
            |record| record.hash_version = 3,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut record = StoredRecord {
                hash_version: 1,
                ..record()
            };
            change(&mut record);
            assert_eq!(record.hash_behind(&BEGINNING), None, "change {index}");
        }
    }

    #[test]
    fn nothing_moves_from_one_value_to_the_next() {
        let with = |reason: &str, source: &str| {
            let mut record = record();
            record.reason = Some(reason.to_owned());
            record.source = Some(source.to_owned());
            record.hash_behind(&BEGINNING).unwrap()
        };
        assert_ne!(with("ab", "c"), with("a", "bc"));
        assert_ne!(with("a1:b", ""), with("a", "1:b"));
    }
}
