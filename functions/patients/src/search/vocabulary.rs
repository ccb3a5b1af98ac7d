//! All words of names, for finding those with a typo: two words that differ in one letter, or by
//! two neighbours that are swapped, become the same when a letter is left out of one or each.

use std::collections::BTreeSet;

use sqlx::PgPool;
use store::{Connection, Transaction};

/// Shorter words have too many neighbours, longer ones are rarely typed.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=30;

/// Whether a word may have a typo: long enough, and no number.
pub(crate) fn may_have_typo(word: &str) -> bool {
    LENGTHS.contains(&word.chars().count()) && word.chars().all(char::is_alphabetic)
}

/// What remains when one letter is left out, each once.
#[must_use]
pub fn deletions(word: &str) -> BTreeSet<String> {
    let letters: Vec<char> = word.chars().collect();
    (0..letters.len())
        .map(|left_out| {
            let letters = letters.iter().enumerate();
            let kept = letters.filter(|(place, _)| *place != left_out);
            kept.map(|(_, letter)| letter).collect()
        })
        .collect()
}

/// Whether one edit makes one word the other: a letter more, less or another, or two neighbours
/// swapped.
pub(crate) fn is_one_edit_away(one: &str, other: &str) -> bool {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let same_start = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same_start..], &other[same_start..]);
    let same_end = one.iter().rev().zip(other.iter().rev());
    let same_end = same_end.take_while(|(a, b)| a == b).count();
    let one = &one[..one.len() - same_end];
    let other = &other[..other.len() - same_end];
    match (one, other) {
        ([], [_]) | ([_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

/// Adds words. Nothing waits for anybody unless two patients bring the same new word at once; the
/// words are sorted, so they cannot wait for each other.
pub(crate) async fn learn(
    words: Vec<String>,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let words: Vec<String> = words
        .into_iter()
        .filter(|word| may_have_typo(word))
        .collect();
    let new = sqlx::query_scalar!(
        "INSERT INTO patients.vocabulary (term)
         SELECT word FROM unnest($1::text[]) AS word
         ORDER BY word
         ON CONFLICT DO NOTHING
         RETURNING term",
        &words,
    )
    .fetch_all(&mut *transaction)
    .await?;
    if new.is_empty() {
        return Ok(());
    }
    let pairs = new.iter().flat_map(|word| {
        let deletions = deletions(word).into_iter();
        deletions.map(move |deletion| (deletion, word.clone()))
    });
    let (deletions, terms): (Vec<String>, Vec<String>) = pairs.unzip();
    sqlx::query!(
        "INSERT INTO patients.vocabulary_deletion (deletion, term)
         SELECT * FROM unnest($1::text[], $2::text[])
         ON CONFLICT DO NOTHING",
        &deletions,
        &terms,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// The words that are one edit away from this one.
///
/// # Errors
/// If the database fails.
pub(crate) async fn near(word: &str, database: &Connection) -> Result<Vec<String>, sqlx::Error> {
    let shorter: Vec<String> = deletions(word).into_iter().collect();
    let mut candidates = sqlx::query_scalar!(
        r#"SELECT term AS "term!" FROM patients.vocabulary WHERE term = ANY($2)
           UNION
           SELECT term FROM patients.vocabulary_deletion WHERE deletion = $1 OR deletion = ANY($2)"#,
        word,
        &shorter,
    )
    .fetch_all(database)
    .await?;
    candidates.retain(|candidate| is_one_edit_away(word, candidate));
    Ok(candidates)
}

/// Has these words removed by [`forget`].
///
/// # Errors
/// If the database fails.
pub(crate) async fn forget_after(
    transaction: &mut Transaction,
    words: BTreeSet<String>,
) -> Result<(), sqlx::Error> {
    let words: Vec<String> = words.into_iter().collect();
    sqlx::query!(
        "INSERT INTO patients.word_to_forget (term) SELECT * FROM unnest($1::text[])
         ON CONFLICT DO NOTHING",
        &words,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Removes the words of patients who were erased, if no patient has them any more.
///
/// Nobody adds a word in the meantime: a transaction that has counted on a word to be there is over,
/// and its patient visible, before this one looks. That is why it is a short one of its own: nobody
/// can register a patient while it lasts.
///
/// # Errors
/// If the database fails. Then it can be tried again.
pub(crate) async fn forget(database: &PgPool) -> Result<(), sqlx::Error> {
    let are_there = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM patients.word_to_forget) AS "are_there!""#
    )
    .fetch_one(database)
    .await?;
    if !are_there {
        return Ok(());
    }
    let mut transaction = Transaction::begin(database).await?;
    sqlx::query!("LOCK TABLE patients.vocabulary IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut transaction)
        .await?;
    sqlx::query!(
        "WITH word AS (DELETE FROM patients.word_to_forget RETURNING term)
         DELETE FROM patients.vocabulary
         WHERE term IN (SELECT term FROM word)
           AND NOT EXISTS (SELECT FROM patients.search_term AS used
                           WHERE used.term = vocabulary.term)",
    )
    .execute(&mut transaction)
    .await?;
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_and_its_word_share_a_deletion() {
        for (typo, word) in [
            ("smtih", "smith"),
            ("smth", "smith"),
            ("smiith", "smith"),
            ("smirh", "smith"),
            ("мванов", "иванов"),
        ] {
            assert!(is_one_edit_away(typo, word), "{typo}");
            let mut of_word = deletions(word);
            of_word.insert(word.to_owned());
            let mut of_typo = deletions(typo);
            of_typo.insert(typo.to_owned());
            assert!(!of_word.is_disjoint(&of_typo), "{typo}");
        }
        for (one, other) in [
            ("smith", "smith"),
            ("smith", "simht"),
            ("smith", "smi"),
            ("ab", "cd"),
        ] {
            assert!(!is_one_edit_away(one, other), "{one} {other}");
        }
    }
}
