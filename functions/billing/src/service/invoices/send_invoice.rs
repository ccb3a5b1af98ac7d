//! `SendInvoice`: the patient is sent an invoice, as it is now, by e-mail.
//!
//! The document is stored with the order to send it, in one transaction: it is sent once, and what is
//! sent is what there was when somebody asked for it. Notifications sends it, and fetches it from
//! `billing.document_of`, which shows nothing else.

use api::RefusalReason;
use audit_trail::Action;
use chrono::{DateTime, Utc};
use contracts::billing::v1::{InvoiceDelivery, SendInvoiceRequest, SendInvoiceResponse};
use documents::Document;
use tonic::Status;
use uuid::Uuid;

use super::invoice::{State, StoredInvoice, whole};
use crate::{
    invoices::Printed,
    service::{
        account::AccountStatus,
        input,
        party::Party,
        refused::not_now,
        wire,
        work::{Change, Stopped, Work},
    },
};

impl Change for SendInvoiceRequest {
    type Answer = SendInvoiceResponse;

    const METHOD: &'static str = "SendInvoice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<SendInvoiceResponse, Stopped> {
        let id = input::id_of("id", &self.invoice_id)?;
        let (party, invoice) = StoredInvoice::lock(work, id, "").await?;
        must_be_issued(&invoice)?;
        must_be_reachable(&party, &invoice)?;
        must_be_open(work, &invoice).await?;

        let (document, file_name) = printed(work, id).await?;
        let delivery = Uuid::now_v7();
        let now = work.clinic.now();
        sqlx::query!(
            "INSERT INTO billing.delivery
                 (id, account_id, invoice_id, file_name, document, created_by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            delivery,
            invoice.account_id,
            id,
            file_name,
            document.bytes,
            work.actor(),
            now,
        )
        .execute(&mut work.transaction)
        .await?;
        send(work, delivery, invoice.patient_id, now).await?;

        let patient = Some(invoice.patient_id);
        work.record(Action::SendInvoice, invoice.resource(), patient);
        Ok(SendInvoiceResponse {
            delivery: Some(InvoiceDelivery {
                delivery_id: delivery.to_string(),
                invoice_id: id.to_string(),
                patient_id: invoice.patient_id.to_string(),
                create_time: Some(wire::time(now)),
                created_by: wire::id(work.actor()),
            }),
        })
    }
}

fn must_be_issued(invoice: &StoredInvoice) -> Result<(), Status> {
    match invoice.state {
        State::Issued | State::WrittenOff => Ok(()),
        State::Draft | State::Void => {
            let why = "the invoice is not issued, or void";
            Err(invoice.refusal(RefusalReason::InvoiceNotIssued, why))
        }
    }
}

/// Who is deleted or erased is not written to. The address is looked up again when it is sent.
fn must_be_reachable(party: &Party, invoice: &StoredInvoice) -> Result<(), Status> {
    let account = party.own();
    let patient = format_args!("patient {}", invoice.patient_id);
    if account.status != AccountStatus::Active {
        let why = "the patient's account is closed";
        return Err(not_now(RefusalReason::AccountClosed, patient, why));
    }
    if account.has_email() {
        return Ok(());
    }
    let why = "the patient has no e-mail address";
    Err(not_now(RefusalReason::NoEmailAddress, patient, why))
}

/// Somebody else may read the mail of who is protected.
async fn must_be_open(work: &mut Work, invoice: &StoredInvoice) -> Result<(), Stopped> {
    let restricted: bool = sqlx::query_scalar("SELECT patients.is_restricted($1)")
        .bind(invoice.patient_id)
        .fetch_one(&mut work.transaction)
        .await?;
    if !restricted {
        return Ok(());
    }
    let patient = format_args!("patient {}", invoice.patient_id);
    let why = "the patient's record is restricted: nothing is sent to them by e-mail";
    Err(not_now(RefusalReason::PatientRestricted, patient, why).into())
}

/// The document, and what its file is called.
async fn printed(work: &mut Work, id: Uuid) -> Result<(Document, String), Stopped> {
    let invoice = whole(&mut work.transaction, id, work.clinic.today()).await?;
    let clinic = std::sync::Arc::clone(&work.clinic);
    let print = move || {
        Printed::of(invoice, clinic.now(), |at| clinic.zone.date(at))?.pdf(&clinic.letterhead)
    };
    // It takes some milliseconds a page.
    let printed = tokio::task::spawn_blocking(print).await;
    let printed = printed.map_err(|error| error.to_string());
    let printed = printed.and_then(|printed| printed.map_err(|error| error.to_string()));
    Ok(printed.map_err(|cause| {
        tracing::error!(%cause, invoiceId = %id, "an invoice cannot be printed");
        Status::internal("the billing service failed; its log says why")
    })?)
}

/// Has notifications send it.
async fn send(
    work: &mut Work,
    delivery: Uuid,
    patient: Uuid,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT notifications.send_invoice($1, $2, $3)")
        .bind(delivery)
        .bind(patient)
        .bind(at)
        .execute(&mut work.transaction)
        .await?;
    Ok(())
}
