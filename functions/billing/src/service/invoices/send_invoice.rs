//! `SendInvoice`: the patient is sent an invoice, as it is now, by e-mail.

use std::sync::Arc;

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{InvoiceDelivery, SendInvoiceRequest, SendInvoiceResponse};
use documents::Document;
use tonic::Status;
use uuid::Uuid;

use super::invoice::{State, StoredInvoice, whole};
use crate::{
    invoices::Printed,
    service::{
        delivery::{self, Addressee, Sent},
        input, wire,
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
        delivery::must_be_reachable(work, &party, invoice.patient_id).await?;

        let printed = printed(work, id).await?;
        let to = Addressee {
            account_id: invoice.account_id,
            patient_id: invoice.patient_id,
        };
        let delivery = Sent::Invoice(id).store(work, to, printed).await?;

        let patient = Some(invoice.patient_id);
        work.record(Action::SendInvoice, invoice.resource(), patient);
        Ok(SendInvoiceResponse {
            delivery: Some(InvoiceDelivery {
                delivery_id: delivery.id.to_string(),
                invoice_id: id.to_string(),
                patient_id: invoice.patient_id.to_string(),
                create_time: Some(wire::time(delivery.created_at)),
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

/// The document, and what its file is called.
async fn printed(work: &mut Work, id: Uuid) -> Result<(Document, String), Stopped> {
    let invoice = whole(&mut work.transaction, id, work.clinic.today()).await?;
    let clinic = Arc::clone(&work.clinic);
    let print = move || {
        Printed::of(invoice, clinic.now(), |at| clinic.zone.date(at))?.pdf(&clinic.letterhead)
    };
    Ok(delivery::printed(format!("invoice {id}"), print).await?)
}
