//! `SendStatement`: the patient is sent a statement, as it is now, by e-mail.

use std::sync::Arc;

use audit_trail::{Action, Resource, ResourceType};
use contracts::billing::v1::{
    GetStatementRequest, SendStatementRequest, SendStatementResponse, StatementDelivery,
};

use super::get_statement::Wanted;
use crate::{
    reports::{MOST_LINES, PrintedStatement, TooManyLines},
    service::{
        delivery::{self, Addressee, Sent},
        input,
        refused::invalid,
        wire,
        work::{Change, Stopped, Work},
    },
};

impl Change for SendStatementRequest {
    type Answer = SendStatementResponse;

    const METHOD: &'static str = "SendStatement";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<SendStatementResponse, Stopped> {
        let patient = input::id_of("patientId", &self.patient_id)?;
        let party = work.lock_patient(patient).await?;
        let account = party.own()?;
        let today = work.today();
        let question = GetStatementRequest {
            patient_id: self.patient_id.clone(),
            from_date: self.from_date.clone(),
            to_date: self.to_date.clone(),
            currency_code: self.currency_code.clone(),
            ..GetStatementRequest::default()
        };
        let wanted = Wanted::read(&question, &work.clinic, today)?.with_at_most(MOST_LINES);
        let to = Addressee {
            account_id: account.id,
            patient_id: account.patient_id,
        };
        delivery::must_be_reachable(work, &party, to.patient_id).await?;

        // Nobody books anything on these accounts meanwhile, as they are locked.
        let accounts = party.account_ids();
        let statement = wanted.find(&mut work.transaction, &accounts).await?;
        if !statement.next_page_token.is_empty() {
            return Err(invalid("from", TooManyLines).into());
        }
        let subject = format!("statement of patient {}", to.patient_id);
        let statement = PrintedStatement::of(statement);
        let statement = statement.map_err(|cause| delivery::unprintable(&subject, cause))?;
        let (from, until) = statement.period();
        let clinic = Arc::clone(&work.clinic);
        let print = move || statement.pdf(&clinic.letterhead);
        let printed = delivery::printed(subject, print).await?;
        let sent = Sent::Statement {
            from,
            to: until,
            other_accounts: accounts
                .into_iter()
                .filter(|account| *account != to.account_id)
                .collect(),
        };
        let delivery = sent.store(work, to, printed).await?;

        let account = Resource::new(ResourceType::BillingAccount, to.account_id);
        work.record(Action::SendStatement, account, Some(to.patient_id));
        Ok(SendStatementResponse {
            delivery: Some(StatementDelivery {
                delivery_id: delivery.id.to_string(),
                patient_id: to.patient_id.to_string(),
                from_date: wire::day(Some(from)),
                to_date: wire::day(Some(until)),
                create_time: Some(wire::time(delivery.created_at)),
                created_by: wire::id(work.actor()),
            }),
        })
    }
}
