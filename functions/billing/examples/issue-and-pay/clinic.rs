//! A clinic with a billing service, whose patients have accounts that were used before.

use std::time::Duration;

use billing::service::{Limits, Service, ServiceToken};
use billing_client::OnBehalfOf;
use chrono::Utc;
use contracts::billing::v1::{
    CreateBillingAccountRequest, CreateInvoiceRequest, IssueInvoiceRequest, Money, PaymentMethod,
    RecordChargeRequest, RecordPaymentRequest, SetPriceRequest,
    billing_service_client::BillingServiceClient, charge_service_client::ChargeServiceClient,
    invoice_service_client::InvoiceServiceClient, payment_service_client::PaymentServiceClient,
    price_service_client::PriceServiceClient,
};
use identity::Role;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::Outcome;

const TOKEN: &str = "the token of the measurement";

const CODE: &str = "CONSULT";

/// What one costs, in cents.
const PRICE: i64 = 5_000;

/// The tax on it, in millionths.
const TAX_RATE: u32 = 190_000;

/// The price with its tax.
pub(crate) const TOTAL: i64 = 5_950;

/// See the module.
pub(crate) struct Clinic {
    channel: Channel,
    patients: Vec<Patient>,
    staff: Uuid,
}

struct Patient {
    id: Uuid,
    account: Uuid,
}

/// A draft of one charge.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) id: Uuid,
    pub(crate) charge: Uuid,
    pub(crate) patient: Uuid,
    pub(crate) account: Uuid,
}

macro_rules! call {
    ($self:ident, $client:ident.$method:ident, $message:expr) => {
        $client::new($self.channel.clone())
            .$method($self.request($message)?)
            .await?
            .into_inner()
    };
}

impl Clinic {
    /// Starts the service, and lets every patient pay an invoice.
    pub(crate) async fn open(database: &PgPool, patients: usize) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // Whoever waits is measured, however busy the machine is.
        let limits = Limits {
            deadline: Duration::from_mins(1),
            ..Limits::default()
        };
        let service = Service::new(database.clone(), ServiceToken::new(TOKEN)?, limits);
        tokio::spawn(service.serve(listener, std::future::pending()));
        let mut clinic = Self {
            channel: Endpoint::from_shared(format!("http://{address}"))?.connect_lazy(),
            patients: Vec::new(),
            staff: Uuid::now_v7(),
        };
        let price = SetPriceRequest {
            request_id: new_id(),
            code: CODE.to_owned(),
            description: "Consultation".to_owned(),
            amount: Some(eur(PRICE)),
            tax_rate_ppm: TAX_RATE,
            valid_from: "2020-01-01".to_owned(),
        };
        call!(clinic, PriceServiceClient.set_price, price);
        for _ in 0..patients {
            let id = Uuid::now_v7();
            let account = CreateBillingAccountRequest {
                patient_id: id.to_string(),
                name: "Milo Feil".to_owned(),
                email: "milo@clinic.example".to_owned(),
                address: String::new(),
            };
            let answer = call!(clinic, BillingServiceClient.create_billing_account, account);
            let account = answer.account.ok_or("no account")?.account_id.parse()?;
            clinic.patients.push(Patient { id, account });
            let draft = clinic.draft(clinic.patients.len() - 1).await?;
            clinic.issue(&draft).await?;
            clinic.pay(&draft).await?;
        }
        Ok(clinic)
    }

    /// Charges a patient, and drafts an invoice.
    pub(crate) async fn draft(&self, patient: usize) -> Outcome<Draft> {
        let patient = &self.patients[patient];
        let charge = RecordChargeRequest {
            request_id: new_id(),
            patient_id: patient.id.to_string(),
            code: CODE.to_owned(),
            quantity: 1,
            service_date: Utc::now().date_naive().to_string(),
            ..RecordChargeRequest::default()
        };
        let charge = call!(self, ChargeServiceClient.record_charge, charge);
        let charge = charge.charge.ok_or("no charge")?.charge_id;
        let draft = CreateInvoiceRequest {
            request_id: new_id(),
            patient_id: patient.id.to_string(),
            charge_ids: vec![charge.clone()],
            ..CreateInvoiceRequest::default()
        };
        let draft = call!(self, InvoiceServiceClient.create_invoice, draft);
        Ok(Draft {
            id: draft.invoice.ok_or("no invoice")?.invoice_id.parse()?,
            charge: charge.parse()?,
            patient: patient.id,
            account: patient.account,
        })
    }

    pub(crate) async fn issue(&self, draft: &Draft) -> Outcome<()> {
        let issue = IssueInvoiceRequest {
            request_id: new_id(),
            invoice_id: draft.id.to_string(),
            ..IssueInvoiceRequest::default()
        };
        call!(self, InvoiceServiceClient.issue_invoice, issue);
        Ok(())
    }

    /// Exactly, in cash.
    pub(crate) async fn pay(&self, invoice: &Draft) -> Outcome<()> {
        let payment = RecordPaymentRequest {
            request_id: new_id(),
            patient_id: invoice.patient.to_string(),
            amount: Some(eur(TOTAL)),
            method: PaymentMethod::Cash.into(),
            reference: new_id(),
            invoice_ids: vec![invoice.id.to_string()],
        };
        call!(self, PaymentServiceClient.record_payment, payment);
        Ok(())
    }

    fn request<T>(&self, message: T) -> Outcome<Request<T>> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", format!("Bearer {TOKEN}").parse()?);
        let somebody = OnBehalfOf {
            user: self.staff,
            role: Role::Receptionist,
            source: Some("127.0.0.1".to_owned()),
            request_id: Some("measurement".to_owned()),
        };
        somebody.write(metadata);
        Ok(request)
    }
}

fn eur(minor_units: i64) -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        minor_units,
    }
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}
