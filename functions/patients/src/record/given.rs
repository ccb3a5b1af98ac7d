//! What a client says of a field: nothing, that it is empty, or a value.

use serde::{Deserialize, Deserializer};

/// A field of an input for which "missing" and "null" differ: what is missing stays as it is, what
/// is null is emptied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Given<T> {
    /// The client has not named the field.
    #[default]
    Missing,
    /// The client has sent null, or a blank text.
    Empty,
    /// The client has sent this.
    Value(T),
}

impl<T> Given<T> {
    /// Whether the client has named the field.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        !matches!(self, Self::Missing)
    }

    /// The value, where missing and null are the same.
    #[must_use]
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Empty => None,
        }
    }

    /// What is to be stored: the value, nothing, or what is there.
    #[must_use]
    pub fn or(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Missing => before,
            Self::Empty => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Empty, Self::Value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_stays_and_what_is_null_goes() {
        assert_eq!(Given::<u8>::Missing.or(Some(1)), Some(1));
        assert_eq!(Given::<u8>::Empty.or(Some(1)), None);
        assert_eq!(Given::Value(2).or(Some(1)), Some(2));
    }
}
