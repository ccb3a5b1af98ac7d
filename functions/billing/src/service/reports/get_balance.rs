//! `GetBalance`: what a patient owes, and what credit they have, now.

use contracts::billing::v1::{GetBalanceRequest, GetBalanceResponse};
use tonic::Status;

use super::period::currency;
use crate::service::{
    database::failed,
    input,
    refused::Faults,
    wire,
    work::{Books, Question},
};

impl Question for GetBalanceRequest {
    type Answer = GetBalanceResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let mut faults = Faults::default();
        let patient = faults.take("patientId", input::id(&self.patient_id));
        let currency = currency(&self.currency_code, &books.clinic, &mut faults).code();
        let Some(patient) = patient else {
            return Err(faults.refusal());
        };
        faults.none()?;
        let balance = sqlx::query!(
        r#"SELECT coalesce(sum(balance) FILTER (WHERE kind = 'RECEIVABLE'), 0)::bigint AS "receivable!",
                  coalesce(sum(balance) FILTER (WHERE kind = 'CREDIT'), 0)::bigint AS "credit!"
           FROM billing.account
           JOIN billing.ledger_account ON ledger_account.account_id = account.id
           WHERE account.patient_id = ANY(patients.ids_of($1)) AND ledger_account.currency = $2"#,
        patient,
        currency,
    )
    .fetch_one(&books.database)
    .await
    .map_err(|error| failed(&error))?;
        let money = |amount| Some(wire::money(currency, amount));
        Ok(GetBalanceResponse {
            receivable: money(balance.receivable),
            credit: money(-balance.credit),
            balance: money(balance.receivable + balance.credit),
        })
    }
}
