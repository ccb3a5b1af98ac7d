//! Who makes a change: for the history, and for what a refusal may tell.

use api::Problem;
use identity::{Caller, Permission};
use uuid::Uuid;

/// The user who makes a change, or the system itself.
#[derive(Debug, Clone, Copy)]
pub struct Author(Option<Caller>);

impl Author {
    /// Nobody: something that the system does by itself.
    pub const SYSTEM: Self = Self(None);

    /// The user's id.
    #[must_use]
    pub fn id(self) -> Option<Uuid> {
        self.0.map(|caller| caller.user)
    }

    /// Adds to a refusal which other patient it is about, if the author may see that one.
    #[must_use]
    pub fn told_of(
        self,
        problem: Problem,
        other: Uuid,
        is_restricted: bool,
        is_deleted: bool,
    ) -> Problem {
        let may = |permission| self.0.is_none_or(|caller| caller.role.may(permission));
        if (is_restricted && !may(Permission::SeeRestrictedPatients))
            || (is_deleted && !may(Permission::SeeDeletedPatients))
        {
            return problem;
        }
        problem.with_existing_patient(other)
    }
}

impl From<Caller> for Author {
    fn from(caller: Caller) -> Self {
        Self(Some(caller))
    }
}
