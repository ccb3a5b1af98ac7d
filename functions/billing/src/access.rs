//! Who may see what belongs to a patient, and which version of it a change is for.

use std::collections::BTreeSet;

use api::{IfMatch, Problem};
use audit_trail::{Errand, Resource, Subject, Trail};
use identity::Caller;
use patient_access::must_see;
use sqlx::PgPool;
use uuid::Uuid;

/// Rejects callers who may not see the patient whose resource is to be changed. Whatever is refused
/// from here on is recorded with both.
///
/// # Errors
/// 403; or if the database does not respond.
pub(crate) async fn must_see_owner(
    errand: &Errand,
    resource: Resource,
    patient: Uuid,
    database: &PgPool,
) -> Result<(), Problem> {
    errand.about(Subject::ResourceOfPatient(resource, patient));
    must_see(errand.caller(), patient, database).await
}

/// The same for a resource that is only looked at. If the caller may see it, that is recorded.
///
/// # Errors
/// As above.
pub(crate) async fn show(
    caller: Caller,
    trail: &Trail,
    resource: Resource,
    patient: Uuid,
    database: &PgPool,
) -> Result<(), Problem> {
    let subject = Subject::ResourceOfPatient(resource, patient);
    trail.about(subject);
    must_see(caller, patient, database).await?;
    trail.succeeded(database, subject).await?;
    Ok(())
}

/// The versions that the change is for, as the service reads them: none if it is for any.
///
/// The service compares them, after it has recognised a repeated request: by then, the resource has
/// another version. So all versions that the client accepts are passed on, whichever is the
/// present one: the repeated request says the same.
pub(crate) fn etag_for(if_match: &IfMatch) -> String {
    match if_match {
        IfMatch::Any => String::new(),
        // A tag that is not ours matches nothing: there is no version 0.
        IfMatch::OneOf(versions) if versions.is_empty() => "0".to_owned(),
        IfMatch::OneOf(versions) => {
            let versions: BTreeSet<i64> = versions.iter().copied().collect();
            let versions: Vec<String> = versions.iter().map(i64::to_string).collect();
            versions.join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_compares_the_versions_that_the_client_has_read() {
        let one_of = |versions: &[i64]| IfMatch::OneOf(versions.to_vec());
        for (if_match, etag) in [
            (IfMatch::Any, ""),
            (one_of(&[3]), "3"),
            (one_of(&[2]), "2"),
            (one_of(&[4, 3, 4]), "3,4"),
            (one_of(&[]), "0"),
        ] {
            assert_eq!(etag_for(&if_match), etag, "{if_match:?}");
        }
    }
}
