//! How the API responded while everything around it failed.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::{Evidence, Invariant};
use crate::{
    ledger::{Change, Kind, Outcome},
    requests::TIME_LIMIT,
};

/// No request took longer than the gateway's limit.
pub(super) fn in_time(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every response came in time");
    let log = &evidence.observed.requests;
    invariant.checked = log.times.len() + usize::try_from(log.unanswered).unwrap_or_default();
    invariant.violations.clone_from(&log.slow);
    invariant
        .notes
        .push(format!("the limit is {} s", TIME_LIMIT.as_secs()));
    invariant
}

/// Every error is a problem document, and no client was rejected without a reason.
pub(super) fn as_promised(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every response is one that the API promises");
    let log = &evidence.observed.requests;
    invariant.checked = log.times.len();
    invariant.violations.clone_from(&log.bare_errors);
    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    for ((status, _), count) in &log.statuses {
        *statuses.entry(*status).or_default() += count;
    }
    let statuses = statuses.into_iter();
    let statuses: Vec<_> = statuses
        .map(|(status, count)| format!("{count} x {status}"))
        .collect();
    invariant.notes.push(format!(
        "{}; broken connections: {}",
        statuses.join(", "),
        log.unanswered
    ));

    let deletions = evidence.changes.iter();
    let deletions = deletions.filter(|change| change.kind == Kind::Delete);
    let may_be_gone: HashSet<Uuid> = deletions
        .filter(|change| change.is_acknowledged() || change.is_unknown())
        .filter_map(|change| change.patient_id)
        .collect();
    for change in evidence.changes {
        let Outcome::Refused { status, problem } = &change.outcome else {
            continue;
        };
        invariant.check(has_reason(change, *status, &may_be_gone), || {
            format!("{} was rejected with {status} ({problem})", change.name)
        });
    }
    invariant
}

/// A patient may have been deleted, or changed by another client; every request is otherwise valid.
fn has_reason(change: &Change, status: u16, may_be_gone: &HashSet<Uuid>) -> bool {
    match status {
        404 => change
            .patient_id
            .is_some_and(|id| may_be_gone.contains(&id)),
        412 => change.conditional,
        _ => false,
    }
}
