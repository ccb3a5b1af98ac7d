//! `CreateInvoice`: a draft of charges of one patient in one currency.

use audit_trail::{Action, Resource, ResourceType};
use contracts::billing::v1::{CreateInvoiceRequest, CreateInvoiceResponse};
use money::Currency;
use tonic::Status;
use uuid::Uuid;

use super::{
    draft_lines::{DraftLines, MAX_LINES, WantedLine},
    invoice::whole,
};
use crate::service::{
    clinic::Clinic,
    input,
    party::Party,
    refused::Faults,
    work::{Change, Stopped, Work},
};

impl Change for CreateInvoiceRequest {
    type Answer = CreateInvoiceResponse;

    const METHOD: &'static str = "CreateInvoice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<CreateInvoiceResponse, Stopped> {
        let wanted = Wanted::read(self, &work.clinic)?;
        let party = work.lock_patient(wanted.patient).await?;
        let account = party.own()?;
        let charges = if wanted.charges.is_empty() {
            all_billable(work, &party, wanted.currency).await?
        } else {
            wanted.charges
        };
        let charges: Vec<WantedLine> = charges
            .into_iter()
            .map(|charge| WantedLine {
                charge,
                discount: None,
            })
            .collect();
        let lines = DraftLines::of(work, &party, &charges, None).await?;

        let id = Uuid::now_v7();
        sqlx::query!(
            "INSERT INTO billing.invoice (id, account_id, currency, net, tax, total, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            id,
            account.id,
            lines.currency.code(),
            lines.net,
            lines.tax,
            lines.total,
            work.actor(),
        )
        .execute(&mut work.transaction)
        .await?;
        lines.insert(work, id).await?;

        let resource = Resource::new(ResourceType::Invoice, id);
        let patient = Some(account.patient_id);
        work.record(Action::DraftInvoice, resource, patient);
        let today = work.today();
        Ok(CreateInvoiceResponse {
            invoice: Some(whole(&mut work.transaction, id, today).await?),
        })
    }
}

struct Wanted {
    patient: Uuid,
    charges: Vec<Uuid>,
    currency: Currency,
}

impl Wanted {
    fn read(request: &CreateInvoiceRequest, clinic: &Clinic) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let patient = faults.take("patientId", input::id(&request.patient_id));
        let charges = input::ids("chargeIds", &request.charge_ids, MAX_LINES, &mut faults);
        let currency = input::if_any(&request.currency_code, str::parse);
        let currency = faults.take("currency", currency);
        let (Some(patient), Some(currency)) = (patient, currency) else {
            return Err(faults.refusal());
        };
        faults.none()?;
        Ok(Self {
            patient,
            charges,
            currency: currency.unwrap_or(clinic.currency),
        })
    }
}

/// All charges of a patient in a currency that are on no invoice, in the order of their days.
async fn all_billable(
    work: &mut Work,
    party: &Party,
    currency: Currency,
) -> Result<Vec<Uuid>, Stopped> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM billing.charge
         WHERE account_id = ANY($1) AND currency = $2 AND state = 'BILLABLE'
             AND NOT EXISTS (
                 SELECT FROM billing.invoice_line AS line
                 WHERE line.charge_id = charge.id AND line.live
             )
         ORDER BY service_date, id
         LIMIT $3",
        &party.account_ids(),
        currency.code(),
        i64::try_from(MAX_LINES).unwrap_or(i64::MAX),
    )
    .fetch_all(&mut work.transaction)
    .await?;
    Ok(ids)
}
