//! Whose data an action is about.

use uuid::Uuid;

/// Whose data it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Nobody's, or nobody knows whose.
    Nobody,
    /// One patient's.
    Patient(Uuid),
    /// These patients', 100 at most: all on a page of a list.
    Patients(&'a [Uuid]),
    /// That of whoever has this account.
    Account(Uuid),
}

impl Subject<'_> {
    pub(crate) fn patients(&self) -> &[Uuid] {
        match self {
            Self::Patient(id) => std::slice::from_ref(id),
            Self::Patients(ids) => ids,
            Self::Nobody | Self::Account(_) => &[],
        }
    }

    pub(crate) const fn account(&self) -> Option<Uuid> {
        match self {
            Self::Account(id) => Some(*id),
            Self::Nobody | Self::Patient(_) | Self::Patients(_) => None,
        }
    }
}
