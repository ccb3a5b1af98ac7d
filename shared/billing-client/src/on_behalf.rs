//! On whose behalf the service is called, as gRPC metadata: both ends of it.

use audit_trail::Errand;
use contracts::caller_metadata::{ACTOR_ID, ACTOR_ROLE, REQUEST_ID, SOURCE};
use identity::Role;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// Who wants something done, and what the record of it says of their request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnBehalfOf {
    /// The user.
    pub user: Uuid,
    /// The role in which they act.
    pub role: Role,
    /// The network address that their request came from.
    pub source: Option<String>,
    /// Names their request in the logs.
    pub request_id: Option<String>,
}

impl OnBehalfOf {
    /// Whom this metadata names: nobody if the system itself calls.
    ///
    /// The service believes its callers, as they know its token.
    #[must_use]
    pub fn read(metadata: &MetadataMap) -> Option<Self> {
        let text = |key: &str| metadata.get(key)?.to_str().ok();
        Some(Self {
            user: text(ACTOR_ID)?.parse().ok()?,
            role: text(ACTOR_ROLE)?.parse().ok()?,
            source: text(SOURCE).map(ToOwned::to_owned),
            request_id: text(REQUEST_ID).map(ToOwned::to_owned),
        })
    }

    /// Names them in this metadata.
    pub fn write(&self, metadata: &mut MetadataMap) {
        let user = self.user.to_string();
        for (key, value) in [
            (ACTOR_ID, Some(user.as_str())),
            (ACTOR_ROLE, Some(self.role.name())),
            (SOURCE, self.source.as_deref()),
            (REQUEST_ID, self.request_id.as_deref()),
        ] {
            // Addresses and request ids are visible ASCII: nothing is left out.
            if let Some(value) = value.and_then(|value| value.parse().ok()) {
                metadata.insert(key, value);
            }
        }
    }
}

/// A change that the service is asked for: by whom, and the id that makes it happen once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    pub(crate) on_behalf_of: Option<OnBehalfOf>,
    pub(crate) request_id: Uuid,
}

impl Instruction {
    /// What the system does by itself: nobody's. `request_id` is the same whenever the same thing is
    /// asked for.
    #[must_use]
    pub const fn of_the_system(request_id: Uuid) -> Self {
        Self {
            on_behalf_of: None,
            request_id,
        }
    }
}

impl From<&Errand> for Instruction {
    fn from(errand: &Errand) -> Self {
        let caller = errand.caller();
        Self {
            on_behalf_of: Some(OnBehalfOf {
                user: caller.user,
                role: caller.role,
                source: errand.source().map(ToOwned::to_owned),
                request_id: errand.request_id().map(ToOwned::to_owned),
            }),
            request_id: errand.key(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for (source, request_id) in [(Some("2001:db8::7"), Some("c6af9ac6-7b61")), (None, None)] {
            let somebody = OnBehalfOf {
                user: Uuid::from_u128(7),
                role: Role::Receptionist,
                source: source.map(ToOwned::to_owned),
                request_id: request_id.map(ToOwned::to_owned),
            };
            let mut metadata = MetadataMap::new();
            somebody.write(&mut metadata);
            assert_eq!(OnBehalfOf::read(&metadata), Some(somebody));
        }
    }

    #[test]
    fn whoever_is_half_named_is_nobody() {
        let mut metadata = MetadataMap::new();
        assert_eq!(OnBehalfOf::read(&metadata), None);
        metadata.insert(ACTOR_ID, Uuid::nil().to_string().parse().unwrap());
        assert_eq!(OnBehalfOf::read(&metadata), None);
        metadata.insert(ACTOR_ROLE, "EMPEROR".parse().unwrap());
        assert_eq!(OnBehalfOf::read(&metadata), None);
    }
}
