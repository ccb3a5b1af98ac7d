//! `POST /api/invoices/{id}/deliveries`: sends an invoice to the patient.

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand, ResourceType};
use axum::{Json, Router, response::Response};
use billing_client::{BillingClient, BillingError};
use chrono::{DateTime, Utc};
use contracts::billing::v1;
use http::StatusCode;
use idempotency::IdempotencyKey;
use identity::Permission;
use route::Route;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::invoice;
use crate::{access::must_see_owner, account::with_account, answer};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/invoices/{id}/deliveries")
        .function("send-invoice")
        .requires(Permission::ManageInvoices)
        .carried_out_by_service(Action::SendInvoice)
        .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(send_invoice, (database.clone(), billing), database)
}

/// That an invoice is sent to the patient
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3fb",
    "invoiceId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "createdAt": "2027-01-15T09:35:00.223456Z",
    "createdBy": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab"
}))]
pub(crate) struct InvoiceDelivery {
    /// Identifies the message: what became of it is in `GET /api/notifications`, under this id.
    id: Uuid,
    /// The invoice.
    invoice_id: Uuid,
    /// The patient.
    patient_id: Uuid,
    /// When somebody asked for it.
    created_at: DateTime<Utc>,
    /// Who did.
    #[schema(required)]
    created_by: Option<Uuid>,
}

/// Send an invoice
///
/// By e-mail, to the patient's address, in the patient's language, with the invoice as it is now as a
/// PDF file. The message itself names nothing but its number. It is sent within a minute or so, to the
/// address that the patient has then, unless they want no e-mail: `GET /api/notifications` tells.
/// Asked for again, it is sent again.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "invoices",
    params(("id" = Uuid, Path, description = "The invoice's id"), IdempotencyKey),
    responses(
        (status = 201, description = "It is sent", body = InvoiceDelivery),
        (status = 403, description = "The role may not send invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice, or the patient has no billing account yet", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not issued, or the patient has no e-mail address, is deleted, or is protected: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn send_invoice(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    errand: Errand,
) -> Result<Response, Problem> {
    let invoice = invoice::find(&billing, id).await?;
    must_see_owner(&errand, invoice.resource(), invoice.patient_id, &database).await?;

    let request = v1::SendInvoiceRequest {
        request_id: String::new(),
        invoice_id: id.to_string(),
    };
    // The invoice may be on the account of a record that was merged into this patient's since.
    let sent = with_account(&database, &billing, invoice.patient_id, || {
        billing.send_invoice(&errand, request.clone())
    })
    .await?;
    let delivery: InvoiceDelivery = answer::required("delivery", sent.answer.delivery)?;
    let answer = (StatusCode::CREATED, Json(delivery));
    Ok(errand.done(sent.replayed, answer))
}

impl TryFrom<v1::InvoiceDelivery> for InvoiceDelivery {
    type Error = BillingError;

    fn try_from(delivery: v1::InvoiceDelivery) -> Result<Self, BillingError> {
        Ok(Self {
            id: answer::id("delivery_id", &delivery.delivery_id)?,
            invoice_id: answer::id("invoice_id", &delivery.invoice_id)?,
            patient_id: answer::id("patient_id", &delivery.patient_id)?,
            created_at: answer::time("create_time", delivery.create_time)?,
            created_by: answer::id_if_any("created_by", &delivery.created_by)?,
        })
    }
}
