//! What must hold after the restore, as functions of what was seen.

use serde_json::Value;
use system_tests::Invariant;

use crate::{
    evidence::Evidence,
    figures::Figures,
    lost::Lost,
    work::{Issued, Made},
};

/// How much of an answer a violation shows.
const SHOWN: usize = 300;

/// What the API said at T, it says again.
pub(crate) fn all_is_as_at_t(before: &Evidence, after: &Evidence) -> Invariant {
    let mut invariant = Invariant::new("what was acknowledged before T is there as it was");
    for (path, was) in &before.0 {
        let is = after.0.get(path).and_then(Option::as_ref);
        invariant.check(is == was.as_ref(), || {
            let (was, is) = (was.clone().unwrap_or_default(), is.cloned());
            format!("{path}{}", difference(&was, &is.unwrap_or_default()))
        });
    }
    invariant
}

/// What was made after T is gone.
pub(crate) fn nothing_came_after_t(before: &Evidence, after: &Evidence) -> Invariant {
    let mut invariant = Invariant::new("nothing of what came after T is there");
    let later = after.0.iter();
    for (path, is) in later.filter(|(path, _)| !before.0.contains_key(*path)) {
        let there = is.clone().unwrap_or_default();
        invariant.check(is.is_none(), || format!("{path} is {}", short(&there)));
    }
    invariant
}

/// Every figure is what PostgreSQL has.
pub(crate) fn figures(name: &'static str, figures: &Figures) -> Invariant {
    let mut invariant = Invariant::new(name);
    for (figure, (shown, counted)) in &figures.0 {
        invariant.check(shown == counted, || {
            format!("{figure}: {shown} shown, {counted} counted in PostgreSQL")
        });
    }
    invariant
}

/// What has been done since is counted, and nothing else.
pub(crate) fn new_changes_count(before: &Figures, after: &Figures) -> Invariant {
    let mut invariant = Invariant::new("whatever is done after the restore is counted");
    for (figure, (shown, counted)) in &after.0 {
        let (shown_before, counted_before) = before.0.get(figure).copied().unwrap_or_default();
        let (grown, expected) = (shown - shown_before, counted - counted_before);
        invariant.check(grown == expected, || {
            format!("{figure}: {expected} more in PostgreSQL, {grown} more shown")
        });
    }
    invariant
}

/// The numbers that patients have on paper mean what they meant.
pub(crate) fn numbers(lost: &Lost, again: &[Issued], made: &Made) -> Invariant {
    let mut invariant = Invariant::new("no number that has left the house means something else");
    for (place, invoice) in lost.invoices.iter().enumerate() {
        invariant.check(again.get(place) == Some(invoice), || {
            format!("{invoice:?} is {:?} now", again.get(place))
        });
    }
    for number in &made.record_numbers {
        invariant.check(*number > lost.record_number, || {
            format!("the record number {number} was given out before the restore")
        });
    }
    invariant
}

/// The first place at which two answers differ, and what is there in both.
fn difference(was: &Value, is: &Value) -> String {
    let within = match (was, is) {
        (Value::Object(was), Value::Object(is)) if was.keys().eq(is.keys()) => {
            let mut both = was.iter().zip(is.values());
            both.find(|((_, was), is)| was != is)
                .map(|((name, was), is)| (name.clone(), was, is))
        }
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            let mut both = was.iter().zip(is).enumerate();
            both.find(|(_, (was, is))| was != is)
                .map(|(place, (was, is))| (place.to_string(), was, is))
        }
        _ => None,
    };
    match within {
        Some((name, was, is)) => format!(" {name}{}", difference(was, is)),
        None => format!(": was {}, is {}", short(was), short(is)),
    }
}

fn short(answer: &Value) -> String {
    answer.to_string().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn evidence<const MANY: usize>(seen: [(&str, Option<Value>); MANY]) -> Evidence {
        let seen = seen.map(|(path, answer)| (path.to_owned(), answer));
        Evidence(BTreeMap::from(seen))
    }

    #[test]
    fn everything_has_to_be_as_it_was_at_t() {
        let version = |version: u32| Some(json!({ "version": version }));
        let before = evidence([("/kept", version(2)), ("/deleted", None)]);
        let good = evidence([("/kept", version(2)), ("/deleted", None), ("/later", None)]);
        assert!(all_is_as_at_t(&before, &good).violations.is_empty());
        assert!(nothing_came_after_t(&before, &good).violations.is_empty());
        let bad = evidence([
            ("/kept", version(3)),
            ("/deleted", version(1)),
            ("/later", version(1)),
        ]);
        assert_eq!(all_is_as_at_t(&before, &bad).violations.len(), 2);
        assert_eq!(nothing_came_after_t(&before, &bad).violations.len(), 1);
        assert_eq!(all_is_as_at_t(&before, &evidence([])).violations.len(), 1);
    }

    #[test]
    fn a_difference_is_named_where_it_is() {
        let list =
            |state: &str| json!({ "next": null, "messages": [{ "id": 1 }, { "state": state }] });
        assert_eq!(
            difference(&list("PENDING"), &list("SENT")),
            r#" messages 1 state: was "PENDING", is "SENT""#
        );
        assert_eq!(
            difference(&json!({ "a": 1 }), &Value::Null),
            r#": was {"a":1}, is null"#
        );
    }

    fn figure(shown: i64, counted: i64) -> Figures {
        Figures(BTreeMap::from([(
            "patients created".to_owned(),
            (shown, counted),
        )]))
    }

    /// As after a restore without the tables.
    #[test]
    fn what_is_not_counted_is_a_violation() {
        let violations = |after: &Figures| new_changes_count(&figure(5, 3), after).violations.len();
        assert_eq!(violations(&figure(7, 5)), 0);
        assert_eq!(violations(&figure(5, 5)), 1);
    }

    #[test]
    fn a_figure_that_is_not_a_recount_is_a_violation() {
        assert!(figures("", &figure(3, 3)).violations.is_empty());
        assert_eq!(figures("", &figure(5, 3)).violations.len(), 1);
    }

    #[test]
    fn a_number_means_what_it_meant() {
        let issued = |number: &str, patient| Issued {
            number: number.to_owned(),
            patient: Uuid::from_u128(patient),
            cents: 5950,
        };
        let lost = Lost {
            records: Vec::new(),
            messages: Vec::new(),
            invoices: vec![issued("INV-2026-000004", 1)],
            erased: Vec::new(),
            record_number: 100_009,
        };
        let registered = |number| Made {
            record_numbers: vec![number],
            ..Made::default()
        };
        let violations = |again: &[Issued], number| {
            let made = registered(number);
            numbers(&lost, again, &made).violations.len()
        };
        assert_eq!(violations(&[issued("INV-2026-000004", 1)], 100_010), 0);
        assert_eq!(violations(&[issued("INV-2026-000004", 2)], 100_010), 1);
        assert_eq!(violations(&[], 100_009), 2);
    }
}
