//! `AllocatePayment`: what is left of a payment is used for invoices.

use std::collections::HashSet;

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{AllocatePaymentRequest, AllocatePaymentResponse};
use money::Money;
use tonic::Status;
use uuid::Uuid;

use super::{
    payment::{StoredPayment, one},
    record_payment::{MAX_INVOICES, usable},
};
use crate::service::{
    input,
    invoices::find,
    ledger::book,
    party::Party,
    refused::{Faults, invalid},
    settle::{Use, settle_invoices, use_payments},
    work::{Change, Stopped, Work},
};

impl Change for AllocatePaymentRequest {
    type Answer = AllocatePaymentResponse;

    const METHOD: &'static str = "AllocatePayment";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<AllocatePaymentResponse, Stopped> {
        let (id, wanted) = read(self)?;
        let (party, payment) = StoredPayment::lock(work, id, &self.etag).await?;
        payment.must_stand()?;

        let uses = uses(work, &party, &payment, &wanted).await?;
        use_payments(work, &uses).await?;
        settle_invoices(work, &uses).await?;
        let entries = uses.iter().map(Use::allocation).collect();
        book(work, &payment.currency, entries).await?;

        let patient = Some(payment.patient_id);
        work.record(Action::AllocatePayment, payment.resource(), patient);
        Ok(AllocatePaymentResponse {
            payment: Some(one(&mut work.transaction, id).await?),
        })
    }
}

/// So much for an invoice; as much as is left and due if nobody says how much.
struct Wanted {
    invoice: Uuid,
    amount: Option<Money>,
}

fn read(request: &AllocatePaymentRequest) -> Result<(Uuid, Vec<Wanted>), Status> {
    let mut faults = Faults::default();
    let id = faults.take("id", input::id(&request.payment_id));
    if request.allocations.is_empty() {
        faults.note("allocations", "Is required");
    }
    if request.allocations.len() > MAX_INVOICES {
        faults.note(
            "allocations",
            format_args!("Cannot be more than {MAX_INVOICES}"),
        );
    }
    let (mut wanted, mut named) = (Vec::new(), HashSet::new());
    for (place, allocation) in request.allocations.iter().take(MAX_INVOICES).enumerate() {
        let field = format!("allocations[{place}].invoiceId");
        let invoice = faults.take(&field, input::id(&allocation.invoice_id));
        let amount = input::optional_positive(allocation.amount.as_ref());
        let amount = faults.take(&format!("allocations[{place}].amount"), amount);
        let (Some(invoice), Some(amount)) = (invoice, amount) else {
            continue;
        };
        if !named.insert(invoice) {
            faults.note(&field, "Cannot be there twice");
        }
        wanted.push(Wanted { invoice, amount });
    }
    let Some(id) = id else {
        return Err(faults.refusal());
    };
    faults.none()?;
    Ok((id, wanted))
}

async fn uses(
    work: &mut Work,
    party: &Party,
    payment: &StoredPayment,
    wanted: &[Wanted],
) -> Result<Vec<Use>, Stopped> {
    let ids: Vec<Uuid> = wanted.iter().map(|wanted| wanted.invoice).collect();
    let found = find(&mut work.transaction, &ids).await?;
    let mut left = payment.credit;
    let mut uses = Vec::with_capacity(wanted.len());
    for (place, wanted) in wanted.iter().enumerate() {
        let field = |name: &str| format!("allocations[{place}].{name}");
        let invoice = found.iter().find(|invoice| invoice.id == wanted.invoice);
        let invoice = usable(party, invoice, &payment.currency, &field("invoiceId"))?;
        let amount = match wanted.amount {
            None => invoice.due.min(left),
            Some(amount) if amount.currency().code() == payment.currency => amount.minor_units(),
            Some(_) => {
                let fault = "Must be in the currency of the payment";
                return Err(invalid(&field("amount"), fault).into());
            }
        };
        if amount > invoice.due || amount == 0 && invoice.due == 0 {
            let why = "the amount is more than what is due on the invoice";
            return Err(invoice.refusal(RefusalReason::DueExceeded, why).into());
        }
        if amount > left || amount == 0 {
            let why = "the amount is more than what is left of the payment";
            return Err(payment.refusal(RefusalReason::CreditExceeded, why).into());
        }
        left -= amount;
        uses.push(Use {
            payment: payment.id,
            payment_account: payment.account_id,
            invoice: invoice.id,
            invoice_account: invoice.account_id,
            amount,
        });
    }
    Ok(uses)
}
