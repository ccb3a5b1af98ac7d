//! `ListInvoices`: of a patient, in a state, issued on some days, or overdue, the newest
//! first.

use contracts::billing::v1::{ListInvoicesRequest, ListInvoicesResponse};
use tonic::Status;
use uuid::Uuid;

use super::invoice::{find, state_name};
use crate::service::{
    database::failed,
    input,
    party::accounts_of,
    refused::{Faults, invalid},
    work::{Books, Question},
};

impl Question for ListInvoicesRequest {
    type Answer = ListInvoicesResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let mut faults = Faults::default();
        let patient = faults.take("patientId", input::optional_id(&self.patient_id));
        let from = faults.take("from", input::optional_day(&self.issued_from));
        let to = faults.take("to", input::optional_day(&self.issued_to));
        let (Some(patient), Some(from), Some(to)) = (patient, from, to) else {
            return Err(faults.refusal());
        };
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(invalid("to", "Cannot be before from"));
        }
        let size = input::page_size(self.page_size)?;
        let after: Option<Uuid> = input::page_token(&self.page_token)?;
        let today = books.clinic.today();
        let mut view = books.snapshot().await?;

        let found = async {
            let accounts = match patient {
                None => None,
                Some(patient) => Some(accounts_of(&mut view, patient).await?),
            };
            // Planned for the filters that there are, and not for all that there could be.
            sqlx::query!("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
                .fetch_one(&mut view)
                .await?;
            let ids = sqlx::query_scalar!(
                r#"SELECT invoice.id
               FROM billing.invoice
               JOIN billing.account ON account.id = invoice.account_id
               WHERE ($1::uuid[] IS NULL OR invoice.account_id = ANY($1))
                   AND ($2::text IS NULL OR invoice.state = $2)
                   AND (NOT $3 OR (invoice.due > 0 AND invoice.due_date < $4))
                   AND ($5 OR $1 IS NOT NULL OR NOT patients.is_restricted(account.patient_id))
                   AND ($6::uuid IS NULL OR invoice.id < $6)
                   AND ($7::date IS NULL OR invoice.issue_date >= $7)
                   AND ($8::date IS NULL OR invoice.issue_date <= $8)
               ORDER BY invoice.id DESC
               LIMIT $9"#,
                accounts.as_deref(),
                state_name(self.state()),
                self.overdue,
                today,
                self.include_restricted,
                after,
                from,
                to,
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
