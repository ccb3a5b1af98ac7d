//! `ListCharges`: of a patient, or in a state, the newest first. What waits for a price, or for a
//! credit note, is a worklist.

use contracts::billing::v1::{ListChargesRequest, ListChargesResponse};
use tonic::Status;
use uuid::Uuid;

use super::charge::{State, StoredCharge, state_name};
use crate::service::{
    database::failed,
    input,
    party::accounts_of,
    refused::Faults,
    work::{Books, Question},
};

impl Question for ListChargesRequest {
    type Answer = ListChargesResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let mut faults = Faults::default();
        let patient = faults.take("patientId", input::optional_id(&self.patient_id));
        let Some(patient) = patient else {
            return Err(faults.refusal());
        };
        let size = input::page_size(self.page_size)?;
        let after: Option<Uuid> = input::page_token(&self.page_token)?;
        let accounts = match patient {
            None => None,
            Some(patient) => {
                let accounts = accounts_of(&books.database, patient).await;
                Some(accounts.map_err(|error| failed(&error))?)
            }
        };

        let charges = sqlx::query_as!(
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
           WHERE ($1::uuid[] IS NULL OR charge.account_id = ANY($1))
               AND ($2::text IS NULL OR charge.state = $2)
               AND (NOT $3 OR charge.needs_credit_note)
               AND ($4 OR $1 IS NOT NULL OR NOT patients.is_restricted(account.patient_id))
               AND ($5::uuid IS NULL OR charge.id < $5)
           ORDER BY charge.id DESC
           LIMIT $6"#,
            accounts.as_deref(),
            state_name(self.state()),
            self.needs_credit_note,
            self.include_restricted,
            after,
            size + 1,
        )
        .fetch_all(&books.database)
        .await
        .map_err(|error| failed(&error))?;
        let (charges, next_page_token) = input::page(charges, size, |last| last.id);
        Ok(ListChargesResponse {
            charges: charges.into_iter().map(Into::into).collect(),
            next_page_token,
        })
    }
}
