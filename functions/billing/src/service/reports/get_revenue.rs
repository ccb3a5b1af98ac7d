//! `GetRevenue`: what was issued in a period, and taken back, by code.

use contracts::billing::v1::{GetRevenueRequest, GetRevenueResponse, RevenueByCode, RevenueTotals};
use tonic::Status;

use super::period;
use crate::service::{
    database::failed,
    wire,
    work::{Books, Question},
};

/// How many days a report of revenue is about at most: a leap year.
const MOST_DAYS: i64 = 366;

/// What comes to what, in the smallest unit of the currency.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    issued: i64,
    voided: i64,
    credited: i64,
    tax: i64,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            issued: self.issued + other.issued,
            voided: self.voided + other.voided,
            credited: self.credited + other.credited,
            tax: self.tax + other.tax,
        }
    }

    fn into_wire(self, currency: &str) -> RevenueTotals {
        let money = |amount| Some(wire::money(currency, amount));
        RevenueTotals {
            issued: money(self.issued),
            voided: money(self.voided),
            credited: money(self.credited),
            revenue: money(self.issued - self.voided - self.credited),
            tax: money(self.tax),
        }
    }
}

impl Question for GetRevenueRequest {
    type Answer = GetRevenueResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let asked = (&*self.from_date, &*self.to_date, &*self.currency_code);
        let (period, currency) = period::of(asked, Some(MOST_DAYS), &books.clinic)?;
        let currency = currency.code();
        let rows = sqlx::query!(
        r#"SELECT posting.code AS "code!",
                  coalesce(-sum(amount) FILTER (WHERE account.kind = 'REVENUE' AND entry.kind = 'INVOICE_ISSUED'), 0)::bigint AS "issued!",
                  coalesce(sum(amount) FILTER (WHERE account.kind = 'REVENUE' AND entry.kind = 'INVOICE_VOIDED'), 0)::bigint AS "voided!",
                  coalesce(sum(amount) FILTER (WHERE account.kind = 'REVENUE' AND entry.kind = 'CREDIT_NOTE_ISSUED'), 0)::bigint AS "credited!",
                  coalesce(-sum(amount) FILTER (WHERE account.kind = 'TAX'), 0)::bigint AS "tax!"
           FROM billing.entry
           JOIN billing.posting ON posting.entry_id = entry.id
           JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
           WHERE entry.business_date BETWEEN $1 AND $2 AND account.kind IN ('REVENUE', 'TAX')
               AND account.currency = $3
           GROUP BY posting.code
           ORDER BY posting.code"#,
        period.from,
        period.to,
        currency,
    )
    .fetch_all(&books.database)
    .await
    .map_err(|error| failed(&error))?;

        let mut total = Sums::default();
        let codes = rows.into_iter().map(|row| {
            let sums = Sums {
                issued: row.issued,
                voided: row.voided,
                credited: row.credited,
                tax: row.tax,
            };
            total = total.plus(sums);
            RevenueByCode {
                code: row.code,
                totals: Some(sums.into_wire(currency)),
            }
        });
        let codes = codes.collect();
        Ok(GetRevenueResponse {
            codes,
            total: Some(total.into_wire(currency)),
            from_date: wire::day(Some(period.from)),
            to_date: wire::day(Some(period.to)),
        })
    }
}
