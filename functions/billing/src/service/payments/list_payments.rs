//! `ListPayments`: of a patient, or of all, the newest first.

use contracts::billing::v1::{ListPaymentsRequest, ListPaymentsResponse};
use tonic::Status;
use uuid::Uuid;

use super::payment::whole;
use crate::service::{
    database::failed,
    input,
    party::accounts_of,
    refused::invalid,
    work::{Books, Question},
};

impl Question for ListPaymentsRequest {
    type Answer = ListPaymentsResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let patient = input::optional_id(&self.patient_id);
        let patient = patient.map_err(|fault| invalid("patientId", fault))?;
        let size = input::page_size(self.page_size)?;
        let after: Option<Uuid> = input::page_token(&self.page_token)?;
        let mut view = books.snapshot().await?;

        let found = async {
            let accounts = match patient {
                None => None,
                Some(patient) => Some(accounts_of(&mut view, patient).await?),
            };
            let ids = sqlx::query_scalar!(
                r#"SELECT payment.id
               FROM billing.payment
               JOIN billing.account ON account.id = payment.account_id
               WHERE ($1::uuid[] IS NULL OR payment.account_id = ANY($1))
                   AND ($2 OR $1 IS NOT NULL OR NOT patients.is_restricted(account.patient_id))
                   AND ($3::uuid IS NULL OR payment.id < $3)
               ORDER BY payment.id DESC
               LIMIT $4"#,
                accounts.as_deref(),
                self.include_restricted,
                after,
                size + 1,
            )
            .fetch_all(&mut view)
            .await?;
            let (ids, next_page_token) = input::page(ids, size, |last| *last);
            Ok((whole(&mut view, &ids).await?, next_page_token))
        };
        let (payments, next_page_token) = found.await.map_err(|error| failed(&error))?;
        Ok(ListPaymentsResponse {
            payments,
            next_page_token,
        })
    }
}
