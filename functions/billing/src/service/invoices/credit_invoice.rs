//! `CreditInvoice`: a credit note about an invoice, or a part of it.
//!
//! The amount is split among the lines in proportion to what is left of them, to the last cent, and
//! each part into net and tax, so that a line that is credited bit by bit ends with its exact tax.
//! What is credited beyond what is due was paid: its allocations are taken back, the newest first, and
//! it is the patient's credit.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{CreditInvoiceRequest, CreditInvoiceResponse};
use events::BillingChange;
use money::Money;
use tonic::Status;
use uuid::Uuid;

use super::{
    draft_lines::MAX_LINES,
    invoice::{State, StoredInvoice, StoredLine, lines, whole},
    leave_worklist,
};
use crate::service::{
    input::{self, stored_amount},
    ledger::{Book, Earned, Entry, EntryKind, LedgerAccount, Numbered, Posting, next_number},
    refused::{Faults, invalid},
    settle::{Use, release, up_to, uses_of_invoice},
    wire,
    work::{Change, Stopped, Work},
};

/// What comes before the year in the name of the series.
const SERIES: &str = "CN-";

impl Change for CreditInvoiceRequest {
    type Answer = CreditInvoiceResponse;

    const METHOD: &'static str = "CreditInvoice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<CreditInvoiceResponse, Stopped> {
        let wanted = Wanted::read(self)?;
        let id = wanted.invoice;
        let (_, invoice) = StoredInvoice::lock(work, id, &self.etag).await?;
        if matches!(invoice.state, State::Draft | State::Void) {
            let why = "the invoice is not issued, or void";
            return Err(invoice.refusal(RefusalReason::InvoiceNotIssued, why).into());
        }
        let lines = lines(&mut work.transaction, id).await?;
        let note = Note::of(&wanted, &invoice, &lines)?;

        let paid = (note.total() - invoice.due).max(0);
        let uses = up_to(uses_of_invoice(work, id).await?, paid);
        release(work, &uses).await?;
        sqlx::query!(
            "UPDATE billing.invoice SET version = version + 1, credited = credited + $2
             WHERE id = $1",
            id,
            note.total(),
        )
        .execute(&mut work.transaction)
        .await?;
        settle_worklist(work, &note, &lines).await?;
        leave_worklist(work, id).await?;
        let mut entries: Vec<Entry> = uses.iter().map(Use::release).collect();
        entries.push(note.entry(&invoice, &lines));
        let book = Book::open(work, &invoice.currency, &entries).await?;
        let patient = Some(invoice.patient_id);
        work.record(Action::CreditInvoice, invoice.resource(), patient);

        let numbered = next_number(work, SERIES).await?;
        note.insert(work, &wanted, numbered).await?;
        book.write(work, entries).await?;
        let change = BillingChange::CreditNoteIssued {
            credit_note: note.id,
            invoice: id,
            total: wire::amount(&invoice.currency, note.total()),
            tax: wire::amount(&invoice.currency, note.tax()),
        };
        work.announce(invoice.patient_id, change);
        answer(work, id, note.id).await
    }
}

struct Wanted {
    invoice: Uuid,
    reason: String,
    amount: Option<Money>,
    lines: Vec<Uuid>,
}

impl Wanted {
    fn read(request: &CreditInvoiceRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let invoice = faults.take("id", input::id(&request.invoice_id));
        let reason = faults.take("reason", input::reason(&request.reason));
        let amount = faults.take("amount", input::optional_positive(request.amount.as_ref()));
        let lines = input::ids("lineIds", &request.line_ids, MAX_LINES, &mut faults);
        let (Some(invoice), Some(reason), Some(amount)) = (invoice, reason, amount) else {
            return Err(faults.refusal());
        };
        faults.none()?;
        Ok(Self {
            invoice,
            reason,
            amount,
            lines,
        })
    }
}

/// A credit note: the parts of the lines that it is about.
struct Note {
    id: Uuid,
    parts: Vec<Part>,
}

struct Part {
    /// Which line of the invoice: its place among them. Positions have gaps where a draft was changed.
    line: usize,
    /// The id of the line.
    id: Uuid,
    net: i64,
    tax: i64,
}

impl Part {
    const fn total(&self) -> i64 {
        self.net + self.tax
    }
}

impl Note {
    fn of(wanted: &Wanted, invoice: &StoredInvoice, lines: &[StoredLine]) -> Result<Self, Status> {
        for (place, id) in wanted.lines.iter().enumerate() {
            if !lines.iter().any(|line| line.id == *id) {
                let field = format!("lineIds[{place}]");
                return Err(invalid(&field, "Must be a line of the invoice"));
            }
        }
        let is_wanted =
            |line: &StoredLine| wanted.lines.is_empty() || wanted.lines.contains(&line.id);
        let left: Vec<i64> = lines
            .iter()
            .map(|line| {
                if is_wanted(line) {
                    line.total - line.credited
                } else {
                    0
                }
            })
            .collect();
        // What was written off is not credited as well.
        let most = invoice.total - invoice.credited - invoice.written_off;
        let most = most.min(left.iter().sum());
        let total = match wanted.amount {
            None => stored_amount(&invoice.currency, most)?,
            Some(amount) if amount.currency().code() == invoice.currency => amount,
            Some(_) => return Err(invalid("amount", "Must be in the currency of the invoice")),
        };
        let weights: Vec<u64> = left.iter().map(|left| left.unsigned_abs()).collect();
        let split = total.split(&weights);
        let (Some(split), true) = (split, (1..=most).contains(&total.minor_units())) else {
            let why = "the amount is more than can still be credited";
            return Err(invoice.refusal(RefusalReason::CreditExceedsInvoice, why));
        };
        let mut parts = Vec::new();
        for (line, part) in split.into_iter().enumerate() {
            if part.minor_units() > 0 {
                parts.push(part_of(&invoice.currency, line, &lines[line], part)?);
            }
        }
        Ok(Self {
            id: Uuid::now_v7(),
            parts,
        })
    }

    fn total(&self) -> i64 {
        self.parts.iter().map(Part::total).sum()
    }

    fn tax(&self) -> i64 {
        self.parts.iter().map(|part| part.tax).sum()
    }

    /// Less revenue and less tax; the patient owes so much less.
    fn entry(&self, invoice: &StoredInvoice, lines: &[StoredLine]) -> Entry {
        let mut earned = Earned::default();
        for part in &self.parts {
            let line = &lines[part.line];
            earned.add(&line.code, line.tax_rate_ppm, part.net, part.tax);
        }
        let receivable = LedgerAccount::Receivable(invoice.account_id);
        let mut postings = vec![Posting::credit(receivable, self.total())];
        postings.extend(earned.debits());
        let kind = EntryKind::CreditNoteIssued;
        let mut entry = Entry::new(kind, invoice.account_id, postings).about_invoice(invoice.id);
        entry.credit_note_id = Some(self.id);
        entry
    }

    async fn insert(
        &self,
        work: &mut Work,
        wanted: &Wanted,
        numbered: Numbered,
    ) -> Result<(), Stopped> {
        sqlx::query!(
            "WITH dated AS (
                 UPDATE billing.number_series SET last_date = $6 WHERE name = $3
             )
             INSERT INTO billing.credit_note
                 (id, invoice_id, series, sequence, number, issue_date, net, tax, total, reason,
                  issued_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            self.id,
            wanted.invoice,
            numbered.series,
            numbered.sequence,
            numbered.number,
            numbered.date,
            self.total() - self.tax(),
            self.tax(),
            self.total(),
            wanted.reason,
            work.actor(),
        )
        .execute(&mut work.transaction)
        .await?;
        let of: Vec<Uuid> = self.parts.iter().map(|part| part.id).collect();
        let nets: Vec<i64> = self.parts.iter().map(|part| part.net).collect();
        let taxes: Vec<i64> = self.parts.iter().map(|part| part.tax).collect();
        sqlx::query!(
            "INSERT INTO billing.credit_note_line (credit_note_id, invoice_line_id, net, tax, total)
             SELECT $1, part.line, part.net, part.tax, part.net + part.tax
             FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS part (line, net, tax)",
            self.id,
            &of,
            &nets,
            &taxes,
        )
        .execute(&mut work.transaction)
        .await?;
        Ok(())
    }
}

/// A part of a line, divided into net and tax as the shares of what is credited of it so far.
fn part_of(currency: &str, place: usize, line: &StoredLine, part: Money) -> Result<Part, Status> {
    let (tax, total) = (
        stored_amount(currency, line.tax)?,
        stored_amount(currency, line.total)?,
    );
    let credited = stored_amount(currency, line.credited + part.minor_units())?;
    let tax = tax.portion(credited, total).minor_units() - line.credited_tax;
    Ok(Part {
        line: place,
        id: line.id,
        net: part.minor_units() - tax,
        tax,
    })
}

/// Charges that were to be credited, and now are, leave the worklist.
async fn settle_worklist(
    work: &mut Work,
    note: &Note,
    lines: &[StoredLine],
) -> Result<(), Stopped> {
    let settled = note.parts.iter().filter_map(|part| {
        let line = &lines[part.line];
        (line.credited + part.total() == line.total).then_some(line.charge_id)
    });
    let settled: Vec<Uuid> = settled.collect();
    sqlx::query!(
        "UPDATE billing.charge SET needs_credit_note = false, corrected = true
         WHERE id = ANY($1) AND needs_credit_note",
        &settled,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

async fn answer(
    work: &mut Work,
    invoice: Uuid,
    note: Uuid,
) -> Result<CreditInvoiceResponse, Stopped> {
    let today = work.today();
    let invoice = whole(&mut work.transaction, invoice, today).await?;
    let note = note.to_string();
    let credit_note = invoice
        .credit_notes
        .iter()
        .find(|issued| issued.credit_note_id == note);
    Ok(CreditInvoiceResponse {
        credit_note: credit_note.cloned(),
        invoice: Some(invoice),
    })
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn line(net: i64, tax: i64) -> StoredLine {
        StoredLine {
            id: Uuid::nil(),
            charge_id: Uuid::nil(),
            code: "A".to_owned(),
            description: "A".to_owned(),
            service_date: NaiveDate::default(),
            quantity: 1,
            unit_amount: net,
            discount: 0,
            net,
            tax_rate_ppm: 190_000,
            tax,
            total: net + tax,
            credited: 0,
            credited_tax: 0,
        }
    }

    /// Cent by cent, and in steps: nothing is ever less than 0, and in the end all is credited.
    #[test]
    fn a_line_credited_bit_by_bit_ends_with_its_exact_tax() {
        for (net, tax) in [(100, 19), (1, 0), (1, 1), (3, 1), (7, 7), (10_000, 1900)] {
            for step in [1, 2, 3, 50] {
                let mut line = line(net, tax);
                while line.credited < line.total {
                    let part = step.min(line.total - line.credited);
                    let part = Money::new("EUR".parse().unwrap(), part).unwrap();
                    let part = part_of("EUR", 0, &line, part).unwrap();
                    assert!(part.net >= 0 && part.tax >= 0, "{net} {tax} {step}");
                    line.credited += part.total();
                    line.credited_tax += part.tax;
                }
                assert_eq!(line.credited_tax, tax);
            }
        }
    }
}
