//! Two patients who are related, as it is stored.

use store::Transaction;
use uuid::Uuid;

use super::{Days, Role};

/// A relationship as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) lower: Uuid,
    pub(crate) upper: Uuid,
    /// What the upper is to the lower.
    pub(crate) role: Role,
}

/// What stands in the way of a relationship.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clash {
    /// It is there, as this row, in these days.
    Same(Uuid, Days),
    /// It is there the other way round.
    Inverse,
}

impl Pair {
    /// The other has this role for the patient.
    pub(crate) const fn of(patient: Uuid, other: Uuid, role: Role) -> Self {
        if patient.as_u128() < other.as_u128() {
            Self {
                lower: patient,
                upper: other,
                role,
            }
        } else {
            Self {
                lower: other,
                upper: patient,
                role: role.inverse(),
            }
        }
    }

    /// The other one, and what they are to this patient.
    pub(crate) fn seen_by(self, patient: Uuid) -> (Uuid, Role) {
        if self.lower == patient {
            (self.upper, self.role)
        } else {
            (self.lower, self.role.inverse())
        }
    }

    /// What stands in the way of it in these days. Both patients are locked, so that nobody else
    /// relates them meanwhile.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn clash(
        &self,
        transaction: &mut Transaction,
        days: Days,
    ) -> Result<Option<Clash>, sqlx::Error> {
        let known = sqlx::query!(
            "SELECT id, role, valid_from, valid_to FROM patients.relationship
             WHERE lower_id = $1 AND upper_id = $2 AND role IN ($3, $4)
                 AND coalesce(valid_from, '-infinity') <= coalesce($6, 'infinity'::date)
                 AND coalesce(valid_to, 'infinity') >= coalesce($5, '-infinity'::date)
             LIMIT 1",
            self.lower,
            self.upper,
            self.role.name(),
            self.role.inverse().name(),
            days.from,
            days.to,
        )
        .fetch_optional(transaction)
        .await?;
        Ok(known.map(|row| {
            if row.role == self.role.name() {
                let days = Days {
                    from: row.valid_from,
                    to: row.valid_to,
                };
                Clash::Same(row.id, days)
            } else {
                Clash::Inverse
            }
        }))
    }
}
