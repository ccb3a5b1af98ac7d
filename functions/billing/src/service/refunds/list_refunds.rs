//! `ListRefunds`: of a payment, of a patient, or in a state, the newest first.

use contracts::billing::v1::{ListRefundsRequest, ListRefundsResponse};
use tonic::Status;
use uuid::Uuid;

use super::refund::{find, state_name};
use crate::service::{
    database::failed,
    input,
    party::accounts_of,
    refused::Faults,
    work::{Books, Question},
};

impl Question for ListRefundsRequest {
    type Answer = ListRefundsResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let mut faults = Faults::default();
        let patient = faults.take("patientId", input::optional_id(&self.patient_id));
        let payment = faults.take("paymentId", input::optional_id(&self.payment_id));
        let (Some(patient), Some(payment)) = (patient, payment) else {
            return Err(faults.refusal());
        };
        let size = input::page_size(self.page_size)?;
        let after: Option<Uuid> = input::page_token(&self.page_token)?;
        let mut view = books.snapshot().await?;

        let found = async {
            let accounts = match patient {
                None => None,
                Some(patient) => Some(accounts_of(&mut view, patient).await?),
            };
            let ids = sqlx::query_scalar!(
                r#"SELECT refund.id
               FROM billing.refund
               JOIN billing.payment ON payment.id = refund.payment_id
               JOIN billing.account ON account.id = payment.account_id
               WHERE ($1::uuid[] IS NULL OR payment.account_id = ANY($1))
                   AND ($2::uuid IS NULL OR refund.payment_id = $2)
                   AND ($3::text IS NULL OR refund.state = $3)
                   AND ($4 OR $1 IS NOT NULL OR $2 IS NOT NULL
                        OR NOT patients.is_restricted(account.patient_id))
                   AND ($5::uuid IS NULL OR refund.id < $5)
               ORDER BY refund.id DESC
               LIMIT $6"#,
                accounts.as_deref(),
                payment,
                state_name(self.state()),
                self.include_restricted,
                after,
                size + 1,
            )
            .fetch_all(&mut view)
            .await?;
            let (ids, next_page_token) = input::page(ids, size, |last| *last);
            Ok((find(&mut view, &ids).await?, next_page_token))
        };
        let (refunds, next_page_token) = found.await.map_err(|error| failed(&error))?;
        Ok(ListRefundsResponse {
            refunds: refunds.into_iter().map(Into::into).collect(),
            next_page_token,
        })
    }
}
