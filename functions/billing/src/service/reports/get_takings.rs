//! `GetTakings`: what came in and was paid out on a day, by method: what has to be in the till.

use contracts::billing::v1::{
    GetTakingsRequest, GetTakingsResponse, PaymentMethod, Takings, TakingsByMethod,
};
use tonic::Status;

use super::period::currency;
use crate::service::{
    database::failed,
    input,
    ledger::AccountKind,
    method::Method,
    refused::Faults,
    wire,
    work::{Books, Question},
};

/// What comes to what, in the smallest unit of the currency.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    payments: i64,
    reversed: i64,
    refunds: i64,
    count: i64,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            payments: self.payments + other.payments,
            reversed: self.reversed + other.reversed,
            refunds: self.refunds + other.refunds,
            count: self.count + other.count,
        }
    }

    fn into_wire(self, currency: &str) -> Takings {
        let money = |amount| Some(wire::money(currency, amount));
        Takings {
            payments: money(self.payments),
            reversed: money(self.reversed),
            refunds: money(self.refunds),
            net: money(self.payments - self.reversed - self.refunds),
            payment_count: u32::try_from(self.count).unwrap_or(u32::MAX),
        }
    }
}

impl Question for GetTakingsRequest {
    type Answer = GetTakingsResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let mut faults = Faults::default();
        let date = faults.take("date", input::optional_day(&self.date));
        let date = date.flatten().unwrap_or_else(|| books.clinic.today());
        let currency = currency(&self.currency_code, &books.clinic, &mut faults).code();
        faults.none()?;
        let rows = sqlx::query!(
        r#"SELECT account.kind AS "kind: AccountKind",
                  coalesce(sum(amount) FILTER (WHERE entry.kind = 'PAYMENT_RECORDED'), 0)::bigint AS "payments!",
                  coalesce(-sum(amount) FILTER (WHERE entry.kind = 'PAYMENT_REVERSED'), 0)::bigint AS "reversed!",
                  coalesce(-sum(amount) FILTER (WHERE entry.kind = 'REFUND_COMPLETED'), 0)::bigint AS "refunds!",
                  count(*) FILTER (WHERE entry.kind = 'PAYMENT_RECORDED') AS "count!"
           FROM billing.entry
           JOIN billing.posting ON posting.entry_id = entry.id
           JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
           WHERE entry.business_date = $1 AND account.kind IN ('CASH', 'CARD', 'TRANSFER')
               AND account.currency = $2
           GROUP BY account.kind"#,
        date,
        currency,
    )
    .fetch_all(&books.database)
    .await
    .map_err(|error| failed(&error))?;

        let mut total = Sums::default();
        let methods = Method::ALL.map(|method| {
            let row = rows
                .iter()
                .find(|row| row.kind == AccountKind::from(method));
            let sums = row.map(|row| Sums {
                payments: row.payments,
                reversed: row.reversed,
                refunds: row.refunds,
                count: row.count,
            });
            let sums = sums.unwrap_or_default();
            total = total.plus(sums);
            TakingsByMethod {
                method: PaymentMethod::from(method).into(),
                takings: Some(sums.into_wire(currency)),
            }
        });
        Ok(GetTakingsResponse {
            methods: methods.into(),
            total: Some(total.into_wire(currency)),
            date: wire::day(Some(date)),
        })
    }
}
