//! `ListInvoices`: of a patient, in a state, or overdue, the newest first.

use contracts::billing::v1::{ListInvoicesRequest, ListInvoicesResponse};
use tonic::Status;
use uuid::Uuid;

use super::invoice::{find, state_name};
use crate::service::{
    database::failed,
    input,
    party::accounts_of,
    refused::invalid,
    work::{Books, Question},
};

impl Question for ListInvoicesRequest {
    type Answer = ListInvoicesResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let patient = input::optional_id(&self.patient_id);
        let patient = patient.map_err(|fault| invalid("patientId", fault))?;
        let size = input::page_size(self.page_size)?;
        let after: Option<Uuid> = input::page_token(&self.page_token)?;
        let today = books.clinic.today();
        let mut view = books.snapshot().await?;

        let found = async {
            let accounts = match patient {
                None => None,
                Some(patient) => Some(accounts_of(&mut view, patient).await?),
            };
            let ids = sqlx::query_scalar!(
                r#"SELECT invoice.id
               FROM billing.invoice
               JOIN billing.account ON account.id = invoice.account_id
               WHERE ($1::uuid[] IS NULL OR invoice.account_id = ANY($1))
                   AND ($2::text IS NULL OR invoice.state = $2)
                   AND (NOT $3 OR (invoice.due > 0 AND invoice.due_date < $4))
                   AND ($5 OR $1 IS NOT NULL OR NOT patients.is_restricted(account.patient_id))
                   AND ($6::uuid IS NULL OR invoice.id < $6)
               ORDER BY invoice.id DESC
               LIMIT $7"#,
                accounts.as_deref(),
                state_name(self.state()),
                self.overdue,
                today,
                self.include_restricted,
                after,
                size + 1,
            )
            .fetch_all(&mut view)
            .await?;
            let (ids, next_page_token) = input::page(ids, size, |last| *last);
            Ok((find(&mut view, &ids).await?, next_page_token))
        };
        let (invoices, next_page_token) = found.await.map_err(|error| failed(&error))?;
        Ok(ListInvoicesResponse {
            invoices: invoices
                .into_iter()
                .map(|invoice| invoice.into_wire(today))
                .collect(),
            next_page_token,
        })
    }
}
