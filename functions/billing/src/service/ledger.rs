//! The ledger: double entry, in which nothing is ever changed.
//!
//! Debit is more than 0, credit is less. Each patient's account has two accounts here, whose
//! balances are kept: what they owe, and what they have paid that is not used. The accounts of the
//! patient are locked before ([`Work::lock_patient`]), so that nobody else moves these balances.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    method::Method,
    work::{Stopped, Work},
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type, strum::IntoStaticStr)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum EntryKind {
    InvoiceIssued,
    InvoiceVoided,
    CreditNoteIssued,
    InvoiceWrittenOff,
    PaymentRecorded,
    PaymentReversed,
    CreditAllocated,
    AllocationReleased,
    RefundCompleted,
}

/// An account in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LedgerAccount {
    /// What the patient of this account owes.
    Receivable(Uuid),
    /// What the patient of this account has paid, and is not used.
    Credit(Uuid),
    Revenue,
    Tax,
    /// Where money of this kind is.
    Money(Method),
    BadDebt,
}

/// The kind of an account in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type, strum::IntoStaticStr)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AccountKind {
    Receivable,
    Credit,
    Revenue,
    Tax,
    Cash,
    Card,
    Transfer,
    BadDebt,
}

impl From<Method> for AccountKind {
    fn from(method: Method) -> Self {
        match method {
            Method::Cash => Self::Cash,
            Method::Card => Self::Card,
            Method::Transfer => Self::Transfer,
        }
    }
}

impl LedgerAccount {
    fn kind(self) -> AccountKind {
        match self {
            Self::Receivable(_) => AccountKind::Receivable,
            Self::Credit(_) => AccountKind::Credit,
            Self::Revenue => AccountKind::Revenue,
            Self::Tax => AccountKind::Tax,
            Self::Money(method) => method.into(),
            Self::BadDebt => AccountKind::BadDebt,
        }
    }

    fn account(self) -> Option<Uuid> {
        match self {
            Self::Receivable(account) | Self::Credit(account) => Some(account),
            Self::Revenue | Self::Tax | Self::Money(_) | Self::BadDebt => None,
        }
    }

    fn of(kind: AccountKind, account: Option<Uuid>) -> Option<Self> {
        Some(match kind {
            AccountKind::Receivable => Self::Receivable(account?),
            AccountKind::Credit => Self::Credit(account?),
            AccountKind::Revenue => Self::Revenue,
            AccountKind::Tax => Self::Tax,
            AccountKind::Cash => Self::Money(Method::Cash),
            AccountKind::Card => Self::Money(Method::Card),
            AccountKind::Transfer => Self::Money(Method::Transfer),
            AccountKind::BadDebt => Self::BadDebt,
        })
    }
}

/// One side of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) account: LedgerAccount,
    /// In the smallest unit of the currency; debit is more than 0.
    pub(crate) amount: i64,
    /// What revenue and its tax are for.
    pub(crate) code: Option<String>,
    /// How it is taxed.
    pub(crate) tax_rate_ppm: Option<i32>,
}

impl Posting {
    pub(crate) const fn debit(account: LedgerAccount, amount: i64) -> Self {
        Self {
            account,
            amount,
            code: None,
            tax_rate_ppm: None,
        }
    }

    pub(crate) const fn credit(account: LedgerAccount, amount: i64) -> Self {
        Self::debit(account, -amount)
    }
}

/// What was earned, by what it is for and how it is taxed: the reports add it up by these.
#[derive(Debug, Default)]
pub(crate) struct Earned(BTreeMap<(String, i32), (i64, i64)>);

impl Earned {
    /// Adds what a line comes to, or a part of it.
    pub(crate) fn add(&mut self, code: &str, tax_rate_ppm: i32, net: i64, tax: i64) {
        let sums = self.0.entry((code.to_owned(), tax_rate_ppm)).or_default();
        *sums = (sums.0 + net, sums.1 + tax);
    }

    /// It is earned.
    pub(crate) fn credits(self) -> impl Iterator<Item = Posting> {
        self.postings(-1)
    }

    /// It is not earned after all.
    pub(crate) fn debits(self) -> impl Iterator<Item = Posting> {
        self.postings(1)
    }

    fn postings(self, sign: i64) -> impl Iterator<Item = Posting> {
        self.0
            .into_iter()
            .flat_map(move |((code, rate), (net, tax))| {
                [(LedgerAccount::Revenue, net), (LedgerAccount::Tax, tax)].map(
                    |(account, amount)| Posting {
                        account,
                        amount: amount * sign,
                        code: Some(code.clone()),
                        tax_rate_ppm: Some(rate),
                    },
                )
            })
    }
}

/// What is to be booked. Postings of 0 are left out.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) kind: EntryKind,
    /// The patient's account that it is about.
    pub(crate) account_id: Uuid,
    pub(crate) invoice_id: Option<Uuid>,
    pub(crate) credit_note_id: Option<Uuid>,
    pub(crate) payment_id: Option<Uuid>,
    pub(crate) refund_id: Option<Uuid>,
    /// The entry that it takes back.
    pub(crate) reverses: Option<Uuid>,
    pub(crate) postings: Vec<Posting>,
}

impl Entry {
    pub(crate) fn new(kind: EntryKind, account_id: Uuid, postings: Vec<Posting>) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind,
            account_id,
            invoice_id: None,
            credit_note_id: None,
            payment_id: None,
            refund_id: None,
            reverses: None,
            postings,
        }
    }

    pub(crate) const fn about_invoice(mut self, invoice: Uuid) -> Self {
        self.invoice_id = Some(invoice);
        self
    }

    /// How much more the patient owes by it.
    fn owed(&self) -> i64 {
        let postings = self.postings.iter();
        let owed =
            postings.filter(|posting| matches!(posting.account, LedgerAccount::Receivable(_)));
        owed.map(|posting| posting.amount).sum()
    }

    pub(crate) const fn about_payment(mut self, payment: Uuid) -> Self {
        self.payment_id = Some(payment);
        self
    }
}

/// The exact opposite of an entry that was booked, as another one. None if nothing was booked: an
/// invoice of 0 has no entry.
pub(crate) async fn opposite_of(
    work: &mut Work,
    booked: EntryKind,
    about: Uuid,
    kind: EntryKind,
) -> Result<Option<Entry>, Stopped> {
    let name: &str = booked.into();
    let rows = sqlx::query!(
        r#"SELECT entry.id, entry.account_id, ledger_account.kind AS "kind: AccountKind",
                  ledger_account.account_id AS patient_account, amount, code, tax_rate_ppm
           FROM billing.entry
           JOIN billing.posting ON posting.entry_id = entry.id
           JOIN billing.ledger_account ON ledger_account.id = posting.ledger_account_id
           WHERE entry.kind = $1 AND (entry.invoice_id = $2 OR entry.payment_id = $2)
           ORDER BY line"#,
        name,
        about,
    )
    .fetch_all(&mut work.transaction)
    .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let (reverses, account_id) = (first.id, first.account_id);
    let postings = rows.into_iter().filter_map(|row| {
        Some(Posting {
            account: LedgerAccount::of(row.kind, row.patient_account)?,
            amount: -row.amount,
            code: row.code,
            tax_rate_ppm: row.tax_rate_ppm,
        })
    });
    let mut entry = Entry::new(kind, account_id, postings.collect());
    entry.reverses = Some(reverses);
    Ok(Some(entry))
}

/// The accounts of some entries, open to be written to.
#[derive(Debug)]
pub(crate) struct Book {
    currency: String,
    accounts: HashMap<LedgerAccount, Standing>,
}

/// How an account stands.
#[derive(Debug, Clone, Copy)]
struct Standing {
    id: i64,
    balance: i64,
    sequence: i64,
}

impl Book {
    /// Opens the accounts that these entries need. What takes time in it is done here, before others
    /// wait for the number of an invoice.
    pub(crate) async fn open(
        work: &mut Work,
        currency: &str,
        entries: &[Entry],
    ) -> Result<Self, Stopped> {
        let postings = entries.iter().flat_map(|entry| &entry.postings);
        let mut wanted: Vec<_> = postings
            .map(|posting| (posting.account.kind(), posting.account.account()))
            .collect();
        // Whoever opens accounts for the first time does so in the same order.
        wanted.sort_unstable_by_key(|(kind, account)| (<&str>::from(kind), *account));
        wanted.dedup();
        let mut theirs = wanted.iter().filter_map(|(_, account)| *account);
        if let Some(account) = theirs.find(|account| !work.has_locked(*account)) {
            tracing::error!(accountId = %account, "an account is to be booked on and is not locked");
            return Err(Status::internal("the billing service failed; its log says why").into());
        }
        let kinds: Vec<String> = wanted
            .iter()
            .map(|(kind, _)| <&str>::from(kind).to_owned())
            .collect();
        let ids: Vec<Option<Uuid>> = wanted.iter().map(|(_, account)| *account).collect();

        let mut book = Self {
            currency: currency.to_owned(),
            accounts: HashMap::new(),
        };
        book.read(work, &kinds, &ids).await?;
        if book.accounts.len() < wanted.len() {
            sqlx::query!(
                "INSERT INTO billing.ledger_account (kind, currency, account_id)
                 SELECT kind, $1, account_id
                 FROM unnest($2::text[], $3::uuid[]) AS wanted (kind, account_id)
                 ORDER BY kind, account_id
                 ON CONFLICT ON CONSTRAINT ledger_account_unique DO NOTHING",
                currency,
                &kinds,
                &ids as &[Option<Uuid>],
            )
            .execute(&mut work.transaction)
            .await?;
            book.read(work, &kinds, &ids).await?;
        }
        Ok(book)
    }

    async fn read(
        &mut self,
        work: &mut Work,
        kinds: &[String],
        ids: &[Option<Uuid>],
    ) -> Result<(), Stopped> {
        let rows = sqlx::query!(
            r#"SELECT account.id, account.kind AS "kind: AccountKind", account.account_id,
                      balance, last_sequence
               FROM unnest($2::text[], $3::uuid[]) AS wanted (kind, account_id)
               JOIN billing.ledger_account AS account
                   ON account.kind = wanted.kind AND account.currency = $1
                   AND account.account_id IS NOT DISTINCT FROM wanted.account_id"#,
            self.currency,
            kinds,
            ids as &[Option<Uuid>],
        )
        .fetch_all(&mut work.transaction)
        .await?;
        for row in rows {
            if let Some(account) = LedgerAccount::of(row.kind, row.account_id) {
                let standing = Standing {
                    id: row.id,
                    balance: row.balance,
                    sequence: row.last_sequence,
                };
                self.accounts.insert(account, standing);
            }
        }
        Ok(())
    }

    /// Books the entries on the date of the change, in their order.
    ///
    /// One statement, as others may wait for the number of an invoice: the balances, the entries and
    /// their postings do not touch each other's rows.
    pub(crate) async fn write(
        mut self,
        work: &mut Work,
        entries: Vec<Entry>,
    ) -> Result<(), Stopped> {
        let entries: Vec<Entry> = entries.into_iter().filter_map(without_nothing).collect();
        if entries.is_empty() {
            return Ok(());
        }
        for entry in &entries {
            if let Some(invoice) = entry.invoice_id {
                work.due_changes(invoice, &self.currency, entry.owed());
            }
        }
        let rows = self.post(&entries)?;
        let moved: Vec<Standing> = self
            .accounts
            .iter()
            .filter(|(account, _)| account.account().is_some())
            .map(|(_, standing)| *standing)
            .collect();
        let (actor, request_id, date) = (work.actor(), work.request_id(), work.today());
        sqlx::query!(
            "WITH moved AS (
                 UPDATE billing.ledger_account
                 SET balance = now.balance, last_sequence = now.last_sequence
                 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
                     AS now (id, balance, last_sequence)
                 WHERE ledger_account.id = now.id
             ), booked AS (
                 INSERT INTO billing.entry
                     (id, kind, account_id, business_date, invoice_id, credit_note_id, payment_id,
                      refund_id, actor, request_id, reverses)
                 SELECT id, kind, account_id, $4, invoice_id, credit_note_id, payment_id, refund_id,
                        $5, $6, reverses
                 FROM unnest($7::uuid[], $8::text[], $9::uuid[], $10::uuid[], $11::uuid[],
                             $12::uuid[], $13::uuid[], $14::uuid[]) WITH ORDINALITY
                     AS entry (id, kind, account_id, invoice_id, credit_note_id, payment_id,
                               refund_id, reverses, place)
                 ORDER BY place
             )
             INSERT INTO billing.posting
                 (entry_id, line, ledger_account_id, currency, amount, sequence, balance_after, code,
                  tax_rate_ppm)
             SELECT entry_id, line, ledger_account_id, $15, amount, sequence, balance_after, code,
                    tax_rate_ppm
             FROM unnest($16::uuid[], $17::integer[], $18::bigint[], $19::bigint[], $20::bigint[],
                         $21::bigint[], $22::text[], $23::integer[])
                 AS posting (entry_id, line, ledger_account_id, amount, sequence, balance_after,
                             code, tax_rate_ppm)",
            &column(&moved, |standing| standing.id),
            &column(&moved, |standing| standing.balance),
            &column(&moved, |standing| standing.sequence),
            date,
            actor,
            request_id,
            &column(&entries, |entry| entry.id),
            &column(&entries, |entry| <&str>::from(entry.kind).to_owned()),
            &column(&entries, |entry| entry.account_id),
            &column(&entries, |entry| entry.invoice_id) as &[Option<Uuid>],
            &column(&entries, |entry| entry.credit_note_id) as &[Option<Uuid>],
            &column(&entries, |entry| entry.payment_id) as &[Option<Uuid>],
            &column(&entries, |entry| entry.refund_id) as &[Option<Uuid>],
            &column(&entries, |entry| entry.reverses) as &[Option<Uuid>],
            self.currency,
            &column(&rows, |row| row.entry_id),
            &column(&rows, |row| row.line),
            &column(&rows, |row| row.ledger_account_id),
            &column(&rows, |row| row.amount),
            &column(&rows, |row| row.sequence) as &[Option<i64>],
            &column(&rows, |row| row.balance_after) as &[Option<i64>],
            &column(&rows, |row| row.code.clone()) as &[Option<String>],
            &column(&rows, |row| row.tax_rate_ppm) as &[Option<i32>],
        )
        .execute(&mut work.transaction)
        .await?;
        Ok(())
    }

    /// The rows of all postings, with the balances as they become one after another.
    fn post(&mut self, entries: &[Entry]) -> Result<Vec<Row>, Status> {
        let mut rows = Vec::new();
        for entry in entries {
            for (line, posting) in (1..).zip(&entry.postings) {
                let standing = self.accounts.get_mut(&posting.account).ok_or_else(|| {
                    tracing::error!(account = ?posting.account, "the account was not opened");
                    Status::internal("the billing service failed; its log says why")
                })?;
                let kept = posting.account.account().is_some();
                if kept {
                    // Amounts are bounded, so that no balance of any patient overflows.
                    standing.balance = standing.balance.saturating_add(posting.amount);
                    standing.sequence += 1;
                }
                rows.push(Row {
                    entry_id: entry.id,
                    line,
                    ledger_account_id: standing.id,
                    amount: posting.amount,
                    sequence: kept.then_some(standing.sequence),
                    balance_after: kept.then_some(standing.balance),
                    code: posting.code.clone(),
                    tax_rate_ppm: posting.tax_rate_ppm,
                });
            }
        }
        Ok(rows)
    }
}

/// A row of `billing.posting`.
struct Row {
    entry_id: Uuid,
    line: i32,
    ledger_account_id: i64,
    amount: i64,
    sequence: Option<i64>,
    balance_after: Option<i64>,
    code: Option<String>,
    tax_rate_ppm: Option<i32>,
}

fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// The entry without postings of 0; none if nothing is left, as of an invoice of 0.
fn without_nothing(mut entry: Entry) -> Option<Entry> {
    entry.postings.retain(|posting| posting.amount != 0);
    (!entry.postings.is_empty()).then_some(entry)
}

/// Opens the accounts and books the entries.
pub(crate) async fn book(
    work: &mut Work,
    currency: &str,
    entries: Vec<Entry>,
) -> Result<(), Stopped> {
    Book::open(work, currency, &entries)
        .await?
        .write(work, entries)
        .await
}

/// The next number of a series, for the rest of the transaction: whoever wants one after this waits
/// for its end.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) series: String,
    pub(crate) sequence: i64,
    pub(crate) number: String,
    pub(crate) date: NaiveDate,
}

/// Takes the next number of this year's series with this prefix: `2026-000001`, `CN-2026-000001`. The
/// date is today's, but never before that of the number before.
pub(crate) async fn next_number(work: &mut Work, prefix: &str) -> Result<Numbered, Stopped> {
    let series = format!("{prefix}{}", work.today().format("%Y"));
    let (sequence, last_date) = match take(work, &series).await? {
        Some(taken) => taken,
        None => first_of(work, &series).await?,
    };
    // A series is of one year, and so are its dates: whoever has waited past the end of a year dates
    // the number in the old one.
    let date = match last_date {
        Some(last) => work.not_before(last),
        None => work.today(),
    };
    Ok(Numbered {
        number: format!("{series}-{sequence:06}"),
        series,
        sequence,
        date,
    })
}

/// The first number of a series, unless somebody else has just taken it.
async fn first_of(work: &mut Work, series: &str) -> Result<(i64, Option<NaiveDate>), Stopped> {
    sqlx::query!(
        "INSERT INTO billing.number_series (name) VALUES ($1) ON CONFLICT DO NOTHING",
        series
    )
    .execute(&mut work.transaction)
    .await?;
    let taken = take(work, series).await?.ok_or_else(|| {
        tracing::error!(series, "a series that was just made is not there");
        Status::internal("the billing service failed; its log says why")
    })?;
    Ok(taken)
}

async fn take(work: &mut Work, series: &str) -> Result<Option<(i64, Option<NaiveDate>)>, Stopped> {
    let row = sqlx::query!(
        "UPDATE billing.number_series SET last_number = last_number + 1
         WHERE name = $1
         RETURNING last_number, last_date",
        series
    )
    .fetch_optional(&mut work.transaction)
    .await?;
    Ok(row.map(|row| (row.last_number, row.last_date)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balances_follow_each_other_within_an_entry() {
        let patient = Uuid::from_u128(1);
        let standing = |id| Standing {
            id,
            balance: 0,
            sequence: 0,
        };
        let mut book = Book {
            currency: "EUR".to_owned(),
            accounts: HashMap::from([
                (LedgerAccount::Receivable(patient), standing(1)),
                (LedgerAccount::Revenue, standing(2)),
            ]),
        };
        let entry = |amount| {
            let postings = vec![
                Posting::debit(LedgerAccount::Receivable(patient), amount),
                Posting::credit(LedgerAccount::Revenue, amount),
            ];
            Entry::new(EntryKind::InvoiceIssued, patient, postings)
        };
        let rows = book.post(&[entry(100), entry(-30)]).unwrap();
        let kept: Vec<_> = rows
            .iter()
            .map(|row| (row.sequence, row.balance_after))
            .collect();
        let expected = [
            (Some(1), Some(100)),
            (None, None),
            (Some(2), Some(70)),
            (None, None),
        ];
        assert_eq!(kept, expected);
        assert_eq!(rows.iter().map(|row| row.amount).sum::<i64>(), 0);
    }

    #[test]
    fn nothing_is_not_booked() {
        let nothing = vec![Posting::debit(LedgerAccount::Revenue, 0)];
        let entry = Entry::new(EntryKind::InvoiceIssued, Uuid::nil(), nothing);
        assert!(without_nothing(entry).is_none());
    }
}
