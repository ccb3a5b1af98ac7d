//! Where a request says whose data it is about.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Resource, ResourceType, Subject};

/// Where a request names the patient, the account or the resource that it is about. What is
/// refused, by the gateway or by a handler, is on record with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum About {
    /// Nowhere: it is about nobody, or about many.
    #[default]
    Nobody,
    /// A patient, in the path: `{id}`.
    PatientInPath,
    /// An account, in the path: `{id}`.
    AccountInPath,
    /// A patient, in the query: `patientId`.
    PatientInQuery,
    /// A resource of this type, in the path: `{id}`. Whose it is, if anybody's, the handler says.
    ResourceInPath(ResourceType),
}

impl About {
    /// Whoever, or whatever, has the id that the request names.
    #[must_use]
    pub const fn whoever_is(self, id: Uuid) -> Subject<'static> {
        match self {
            Self::Nobody => Subject::Nobody,
            Self::AccountInPath => Subject::Account(id),
            Self::PatientInPath | Self::PatientInQuery => Subject::Patient(id),
            Self::ResourceInPath(kind) => Subject::Resource(Resource { kind, id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_name_a_resource() {
        let id = Uuid::from_u128(7);
        let about = About::ResourceInPath(ResourceType::BillingAccount);
        let named = Subject::Resource(Resource::billing_account(id));
        assert_eq!(about.whoever_is(id), named);
        // As it stands in the table of the routes.
        let row = serde_json::to_string(&about).unwrap();
        assert_eq!(row, r#"{"resourceInPath":"BILLING_ACCOUNT"}"#);
        assert_eq!(serde_json::from_str::<About>(&row).unwrap(), about);
    }
}
