//! The lines of a draft: charges, copied, with their discounts and their tax.

use std::collections::HashMap;

use api::RefusalReason;
use chrono::NaiveDate;
use money::{Currency, Money, TaxRate};
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    input::stored_currency,
    party::Party,
    refused::{invalid, not_now},
    work::{Stopped, Work},
};

/// How many lines an invoice has at most.
pub(super) const MAX_LINES: usize = 200;

/// A charge that is to be on a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedLine {
    pub(super) charge: Uuid,
    /// What is taken off its amount.
    pub(super) discount: Option<Money>,
}

/// The lines of a draft, and what they add up to.
#[derive(Debug)]
pub(super) struct DraftLines {
    pub(super) currency: Currency,
    pub(super) net: i64,
    pub(super) tax: i64,
    pub(super) total: i64,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    charge: Uuid,
    code: String,
    description: String,
    service_date: NaiveDate,
    quantity: i32,
    unit_amount: i64,
    discount: i64,
    net: i64,
    tax_rate_ppm: i32,
    tax: i64,
    total: i64,
}

/// A charge that can be put on an invoice.
struct Billable {
    id: Uuid,
    currency: String,
    code: String,
    description: Option<String>,
    service_date: NaiveDate,
    quantity: i32,
    unit_amount: Option<i64>,
    tax_rate_ppm: Option<i32>,
    amount: Option<i64>,
}

impl DraftLines {
    /// The lines of these charges, in this order. `draft` is the one that they may be on already.
    ///
    /// # Errors
    /// If one is not the patient's, not billable, or on another invoice; if their currencies differ,
    /// or a discount is more than its charge.
    pub(super) async fn of(
        work: &mut Work,
        party: &Party,
        wanted: &[WantedLine],
        draft: Option<Uuid>,
    ) -> Result<Self, Stopped> {
        let ids: Vec<Uuid> = wanted.iter().map(|line| line.charge).collect();
        let charges = sqlx::query_as!(
            Billable,
            "SELECT charge.id, currency, charge.code, charge.description, charge.service_date,
                    charge.quantity, charge.unit_amount, charge.tax_rate_ppm, charge.amount
             FROM billing.charge
             WHERE charge.id = ANY($1) AND charge.account_id = ANY($2)
                 AND charge.state = 'BILLABLE'
                 AND NOT EXISTS (
                     SELECT FROM billing.invoice_line AS line
                     WHERE line.charge_id = charge.id AND line.live
                         AND line.invoice_id IS DISTINCT FROM $3
                 )",
            &ids,
            &party.account_ids(),
            draft,
        )
        .fetch_all(&mut work.transaction)
        .await?;
        let charges: HashMap<Uuid, Billable> = charges
            .into_iter()
            .map(|charge| (charge.id, charge))
            .collect();

        let mut lines = Vec::with_capacity(wanted.len());
        let mut total_of = None;
        for (place, line) in wanted.iter().enumerate() {
            let subject = format!("charge {}", line.charge);
            let charge = charges.get(&line.charge).ok_or_else(|| {
                let why = "not every charge can be put on an invoice: it has to be the patient's, \
                           billable, and on no other";
                not_now(RefusalReason::ChargeNotBillable, &subject, why)
            })?;
            let line_currency = stored_currency(&charge.currency)?;
            if *total_of.get_or_insert(line_currency) != line_currency {
                let why = "the charges are in different currencies";
                return Err(not_now(RefusalReason::MixedCurrencies, subject, why).into());
            }
            lines.push(Line::of(charge, line_currency, line.discount, place)?);
        }
        let Some(currency) = total_of else {
            let why = "there is nothing to be put on an invoice";
            return Err(not_now(RefusalReason::NothingBillable, "charges", why).into());
        };
        Self::add_up(currency, lines).map_err(Into::into)
    }

    fn add_up(currency: Currency, lines: Vec<Line>) -> Result<Self, Status> {
        let too_large = || {
            let why = "the invoice comes to more than any amount may be";
            not_now(RefusalReason::AmountTooLarge, "invoice", why)
        };
        let sum = |of: fn(&Line) -> i64| {
            // A line is bounded, so that 200 of them fit into 64 bits.
            let sum = Money::new(currency, lines.iter().map(of).sum());
            sum.map(Money::minor_units).map_err(|_| too_large())
        };
        Ok(Self {
            currency,
            net: sum(|line| line.net)?,
            tax: sum(|line| line.tax)?,
            total: sum(|line| line.total)?,
            lines,
        })
    }

    /// Puts them on a draft that has none.
    pub(super) async fn insert(&self, work: &mut Work, invoice: Uuid) -> Result<(), Stopped> {
        let column_of_text = |of: fn(&Line) -> &String| -> Vec<String> {
            self.lines.iter().map(|line| of(line).clone()).collect()
        };
        let numbers = |of: fn(&Line) -> i64| -> Vec<i64> { self.lines.iter().map(of).collect() };
        let counts = |of: fn(&Line) -> i32| -> Vec<i32> { self.lines.iter().map(of).collect() };
        let ids: Vec<Uuid> = self.lines.iter().map(|_| Uuid::now_v7()).collect();
        let charges: Vec<Uuid> = self.lines.iter().map(|line| line.charge).collect();
        let dates: Vec<NaiveDate> = self.lines.iter().map(|line| line.service_date).collect();
        sqlx::query!(
            "INSERT INTO billing.invoice_line
                 (id, invoice_id, position, charge_id, code, description, service_date, quantity,
                  unit_amount, discount, net, tax_rate_ppm, tax, total)
             SELECT id, $1, place, charge_id, code, description, service_date, quantity,
                    unit_amount, discount, net, tax_rate_ppm, tax, total
             FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::date[],
                         $7::integer[], $8::bigint[], $9::bigint[], $10::bigint[],
                         $11::integer[], $12::bigint[], $13::bigint[]) WITH ORDINALITY
                 AS line (id, charge_id, code, description, service_date, quantity, unit_amount,
                          discount, net, tax_rate_ppm, tax, total, place)",
            invoice,
            &ids,
            &charges,
            &column_of_text(|line| &line.code),
            &column_of_text(|line| &line.description),
            &dates,
            &counts(|line| line.quantity),
            &numbers(|line| line.unit_amount),
            &numbers(|line| line.discount),
            &numbers(|line| line.net),
            &counts(|line| line.tax_rate_ppm),
            &numbers(|line| line.tax),
            &numbers(|line| line.total),
        )
        .execute(&mut work.transaction)
        .await?;
        Ok(())
    }
}

impl Line {
    fn of(
        charge: &Billable,
        currency: Currency,
        discount: Option<Money>,
        place: usize,
    ) -> Result<Self, Status> {
        // The database has no billable charge without a price.
        let (unit_amount, amount) = (charge.unit_amount.unwrap_or(0), charge.amount.unwrap_or(0));
        let tax_rate_ppm = charge.tax_rate_ppm.unwrap_or(0);
        let field = || format!("lines[{place}].discount");
        let discount = discount.unwrap_or(Money::zero(currency));
        if discount.currency() != currency {
            return Err(invalid(&field(), "Must be in the currency of the charge"));
        }
        if discount.minor_units() > amount {
            return Err(invalid(&field(), "Cannot be more than the charge"));
        }
        let too_large = |_| {
            let why = "the line comes to more than any amount may be";
            not_now(
                RefusalReason::AmountTooLarge,
                format_args!("charge {}", charge.id),
                why,
            )
        };
        let net = Money::new(currency, amount - discount.minor_units()).map_err(too_large)?;
        let rate = TaxRate::ppm(tax_rate_ppm.unsigned_abs()).unwrap_or(TaxRate::ZERO);
        let tax = net.tax(rate).minor_units();
        let total = Money::new(currency, net.minor_units() + tax).map_err(too_large)?;
        Ok(Self {
            charge: charge.id,
            code: charge.code.clone(),
            description: charge.description.clone().unwrap_or_default(),
            service_date: charge.service_date,
            quantity: charge.quantity,
            unit_amount,
            discount: discount.minor_units(),
            net: net.minor_units(),
            tax_rate_ppm,
            tax,
            total: total.minor_units(),
        })
    }
}

/// Takes charges off the drafts that they are on, whose totals follow.
pub(crate) async fn take_off_draft(work: &mut Work, charges: &[Uuid]) -> Result<(), Stopped> {
    let drafts = sqlx::query_scalar!(
        "DELETE FROM billing.invoice_line AS line
         USING billing.invoice
         WHERE invoice.id = line.invoice_id AND invoice.state = 'DRAFT'
             AND line.charge_id = ANY($1)
         RETURNING line.invoice_id",
        charges,
    )
    .fetch_all(&mut work.transaction)
    .await?;
    if drafts.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE billing.invoice
         SET version = version + 1, net = sums.net, tax = sums.tax, total = sums.net + sums.tax
         FROM (
             SELECT draft.id, coalesce(sum(line.net), 0)::bigint AS net,
                    coalesce(sum(line.tax), 0)::bigint AS tax
             FROM (SELECT DISTINCT unnest($1::uuid[])) AS draft (id)
             LEFT JOIN billing.invoice_line AS line ON line.invoice_id = draft.id
             GROUP BY draft.id
         ) AS sums
         WHERE invoice.id = sums.id",
        &drafts,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}
