//! A charge as it is stored and as it is returned.

use api::RefusalReason;
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1::{Charge, ChargeState, UnpricedReason};
use money::{Currency, Money, TaxRate};
use sqlx::PgExecutor;
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    prices::PriceInForce,
    refused::not_now,
    wire,
    work::{Stopped, Work},
};

/// The state of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(super) enum State {
    Unpriced,
    Billable,
    Invoiced,
    Cancelled,
}

impl From<State> for ChargeState {
    fn from(state: State) -> Self {
        match state {
            State::Unpriced => Self::Unpriced,
            State::Billable => Self::Billable,
            State::Invoiced => Self::Invoiced,
            State::Cancelled => Self::Cancelled,
        }
    }
}

/// The state of a charge in a request, by its name in the database; none if it is unspecified.
pub(super) fn state_name(state: ChargeState) -> Option<&'static str> {
    match state {
        ChargeState::Unspecified => None,
        ChargeState::Unpriced => Some("UNPRICED"),
        ChargeState::Billable => Some("BILLABLE"),
        ChargeState::Invoiced => Some("INVOICED"),
        ChargeState::Cancelled => Some("CANCELLED"),
    }
}

/// A row of `billing.charge`, with the patient and the invoice that it is on.
#[derive(Debug)]
pub(super) struct StoredCharge {
    pub(super) id: Uuid,
    pub(super) account_id: Uuid,
    pub(super) patient_id: Uuid,
    pub(super) state: State,
    pub(super) code: String,
    pub(super) currency: String,
    pub(super) quantity: i32,
    pub(super) service_date: NaiveDate,
    pub(super) note: Option<String>,
    pub(super) description: Option<String>,
    pub(super) unit_amount: Option<i64>,
    pub(super) tax_rate_ppm: Option<i32>,
    pub(super) amount: Option<i64>,
    /// It has no price, although there is one that holds on its day: it would be too much.
    pub(super) too_large: bool,
    pub(super) invoice_id: Option<Uuid>,
    pub(super) source_id: Option<Uuid>,
    pub(super) needs_credit_note: bool,
    pub(super) created_at: DateTime<Utc>,
    pub(super) cancelled_at: Option<DateTime<Utc>>,
    pub(super) cancel_reason: Option<String>,
}

impl From<StoredCharge> for Charge {
    fn from(charge: StoredCharge) -> Self {
        let money = |amount| wire::money(&charge.currency, amount);
        Self {
            charge_id: charge.id.to_string(),
            patient_id: charge.patient_id.to_string(),
            unpriced_reason: charge.unpriced_reason().into(),
            state: ChargeState::from(charge.state).into(),
            unit_price: charge.unit_amount.map(money),
            amount: charge.amount.map(money),
            code: charge.code,
            description: charge.description.unwrap_or_default(),
            quantity: wire::count(charge.quantity),
            service_date: wire::day(Some(charge.service_date)),
            note: charge.note.unwrap_or_default(),
            tax_rate_ppm: charge.tax_rate_ppm.map(wire::count).unwrap_or_default(),
            invoice_id: wire::id(charge.invoice_id),
            appointment_id: wire::id(charge.source_id),
            needs_credit_note: charge.needs_credit_note,
            create_time: Some(wire::time(charge.created_at)),
            cancel_time: charge.cancelled_at.map(wire::time),
            cancel_reason: charge.cancel_reason.unwrap_or_default(),
        }
    }
}

impl StoredCharge {
    /// What has to be done about one that is on the worklist.
    const fn unpriced_reason(&self) -> UnpricedReason {
        match (self.state, self.too_large) {
            (State::Unpriced, false) => UnpricedReason::NoPrice,
            (State::Unpriced, true) => UnpricedReason::AmountTooLarge,
            (State::Billable | State::Invoiced | State::Cancelled, _) => {
                UnpricedReason::Unspecified
            }
        }
    }
}

/// The charges with these ids, in the order of the ids.
pub(super) async fn find(
    database: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<StoredCharge>, sqlx::Error> {
    sqlx::query_as!(
        StoredCharge,
        r#"SELECT charge.id, charge.account_id, account.patient_id, charge.state AS "state: State",
                  charge.code, charge.currency, charge.quantity, charge.service_date, charge.note,
                  charge.description, charge.unit_amount, charge.tax_rate_ppm, charge.amount,
                  charge.state = 'UNPRICED' AND EXISTS (
                      SELECT FROM billing.price
                      WHERE price.code = charge.code AND price.currency = charge.currency
                          AND price.valid_from <= charge.service_date
                  ) AS "too_large!",
                  line.invoice_id AS "invoice_id?", charge.source_id, charge.needs_credit_note,
                  charge.created_at, charge.cancelled_at, charge.cancel_reason
           FROM billing.charge
           JOIN billing.account ON account.id = charge.account_id
           LEFT JOIN billing.invoice_line AS line ON line.charge_id = charge.id AND line.live
           WHERE charge.id = ANY($1)
           ORDER BY charge.id"#,
        ids,
    )
    .fetch_all(database)
    .await
}

/// What is to be charged.
#[derive(Debug)]
pub(super) struct NewCharge<'a> {
    pub(super) account_id: Uuid,
    pub(super) code: &'a str,
    pub(super) currency: Currency,
    pub(super) quantity: u32,
    pub(super) service_date: NaiveDate,
    pub(super) note: Option<&'a str>,
    /// The appointment, its version, and which of its charges it is.
    pub(super) source: Option<(Uuid, i64, i32)>,
}

impl NewCharge<'_> {
    /// Whether it comes to no more than any amount may be, with its tax: an invoice has to be able to
    /// say it.
    pub(super) fn can_cost(&self, price: &PriceInForce) -> bool {
        self.amount(price).is_ok()
    }

    /// Records it, with the price that is given for it or without one.
    ///
    /// # Errors
    /// If it comes to more than any amount may be, or the database fails.
    pub(super) async fn insert(
        &self,
        work: &mut Work,
        price: Option<PriceInForce>,
    ) -> Result<Uuid, Stopped> {
        let amount = price.as_ref().map(|price| self.amount(price)).transpose()?;
        let id = Uuid::now_v7();
        sqlx::query!(
            "INSERT INTO billing.charge
                 (id, account_id, state, code, currency, quantity, service_date, note, price_id,
                  description, unit_amount, tax_rate_ppm, amount, source_type, source_id,
                  source_version, source_line)
             VALUES ($1, $2, CASE WHEN $8::uuid IS NULL THEN 'UNPRICED' ELSE 'BILLABLE' END, $3, $4,
                     $5, $6, $7, $8, $9, $10, $11, $12,
                     CASE WHEN $13::uuid IS NULL THEN NULL ELSE 'APPOINTMENT' END, $13, $14, $15)",
            id,
            self.account_id,
            self.code,
            self.currency.code(),
            self.quantity.cast_signed(),
            self.service_date,
            self.note,
            price.as_ref().map(|price| price.id),
            price.as_ref().map(|price| price.description.as_str()),
            price.as_ref().map(|price| price.unit_amount),
            price.as_ref().map(|price| price.tax_rate_ppm),
            amount,
            self.source.map(|(appointment, _, _)| appointment),
            self.source.map(|(_, version, _)| version),
            self.source.map(|(_, _, line)| line),
        )
        .execute(&mut work.transaction)
        .await?;
        Ok(id)
    }

    fn amount(&self, price: &PriceInForce) -> Result<i64, Status> {
        let too_large = || {
            let why = "the charge comes to more than any amount may be";
            let subject = format_args!("price of {}", self.code);
            not_now(RefusalReason::AmountTooLarge, subject, why)
        };
        let amount = Money::new(self.currency, price.unit_amount)
            .and_then(|unit_price| unit_price.times(self.quantity))
            .map_err(|_| too_large())?;
        let rate = TaxRate::ppm(price.tax_rate_ppm.unsigned_abs()).unwrap_or(TaxRate::ZERO);
        amount.plus(amount.tax(rate)).map_err(|_| too_large())?;
        Ok(amount.minor_units())
    }
}
