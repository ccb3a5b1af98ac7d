//! What a service writes to its outbox.

use std::fmt::Debug;

/// The kinds of messages in a service's outbox. The kind determines the receiver.
pub trait Kind: Debug + Copy + Send + Sync + 'static {
    /// Where messages go. Each receiver has a queue of its own.
    type Receiver: Debug + Copy + PartialEq + Send + Sync + 'static;

    /// The schema with the outbox.
    const SCHEMA: &'static str;

    /// Tells the locks of this service's deliveries from those of other services for the same
    /// patient.
    const LOCKS: u64 = hash(Self::SCHEMA);

    /// All kinds.
    const ALL: &'static [Self];

    /// The name in the database.
    fn name(self) -> &'static str;

    /// Who gets messages of this kind.
    fn receiver(self) -> Self::Receiver;
}

/// The kind with this name in the database.
pub(crate) fn named<K: Kind>(name: &str) -> Option<K> {
    K::ALL.iter().copied().find(|kind| kind.name() == name)
}

/// Everybody who gets messages.
pub(crate) fn receivers<K: Kind>() -> Vec<K::Receiver> {
    let mut receivers = Vec::new();
    for kind in K::ALL {
        if !receivers.contains(&kind.receiver()) {
            receivers.push(kind.receiver());
        }
    }
    receivers
}

/// The names of the kinds of messages that this receiver gets.
pub(crate) fn names_for<K: Kind>(receiver: K::Receiver) -> Vec<String> {
    let kinds = K::ALL.iter().filter(|kind| kind.receiver() == receiver);
    kinds.map(|kind| kind.name().to_owned()).collect()
}

/// FNV-1a, which is the same in every version of every service
/// (<https://datatracker.ietf.org/doc/draft-eastlake-fnv/>).
const fn hash(text: &str) -> u64 {
    let mut bytes = text.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    while let [byte, rest @ ..] = bytes {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0100_0000_01b3);
        bytes = rest;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_everybody_knows() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
