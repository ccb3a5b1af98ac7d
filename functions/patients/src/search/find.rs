//! Finding who fits a query, best first, a page at a time.
//!
//! Five tiers: who has the number, whose names have the words, whose names begin with them, who
//! would with a typo corrected, who sounds like it. The last two are only looked through where few
//! patients fit what was typed.
//!
//! Within a tier, the index is read from the part that the fewest patients have, in the order of
//! its terms, then of the patients' names: a page is a piece of the index, wherever it begins. The
//! other parts are looked for in the entries themselves, which have all words of a name, or by the
//! patient's own terms.

use serde::{Deserialize, Serialize};
use store::Connection;
use uuid::Uuid;

use super::{
    query::{Part, Query, Range, sounds},
    vocabulary,
};

/// Up to how many hits are counted.
pub(crate) const COUNTED: i64 = 1000;

/// Fewer hits than this are followed by those with typos, and those that sound alike.
const FEW: i64 = 20;

/// How many entries of the index are counted, to tell which part of a query is rare.
const ESTIMATED: i64 = 10_000;

/// How many entries of the index are looked at to count hits, at first and at most.
const LOOKED_AT_FIRST: i64 = 2_000;
const LOOKED_AT: i64 = 10_000;

/// How many words with a typo corrected are looked for.
const MOST_WORDS: usize = 50;

/// What the caller may find.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// Whether restricted patients are found.
    pub(crate) restricted: bool,
    /// Whether deleted patients are found.
    pub(crate) deleted: bool,
    /// Only these patients are found, if somebody says so.
    pub(crate) only: Option<&'a [Uuid]>,
}

/// How good a hit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Tier {
    /// The query is a number of the patient's.
    Number,
    /// The patient has every word.
    Word,
    /// The patient has words that begin like this.
    Beginning,
    /// The patient has words that differ in one letter.
    Typo,
    /// The patient has words that sound alike.
    Sound,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    tier: Tier,
    /// Which part of the query the index was read from.
    part: usize,
    term: String,
    sort_key: String,
    patient: Uuid,
    /// Whether there are hits beyond [`Tier::Beginning`].
    few: bool,
    /// How many there were when the first page was read: to count them takes longer than a page.
    total: Option<i64>,
}

/// A page of hits.
pub(crate) struct Hits {
    /// The patients, best first.
    pub(crate) patients: Vec<Uuid>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<Place>,
    /// How many there are, if they could be counted.
    pub(crate) total: Option<i64>,
}

struct Hit {
    patient: Uuid,
    term: String,
    sort_key: String,
}

/// How many hits there are, up to one more than are counted.
struct Counted {
    hits: i64,
    /// Whether there are no entries beyond those that were looked at.
    is_known: bool,
}

/// A part of a query as it is looked for in a tier.
#[derive(Debug, Clone, Default)]
struct Sought {
    ranges: Vec<Range>,
    /// The same as a pattern for the entries of the same kind; empty if those do not tell.
    pattern: Option<String>,
    /// Which kind of entries the ranges are of.
    kind: Kind,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    Word,
    Sound,
    #[default]
    Other,
}

/// All parts of a query in one tier.
type Tiered = Vec<Sought>;

/// A query with everything that it takes to look for it.
pub(crate) struct Search<'a> {
    database: &'a Connection,
    scope: Scope<'a>,
    parts: Vec<Part>,
    /// The words with one letter different, for each part.
    corrected: Vec<Vec<String>>,
    /// Who has the number that the query is.
    numbered: Vec<Uuid>,
}

impl<'a> Search<'a> {
    /// Prepares the search: who has the number, and which words are meant.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn new(
        query: Query,
        scope: Scope<'a>,
        database: &'a Connection,
    ) -> Result<Self, sqlx::Error> {
        let numbered = match &query.identifier {
            Some(identifier) => who_has(identifier, scope, database).await?,
            None => Vec::new(),
        };
        Ok(Self {
            database,
            scope,
            parts: query.parts,
            corrected: Vec::new(),
            numbered,
        })
    }

    /// A page of this many hits.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn page(
        mut self,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Hits, sqlx::Error> {
        let (few, total) = match &after {
            Some(place) => (place.few, place.total),
            None => self.count_all().await?,
        };
        let tiers = self.tiers(few).await?;
        let wanted = limit + 1;
        let mut found: Vec<(Hit, Tier, usize)> = Vec::new();
        for tier in tiers {
            let within = after.as_ref().filter(|place| place.tier == tier);
            if after.as_ref().is_some_and(|place| place.tier > tier) || found.len() >= wanted {
                continue;
            }
            let room = wanted - found.len();
            if tier == Tier::Number {
                let hits = self
                    .numbered
                    .iter()
                    .filter(|id| within.is_none_or(|place| **id > place.patient));
                found.extend(hits.take(room).map(|id| (Hit::of(*id), tier, 0)));
                continue;
            }
            let sought = self.sought(tier);
            let part = match within {
                Some(place) => place.part.min(sought.len().saturating_sub(1)),
                None => self.rarest(&sought).await?,
            };
            let hits = self.read(tier, part, within, room).await?;
            found.extend(hits.into_iter().map(|hit| (hit, tier, part)));
        }
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| is_more)
            .map(|(hit, tier, part)| Place {
                tier: *tier,
                part: *part,
                term: hit.term.clone(),
                sort_key: hit.sort_key.clone(),
                patient: hit.patient,
                few,
                total,
            });
        Ok(Hits {
            patients: found.into_iter().map(|(hit, ..)| hit.patient).collect(),
            next,
            total,
        })
    }

    /// The tiers that there are, best first.
    async fn tiers(&mut self, few: bool) -> Result<Vec<Tier>, sqlx::Error> {
        let mut tiers = vec![Tier::Number];
        if self.parts.is_empty() {
            return Ok(tiers);
        }
        tiers.push(Tier::Word);
        let has_names = self.parts.iter().any(|part| matches!(part, Part::Name(_)));
        if !has_names {
            return Ok(tiers);
        }
        tiers.push(Tier::Beginning);
        if few {
            self.correct().await?;
            tiers.extend([Tier::Typo, Tier::Sound]);
        }
        Ok(tiers)
    }

    /// Whether the hits as typed are so few that others follow, and how many there are with those; none
    /// if they are too many to be counted.
    async fn count_all(&mut self) -> Result<(bool, Option<i64>), sqlx::Error> {
        let (as_typed, is_exact) = self.count_as_typed().await?;
        let few = is_exact && as_typed < FEW;
        let mut total = is_exact.then_some(as_typed);
        let tiers = self.tiers(few).await?.into_iter();
        for tier in tiers.filter(|tier| *tier > Tier::Beginning) {
            let (count, is_exact) = self.count(tier).await?;
            total = total.filter(|_| is_exact).map(|total| total + count);
        }
        Ok((few, total.filter(|total| *total <= COUNTED)))
    }

    /// How many hits there are as typed, and whether that is all of them.
    async fn count_as_typed(&mut self) -> Result<(i64, bool), sqlx::Error> {
        let mut count = i64::try_from(self.numbered.len()).unwrap_or(i64::MAX);
        let mut is_exact = true;
        for tier in self.tiers(false).await? {
            if tier != Tier::Number && is_exact && count <= COUNTED {
                let (more, all) = self.count(tier).await?;
                count += more;
                is_exact &= all;
            }
        }
        Ok((count, is_exact))
    }

    /// Finds the words that the query may mean.
    async fn correct(&mut self) -> Result<(), sqlx::Error> {
        if !self.corrected.is_empty() {
            return Ok(());
        }
        for part in &self.parts {
            let mut words = Vec::new();
            if let Part::Name(forms) = part {
                for form in forms.iter().filter(|form| vocabulary::may_have_typo(form)) {
                    words.extend(vocabulary::near(form, self.database).await?);
                }
            }
            words.sort_unstable();
            words.dedup();
            words.truncate(MOST_WORDS);
            self.corrected.push(words);
        }
        Ok(())
    }

    /// How the parts are looked for in this tier. What fits in a better tier fits here as well.
    fn sought(&self, tier: Tier) -> Tiered {
        let corrected = |place: usize| self.corrected.get(place).into_iter().flatten();
        let parts = self.parts.iter().enumerate();
        parts
            .map(|(place, part)| {
                let forms = match part {
                    Part::Exact(ranges) => {
                        return Sought {
                            ranges: ranges.clone(),
                            ..Sought::default()
                        };
                    }
                    Part::Name(forms) => forms,
                };
                let (words, beginnings, kind) = match tier {
                    Tier::Number | Tier::Word => (forms.clone(), Vec::new(), Kind::Word),
                    Tier::Beginning => (Vec::new(), forms.clone(), Kind::Word),
                    Tier::Typo => (
                        corrected(place).cloned().collect(),
                        forms.clone(),
                        Kind::Word,
                    ),
                    Tier::Sound => match sounds(forms) {
                        // Nobody can tell how it sounds: as it is written.
                        codes if codes.is_empty() => (Vec::new(), forms.clone(), Kind::Word),
                        codes => (codes, Vec::new(), Kind::Sound),
                    },
                };
                Sought::new(&words, &beginnings, kind)
            })
            .collect()
    }

    /// The part that the fewest patients have, as far as that can be counted quickly.
    async fn rarest(&self, sought: &Tiered) -> Result<usize, sqlx::Error> {
        if sought.len() < 2 {
            return Ok(0);
        }
        let mut best = (i64::MAX, 0);
        for (place, part) in sought.iter().enumerate() {
            let (from, to) = bounds(&part.ranges);
            let entries = sqlx::query_scalar!(
                r#"SELECT count(*) AS "count!"
                   FROM (SELECT FROM unnest($1::text[], $2::text[]) AS range (low, high)
                         -- Each range for itself, or PostgreSQL may read all entries in search of
                         -- some that are in a range.
                         CROSS JOIN LATERAL (
                             SELECT term FROM patients.search_term
                             WHERE term >= low AND term <= high ORDER BY term LIMIT $3) AS entry
                         LIMIT $3) AS counted"#,
                &from,
                &to,
                ESTIMATED,
            )
            .fetch_one(self.database)
            .await?;
            if entries < best.0 {
                best = (entries, place);
            }
        }
        Ok(best.1)
    }

    /// What reading a tier from one of its parts takes.
    fn plan(&self, tier: Tier, part: usize) -> Plan {
        let sought = self.sought(tier);
        let driver = &sought[part];
        let mut plan = Plan::default();
        (plan.from, plan.to) = bounds(&driver.ranges);
        let tells = |other: &Sought| other.kind == driver.kind && other.kind != Kind::Other;
        for (place, other) in sought
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != part)
        {
            match &other.pattern {
                Some(pattern) if tells(other) => plan.patterns.push(pattern.clone()),
                _ => plan.others.add(place, &other.ranges),
            }
        }
        let better = match tier {
            Tier::Number | Tier::Word => return plan,
            Tier::Beginning => Tier::Word,
            Tier::Typo => Tier::Beginning,
            Tier::Sound => Tier::Typo,
        };
        let better = self.sought(better);
        let all_tell = better.iter().all(tells) && better.iter().all(|part| part.pattern.is_some());
        for (place, part) in better.iter().enumerate() {
            match &part.pattern {
                Some(pattern) if all_tell => plan.not_patterns.push(pattern.clone()),
                _ => plan.not_others.add(place, &part.ranges),
            }
        }
        plan
    }

    /// Hits of a tier, in the order of the index.
    async fn read(
        &self,
        tier: Tier,
        part: usize,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Hit>, sqlx::Error> {
        let plan = self.plan(tier, part);
        let starts = plan.starts(after);
        sqlx::query_as!(
            Hit,
            r#"SELECT hit.patient_id AS "patient!", hit.term AS "term!", hit.sort_key AS "sort_key!"
               FROM unnest($1::text[], $3::text[], $4::uuid[], $2::text[]) AS range (low, key, id, high)
               CROSS JOIN LATERAL (
                   SELECT entry.patient_id, entry.term, entry.sort_key
                   FROM patients.search_term AS entry
                   -- One lower bound: of two, PostgreSQL may begin to read at the lower one.
                   WHERE (entry.term, entry.sort_key, entry.patient_id) > (low, key, id)
                     AND entry.term <= high
                     AND (NOT entry.restricted OR $6) AND (NOT entry.gone OR $7)
                     AND ($8::uuid[] IS NULL OR entry.patient_id = ANY($8))
                     AND entry.patient_id <> ALL($9::uuid[])
                     AND entry.beside ~ ALL($10::text[])
                     AND (cardinality($11::text[]) = 0 OR NOT entry.beside ~ ALL($11))
                     AND NOT EXISTS (
                         SELECT FROM unnest($12::integer[], $13::text[], $14::text[])
                             AS other (part, low, high)
                         GROUP BY part
                         HAVING NOT bool_or(EXISTS (
                             SELECT FROM patients.search_term AS own
                             WHERE own.patient_id = entry.patient_id
                               AND own.term >= other.low AND own.term <= other.high)))
                     AND (cardinality($15::integer[]) = 0 OR EXISTS (
                         SELECT FROM unnest($15, $16::text[], $17::text[])
                             AS other (part, low, high)
                         GROUP BY part
                         HAVING NOT bool_or(EXISTS (
                             SELECT FROM patients.search_term AS own
                             WHERE own.patient_id = entry.patient_id
                               AND own.term >= other.low AND own.term <= other.high))))
                     AND NOT EXISTS (
                         SELECT FROM unnest($5::text[], $19::text[]) AS earlier (low, high)
                         JOIN patients.search_term AS own
                           ON own.term >= earlier.low AND own.term <= earlier.high
                         WHERE own.patient_id = entry.patient_id AND own.term < entry.term)
                   ORDER BY entry.term, entry.sort_key, entry.patient_id
                   LIMIT $18
               ) AS hit
               ORDER BY hit.term, hit.sort_key, hit.patient_id
               LIMIT $18"#,
            &starts.terms,
            &starts.ends,
            &starts.sort_keys,
            &starts.patients,
            &plan.from,
            self.scope.restricted,
            self.scope.deleted,
            self.scope.only,
            &self.numbered,
            &plan.patterns,
            &plan.not_patterns,
            &plan.others.parts,
            &plan.others.from,
            &plan.others.to,
            &plan.not_others.parts,
            &plan.not_others.from,
            &plan.not_others.to,
            i64::try_from(limit).unwrap_or(i64::MAX),
            &plan.to,
        )
        .fetch_all(self.database)
        .await
    }

    /// How many hits of a tier there are, up to one more than are counted, and whether that is
    /// known: a tier with too many candidates is not counted to its end.
    async fn count(&self, tier: Tier) -> Result<(i64, bool), sqlx::Error> {
        let sought = self.sought(tier);
        let part = self.rarest(&sought).await?;
        let plan = self.plan(tier, part);
        // Where most of what is looked at is a hit, a few entries are more than are counted.
        let first = self.count_among(LOOKED_AT_FIRST, &plan).await?;
        if first.is_known || first.hits > COUNTED {
            return Ok((first.hits, first.is_known && first.hits <= COUNTED));
        }
        let all = self.count_among(LOOKED_AT, &plan).await?;
        Ok((all.hits, all.is_known && all.hits <= COUNTED))
    }

    /// How many hits there are among so many entries of the index.
    async fn count_among(&self, entries: i64, plan: &Plan) -> Result<Counted, sqlx::Error> {
        let counted = sqlx::query!(
            r#"WITH candidate AS MATERIALIZED (
                   SELECT entry.patient_id, entry.term, entry.beside, entry.restricted, entry.gone
                   FROM unnest($1::text[], $2::text[]) AS range (low, high)
                   CROSS JOIN LATERAL (
                       SELECT * FROM patients.search_term
                       WHERE term >= low AND term <= high ORDER BY term LIMIT $3) AS entry
                   LIMIT $3
               )
               SELECT (SELECT count(*) FROM candidate) AS "candidates!", (
                   SELECT count(*) FROM (
                       SELECT DISTINCT entry.patient_id
                       FROM candidate AS entry
                       WHERE (NOT entry.restricted OR $4) AND (NOT entry.gone OR $5)
                         AND ($6::uuid[] IS NULL OR entry.patient_id = ANY($6))
                         AND entry.patient_id <> ALL($7::uuid[])
                         AND entry.beside ~ ALL($8::text[])
                         AND (cardinality($9::text[]) = 0 OR NOT entry.beside ~ ALL($9))
                         AND NOT EXISTS (
                             SELECT FROM unnest($10::integer[], $11::text[], $12::text[])
                                 AS other (part, low, high)
                             GROUP BY part
                             HAVING NOT bool_or(EXISTS (
                                 SELECT FROM patients.search_term AS own
                                 WHERE own.patient_id = entry.patient_id
                                   AND own.term >= other.low AND own.term <= other.high)))
                         AND (cardinality($13::integer[]) = 0 OR EXISTS (
                             SELECT FROM unnest($13, $14::text[], $15::text[])
                                 AS other (part, low, high)
                             GROUP BY part
                             HAVING NOT bool_or(EXISTS (
                                 SELECT FROM patients.search_term AS own
                                 WHERE own.patient_id = entry.patient_id
                                   AND own.term >= other.low AND own.term <= other.high))))
                       LIMIT $16
                   ) AS hit
               ) AS "hits!""#,
            &plan.from,
            &plan.to,
            entries,
            self.scope.restricted,
            self.scope.deleted,
            self.scope.only,
            &self.numbered,
            &plan.patterns,
            &plan.not_patterns,
            &plan.others.parts,
            &plan.others.from,
            &plan.others.to,
            &plan.not_others.parts,
            &plan.not_others.from,
            &plan.not_others.to,
            COUNTED + 1,
        )
        .fetch_one(self.database)
        .await?;
        Ok(Counted {
            hits: counted.hits,
            is_known: counted.candidates < entries,
        })
    }
}

impl Hit {
    const fn of(patient: Uuid) -> Self {
        Self {
            patient,
            term: String::new(),
            sort_key: String::new(),
        }
    }
}

impl Sought {
    fn new(words: &[String], beginnings: &[String], kind: Kind) -> Self {
        let whole = words.iter().map(|word| format!("{word} "));
        let alternatives: Vec<String> = whole.chain(beginnings.iter().cloned()).collect();
        let ranges = words.iter().map(|word| Range::exactly(word.as_str()));
        let mut ranges: Vec<Range> = ranges
            .chain(
                beginnings
                    .iter()
                    .map(|beginning| Range::starting(beginning)),
            )
            .collect();
        ranges.sort_unstable();
        Self {
            ranges,
            // Words consist of letters and digits, codes of letters behind a tilde: nothing that a
            // pattern would take for something else.
            pattern: Some(format!(" ({})", alternatives.join("|"))),
            kind,
        }
    }
}

#[derive(Debug, Default)]
struct Plan {
    from: Vec<String>,
    to: Vec<String>,
    patterns: Vec<String>,
    not_patterns: Vec<String>,
    others: Others,
    not_others: Others,
}

/// Where the ranges of a plan are read from and to.
#[derive(Debug, Default)]
struct Starts {
    terms: Vec<String>,
    sort_keys: Vec<String>,
    patients: Vec<Uuid>,
    ends: Vec<String>,
}

impl Plan {
    /// From the beginning of each range, or from where the last page ended.
    fn starts(&self, after: Option<&Place>) -> Starts {
        let mut starts = Starts::default();
        for (from, to) in self.from.iter().zip(&self.to) {
            // Terms are compared byte by byte, here as in the database.
            let (term, sort_key, patient) = match after {
                Some(place) if place.term > *to => continue,
                Some(place) if place.term >= *from => {
                    (&place.term, place.sort_key.clone(), place.patient)
                }
                _ => (from, String::new(), Uuid::nil()),
            };
            starts.terms.push(term.clone());
            starts.sort_keys.push(sort_key);
            starts.patients.push(patient);
            starts.ends.push(to.clone());
        }
        starts
    }
}

/// Parts that are looked for among the patient's own terms.
#[derive(Debug, Default)]
struct Others {
    parts: Vec<i32>,
    from: Vec<String>,
    to: Vec<String>,
}

impl Others {
    fn add(&mut self, part: usize, ranges: &[Range]) {
        for range in ranges {
            self.parts.push(i32::try_from(part).unwrap_or(i32::MAX));
            self.from.push(range.from.clone());
            self.to.push(range.to.clone());
        }
    }
}

fn bounds(ranges: &[Range]) -> (Vec<String>, Vec<String>) {
    ranges
        .iter()
        .map(|range| (range.from.clone(), range.to.clone()))
        .unzip()
}

/// Who has this record number or identifier. Who was merged into another is that one.
pub(crate) async fn who_has(
    identifier: &str,
    scope: Scope<'_>,
    database: &Connection,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let number = identifier.parse::<i64>().unwrap_or(-1);
    sqlx::query_scalar!(
        r#"SELECT DISTINCT patient.id AS "id!"
           FROM (SELECT coalesce(merged_into, id) AS id
                 FROM patients.patient WHERE record_number = $1
                 UNION ALL
                 SELECT patient_id FROM patients.patient_identifier
                 WHERE lower(value) = lower($2)) AS holder
           JOIN patients.patient ON patient.id = holder.id
           WHERE (NOT restricted OR $3) AND (deleted_at IS NULL OR $4)
             AND ($5::uuid[] IS NULL OR patient.id = ANY($5))
           ORDER BY 1
           LIMIT 50"#,
        number,
        identifier,
        scope.restricted,
        scope.deleted,
        scope.only,
    )
    .fetch_all(database)
    .await
}
