//! Whose data an action is about, and which.

use uuid::Uuid;

use crate::Resource;

/// Whose data it was, and which, where it has an id of its own.
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
    /// This resource; nobody's, or nobody knows whose.
    Resource(Resource),
    /// This resource of one patient's.
    ResourceOfPatient(Resource, Uuid),
    /// This resource of these patients', 100 at most.
    ResourceOfPatients(Resource, &'a [Uuid]),
}

impl Subject<'_> {
    pub(crate) fn patients(&self) -> &[Uuid] {
        match self {
            Self::Patient(id) | Self::ResourceOfPatient(_, id) => std::slice::from_ref(id),
            Self::Patients(ids) | Self::ResourceOfPatients(_, ids) => ids,
            Self::Nobody | Self::Account(_) | Self::Resource(_) => &[],
        }
    }

    pub(crate) const fn account(&self) -> Option<Uuid> {
        match self {
            Self::Account(id) => Some(*id),
            Self::Nobody
            | Self::Patient(_)
            | Self::Patients(_)
            | Self::Resource(_)
            | Self::ResourceOfPatient(..)
            | Self::ResourceOfPatients(..) => None,
        }
    }

    pub(crate) const fn resource(&self) -> Option<Resource> {
        match self {
            Self::Resource(resource)
            | Self::ResourceOfPatient(resource, _)
            | Self::ResourceOfPatients(resource, _) => Some(*resource),
            Self::Nobody | Self::Patient(_) | Self::Patients(_) | Self::Account(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_may_be_a_patients() {
        let (patient, resource) = (
            Uuid::from_u128(1),
            Resource::billing_account(Uuid::from_u128(2)),
        );
        let of_patient = Subject::ResourceOfPatient(resource, patient);
        assert_eq!(of_patient.patients(), [patient]);
        assert_eq!(of_patient.resource(), Some(resource));
        let alone = Subject::Resource(resource);
        assert!(alone.patients().is_empty());
        assert_eq!(alone.resource(), Some(resource));
        assert_eq!((alone.account(), of_patient.account()), (None, None));
        assert_eq!(Subject::Patient(patient).resource(), None);
    }
}
