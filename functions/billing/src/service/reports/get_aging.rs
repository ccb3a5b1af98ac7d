//! `GetAging`: what patients owe at the end of a day, by how long it is overdue.
//!
//! It sums what was booked up to that day, so that it says the same whenever it is asked for.

use chrono::NaiveDate;
use contracts::billing::v1::{AgingBuckets, GetAgingRequest, GetAgingResponse, PatientAging};
use money::Currency;
use tonic::Status;
use uuid::Uuid;

use super::period::currency;
use crate::service::{
    database::failed,
    input,
    refused::Faults,
    wire,
    work::{Books, Question},
};

impl Question for GetAgingRequest {
    type Answer = GetAgingResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let wanted = Wanted::read(self, books)?;
        let rows = rows(books, &wanted).await.map_err(|error| failed(&error))?;
        let code = wanted.currency.code();
        let (total, patients): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.patient_id.is_none());
        let (patients, next_page_token) =
            input::page(patients, wanted.size, |last| wire::id(last.patient_id));
        Ok(GetAgingResponse {
            patients: patients
                .into_iter()
                .map(|row| PatientAging {
                    patient_id: wire::id(row.patient_id),
                    buckets: Some(row.into_wire(code)),
                })
                .collect(),
            total: total.into_iter().next().map(|row| row.into_wire(code)),
            next_page_token,
            as_of_date: wire::day(Some(wanted.as_of)),
        })
    }
}

struct Wanted {
    as_of: NaiveDate,
    currency: Currency,
    include_restricted: bool,
    size: i64,
    after: Option<Uuid>,
}

impl Wanted {
    fn read(request: &GetAgingRequest, books: &Books) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let today = books.clinic.today();
        let as_of = faults.take("asOf", input::optional_day(&request.as_of_date));
        let as_of = as_of.flatten().unwrap_or(today);
        if as_of > today {
            faults.note("asOf", "Cannot be after today");
        }
        let currency = currency(&request.currency_code, &books.clinic, &mut faults);
        faults.none()?;
        Ok(Self {
            as_of,
            currency,
            include_restricted: request.include_restricted,
            size: input::page_size(request.page_size)?,
            after: input::page_token(&request.page_token)?,
        })
    }
}

/// What a patient owes, or all of them, in the smallest unit of the currency.
struct Row {
    /// None in the row of all.
    patient_id: Option<Uuid>,
    not_due: i64,
    to_30: i64,
    to_60: i64,
    to_90: i64,
    over_90: i64,
    credit: i64,
}

impl Row {
    fn into_wire(self, currency: &str) -> AgingBuckets {
        let money = |amount| Some(wire::money(currency, amount));
        let overdue = self.to_30 + self.to_60 + self.to_90 + self.over_90;
        AgingBuckets {
            not_due: money(self.not_due),
            days_1_to_30: money(self.to_30),
            days_31_to_60: money(self.to_60),
            days_61_to_90: money(self.to_90),
            over_90_days: money(self.over_90),
            total: money(self.not_due + overdue),
            credit: money(self.credit),
        }
    }
}

/// The row of all, and those of a page and one more.
async fn rows(books: &Books, wanted: &Wanted) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"WITH open AS (
               SELECT account.account_id, account.kind,
                      CASE account.kind WHEN 'RECEIVABLE' THEN entry.invoice_id END AS invoice_id,
                      sum(posting.amount)::bigint AS amount
               FROM billing.ledger_account AS account
               JOIN billing.posting ON posting.ledger_account_id = account.id
               JOIN billing.entry ON entry.id = posting.entry_id
               WHERE account.kind IN ('RECEIVABLE', 'CREDIT') AND account.currency = $1
                   AND entry.business_date <= $2
               GROUP BY 1, 2, 3
           ), aged AS (
               SELECT patients.canonical(account.patient_id) AS patient_id, open.kind, open.amount,
                      $2 - invoice.due_date AS overdue
               FROM open
               JOIN billing.account ON account.id = open.account_id
               LEFT JOIN billing.invoice ON invoice.id = open.invoice_id
               WHERE open.amount <> 0
           ), patient AS (
               SELECT patient_id,
                      coalesce(sum(amount) FILTER (WHERE kind = 'RECEIVABLE' AND overdue <= 0), 0)::bigint AS not_due,
                      coalesce(sum(amount) FILTER (WHERE kind = 'RECEIVABLE' AND overdue BETWEEN 1 AND 30), 0)::bigint AS to_30,
                      coalesce(sum(amount) FILTER (WHERE kind = 'RECEIVABLE' AND overdue BETWEEN 31 AND 60), 0)::bigint AS to_60,
                      coalesce(sum(amount) FILTER (WHERE kind = 'RECEIVABLE' AND overdue BETWEEN 61 AND 90), 0)::bigint AS to_90,
                      coalesce(sum(amount) FILTER (WHERE kind = 'RECEIVABLE' AND overdue > 90), 0)::bigint AS over_90,
                      coalesce(-sum(amount) FILTER (WHERE kind = 'CREDIT'), 0)::bigint AS credit
               FROM aged
               GROUP BY patient_id
           ), visible AS MATERIALIZED (
               SELECT * FROM patient
               WHERE (not_due, to_30, to_60, to_90, over_90, credit) <> (0, 0, 0, 0, 0, 0)
                   AND ($3 OR NOT patients.is_restricted(patient_id))
           ), total AS (
               SELECT coalesce(sum(not_due), 0)::bigint AS not_due,
                      coalesce(sum(to_30), 0)::bigint AS to_30,
                      coalesce(sum(to_60), 0)::bigint AS to_60,
                      coalesce(sum(to_90), 0)::bigint AS to_90,
                      coalesce(sum(over_90), 0)::bigint AS over_90,
                      coalesce(sum(credit), 0)::bigint AS credit
               FROM visible
           ), page AS (
               SELECT * FROM visible
               WHERE $4::uuid IS NULL OR patient_id > $4
               ORDER BY patient_id
               LIMIT $5
           )
           SELECT NULL::uuid AS patient_id, not_due AS "not_due!", to_30 AS "to_30!", to_60 AS "to_60!",
                  to_90 AS "to_90!", over_90 AS "over_90!", credit AS "credit!"
           FROM total
           UNION ALL
           SELECT patient_id, not_due, to_30, to_60, to_90, over_90, credit FROM page
           ORDER BY 1 NULLS FIRST"#,
        wanted.currency.code(),
        wanted.as_of,
        wanted.include_restricted,
        wanted.after,
        wanted.size + 1,
    )
    .fetch_all(&books.database)
    .await
}
