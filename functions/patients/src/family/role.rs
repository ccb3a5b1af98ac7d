//! What one patient is to another.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a patient is to another one.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = FamilyRole)]
pub(crate) enum Role {
    /// Mother or father, by birth or adoption.
    Parent,
    /// Daughter or son.
    Child,
    /// Married to them.
    Spouse,
    /// Lives with them as a couple.
    Partner,
    /// Sister or brother.
    Sibling,
    /// Decides for them by law.
    Guardian,
    /// Has them as guardian.
    Ward,
    /// A parent of a parent.
    Grandparent,
    /// A child of a child.
    Grandchild,
    /// Looks after them.
    Carer,
    /// Is looked after by them.
    CaredFor,
    /// Related in another way.
    Relative,
    /// Lives with them.
    HouseholdMember,
}

impl Role {
    /// The name in the database and the API.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// What the other one is to a patient with this role.
    pub(crate) const fn inverse(self) -> Self {
        match self {
            Self::Parent => Self::Child,
            Self::Child => Self::Parent,
            Self::Guardian => Self::Ward,
            Self::Ward => Self::Guardian,
            Self::Grandparent => Self::Grandchild,
            Self::Grandchild => Self::Grandparent,
            Self::Carer => Self::CaredFor,
            Self::CaredFor => Self::Carer,
            Self::Spouse
            | Self::Partner
            | Self::Sibling
            | Self::Relative
            | Self::HouseholdMember => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_of_the_inverse_is_the_role_itself() {
        for &role in <Role as strum::VariantArray>::VARIANTS {
            assert_eq!(role.inverse().inverse(), role);
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert_eq!(Role::Parent.inverse(), Role::Child);
        assert_eq!(Role::Sibling.inverse(), Role::Sibling);
    }
}
