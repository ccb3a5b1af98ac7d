//! What the audit trail shows of a restore: where its chains end, and that they ended later before.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use system_tests::{Clinic, Invariant};

use crate::lost::Lost;

/// How the function calls a record that is not what an earlier verification found.
const NOT_AS_FOUND_EARLIER: &str = "NOT_AS_FOUND_EARLIER";

/// The ends of all chains, as `verify-audit-trail` reports them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ends(pub(crate) Vec<End>);

/// The last record of a chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) chain: i16,
    pub(crate) sequence: i64,
    pub(crate) hash: String,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Fault {
    pub(crate) chain: i16,
    pub(crate) sequence: i64,
    pub(crate) what: String,
}

#[derive(Deserialize)]
struct Verified {
    intact: bool,
    faults: Vec<Fault>,
    ends: Ends,
}

impl Ends {
    /// Verifies everything, and returns the ends.
    pub(crate) async fn of_all(clinic: &Clinic) -> Result<Self> {
        let verified = verify(clinic, &Self(Vec::new())).await?;
        ensure!(
            verified.intact,
            "the trail is broken: {:?}",
            verified.faults
        );
        Ok(verified.ends)
    }

    /// The sequence of the last record of each chain.
    pub(crate) fn sequences(&self) -> BTreeMap<i16, i64> {
        let ends = self.0.iter();
        ends.map(|end| (end.chain, end.sequence)).collect()
    }
}

async fn verify(clinic: &Clinic, against: &Ends) -> Result<Verified> {
    let request = json!({ "full": true, "ends": against });
    let invoked = clinic.aws().invoke("verify-audit-trail", &request).await;
    ensure!(!invoked.failed, "{}", invoked.payload);
    Ok(serde_json::from_value(invoked.payload)?)
}

/// What was found right after the restore.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What is wrong if the trail is held against its ends at T.
    pub(crate) against_t: Vec<Fault>,
    /// What is wrong if it is held against the last ends before the restore.
    pub(crate) against_last: Vec<Fault>,
    /// How many records were written after T.
    pub(crate) lost: usize,
    /// How many of them are there.
    pub(crate) still_there: i64,
}

impl Verdict {
    pub(crate) async fn take(
        clinic: &Clinic,
        database: &PgPool,
        at_t: &Ends,
        last: &Ends,
        undone: &Lost,
    ) -> Result<Self> {
        let ids: Vec<_> = undone.records.iter().map(|record| record.id).collect();
        let still_there =
            sqlx::query_scalar("SELECT count(*) FROM audit.record WHERE id = ANY($1)")
                .bind(&ids)
                .fetch_one(database);
        Ok(Self {
            still_there: still_there.await?,
            lost: ids.len(),
            against_t: verify(clinic, at_t).await?.faults,
            against_last: verify(clinic, last).await?.faults,
        })
    }

    /// The trail is whole up to T, and exactly what came later is reported as cut off.
    pub(crate) fn check(&self, at_t: &Ends, last: &Ends) -> Invariant {
        let mut invariant = Invariant::new("the trail ends at T, and what is cut off is reported");
        invariant.check(self.against_t.is_empty(), || {
            format!("held against its ends at T: {:?}", self.against_t)
        });
        let sequences = at_t.sequences();
        let mut expected = Vec::new();
        let mut cut_off = 0;
        for end in &last.0 {
            let before = sequences.get(&end.chain).copied().unwrap_or_default();
            cut_off += usize::try_from(end.sequence - before).unwrap_or_default();
            if end.sequence > before {
                expected.push(Fault {
                    chain: end.chain,
                    sequence: end.sequence,
                    what: NOT_AS_FOUND_EARLIER.to_owned(),
                });
            }
        }
        let mut found = self.against_last.clone();
        expected.sort();
        found.sort();
        invariant.check(found == expected && !expected.is_empty(), || {
            format!("held against its last ends: {found:?}, expected {expected:?}")
        });
        invariant.check(cut_off == self.lost, || {
            format!("{} records came after T, {cut_off} are cut off", self.lost)
        });
        invariant.check(self.still_there == 0, || {
            format!("{} records from after T are still there", self.still_there)
        });
        invariant.notes.push(format!(
            "{cut_off} records of {} chains are cut off",
            expected.len()
        ));
        invariant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(sequences: [i64; 2]) -> Ends {
        let ends = (0..).zip(sequences);
        let end = |(chain, sequence)| End {
            chain,
            sequence,
            hash: format!("{chain}-{sequence}"),
        };
        Ends(ends.map(end).collect())
    }

    fn cut_off(chain: i16, sequence: i64) -> Fault {
        Fault {
            chain,
            sequence,
            what: NOT_AS_FOUND_EARLIER.to_owned(),
        }
    }

    #[test]
    fn exactly_what_came_after_t_may_be_missing() {
        let (at_t, last) = (ends([7, 3]), ends([7, 5]));
        let good = Verdict {
            against_last: vec![cut_off(1, 5)],
            lost: 2,
            ..Verdict::default()
        };
        let violations = |verdict: &Verdict| verdict.check(&at_t, &last).violations.len();
        assert_eq!(violations(&good), 0);
        let unnoticed = Verdict {
            against_last: Vec::new(),
            lost: 2,
            ..Verdict::default()
        };
        assert_eq!(violations(&unnoticed), 1);
        let too_much = Verdict {
            against_t: vec![cut_off(0, 7)],
            against_last: vec![cut_off(0, 7), cut_off(1, 5)],
            lost: 2,
            ..Verdict::default()
        };
        assert_eq!(violations(&too_much), 2);
        let not_undone = Verdict {
            against_last: vec![cut_off(1, 5)],
            lost: 2,
            still_there: 1,
            ..Verdict::default()
        };
        assert_eq!(violations(&not_undone), 1);
        let others = Verdict {
            against_last: vec![cut_off(1, 5)],
            lost: 3,
            ..Verdict::default()
        };
        assert_eq!(violations(&others), 1);
    }
}
