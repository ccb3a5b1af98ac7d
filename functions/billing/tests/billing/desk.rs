//! Somebody at the clinic's desk: calls with their name on them, and what they mostly do.

use billing_client::OnBehalfOf;
use chrono::{DateTime, Utc};
use contracts::billing::v1::{
    self as wire, Charge, CreateInvoiceRequest, GetInvoiceRequest, GetPaymentRequest, Invoice,
    IssueInvoiceRequest, Money, Payment, PaymentMethod, RecordChargeRequest, RecordPaymentRequest,
    SetPriceRequest, charge_service_client::ChargeServiceClient,
    invoice_service_client::InvoiceServiceClient, payment_service_client::PaymentServiceClient,
    price_service_client::PriceServiceClient, refund_service_client::RefundServiceClient,
    report_service_client::ReportServiceClient,
};
use identity::Role;
use sqlx::PgPool;
use std::sync::{Arc, Mutex};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use billing::service::{Clinic, Clock};

use crate::running::{Running, create, with_token};

/// The services, called by one user.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) user: Uuid,
    channel: Channel,
}

/// A clinic's clock that a test sets.
#[derive(Clone)]
pub(crate) struct SetClock(Arc<Mutex<DateTime<Utc>>>);

impl SetClock {
    pub(crate) fn at(time: &str) -> Self {
        Self(Arc::new(Mutex::new(time.parse().unwrap())))
    }

    pub(crate) fn set(&self, time: &str) {
        *self.0.lock().unwrap() = time.parse().unwrap();
    }

    /// A clinic that goes by it.
    pub(crate) fn clinic(&self) -> Clinic {
        let time = Arc::clone(&self.0);
        Clinic {
            clock: Clock::showing(move || *time.lock().unwrap()),
            ..Clinic::default()
        }
    }
}

pub(crate) fn eur(minor_units: i64) -> Money {
    money("EUR", minor_units)
}

pub(crate) fn money(currency: &str, minor_units: i64) -> Money {
    Money {
        currency_code: currency.to_owned(),
        minor_units,
    }
}

/// A new request id.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn today() -> String {
    Utc::now().date_naive().to_string()
}

/// The amount, in the smallest unit.
pub(crate) fn units(money: &Option<Money>) -> i64 {
    money.as_ref().unwrap().minor_units
}

/// The reason that the service gives, in one word.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_details_error_info();
    details.map(|info| info.reason).unwrap_or_default()
}

/// The fields that the service finds wrong.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request().unwrap();
    let violations = details.field_violations.into_iter();
    violations.map(|violation| violation.field).collect()
}

/// That the service refused it for this reason.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    expected: &str,
) {
    let status = answer.unwrap_err();
    assert_eq!(
        (status.code(), &*reason(&status)),
        (code, expected),
        "{status}"
    );
}

macro_rules! calls {
    ($($client:ident: $($method:ident($request:ident) -> $answer:ident),*;)*) => {
        impl Desk {$($(
            pub(crate) async fn $method(
                &self,
                message: wire::$request,
            ) -> Result<wire::$answer, Status> {
                let mut client = $client::new(self.channel.clone());
                let answer = client.$method(self.request(message)).await?;
                Ok(answer.into_inner())
            }
        )*)*}
    };
}

calls! {
    PriceServiceClient: set_price(SetPriceRequest) -> SetPriceResponse,
        list_prices(ListPricesRequest) -> ListPricesResponse;
    ChargeServiceClient: record_charge(RecordChargeRequest) -> RecordChargeResponse,
        record_appointment_charges(RecordAppointmentChargesRequest) -> RecordAppointmentChargesResponse,
        cancel_charge(CancelChargeRequest) -> CancelChargeResponse,
        get_charge(GetChargeRequest) -> GetChargeResponse,
        list_charges(ListChargesRequest) -> ListChargesResponse;
    InvoiceServiceClient: create_invoice(CreateInvoiceRequest) -> CreateInvoiceResponse,
        update_invoice(UpdateInvoiceRequest) -> UpdateInvoiceResponse,
        delete_invoice(DeleteInvoiceRequest) -> DeleteInvoiceResponse,
        issue_invoice(IssueInvoiceRequest) -> IssueInvoiceResponse,
        send_invoice(SendInvoiceRequest) -> SendInvoiceResponse,
        void_invoice(VoidInvoiceRequest) -> VoidInvoiceResponse,
        credit_invoice(CreditInvoiceRequest) -> CreditInvoiceResponse,
        write_off_invoice(WriteOffInvoiceRequest) -> WriteOffInvoiceResponse,
        reject_write_off(RejectWriteOffRequest) -> RejectWriteOffResponse,
        get_invoice(GetInvoiceRequest) -> GetInvoiceResponse,
        list_invoices(ListInvoicesRequest) -> ListInvoicesResponse;
    PaymentServiceClient: record_payment(RecordPaymentRequest) -> RecordPaymentResponse,
        allocate_payment(AllocatePaymentRequest) -> AllocatePaymentResponse,
        reverse_payment(ReversePaymentRequest) -> ReversePaymentResponse,
        get_payment(GetPaymentRequest) -> GetPaymentResponse,
        list_payments(ListPaymentsRequest) -> ListPaymentsResponse;
    RefundServiceClient: request_refund(RequestRefundRequest) -> RequestRefundResponse,
        approve_refund(ApproveRefundRequest) -> ApproveRefundResponse,
        reject_refund(RejectRefundRequest) -> RejectRefundResponse,
        complete_refund(CompleteRefundRequest) -> CompleteRefundResponse,
        list_refunds(ListRefundsRequest) -> ListRefundsResponse;
    ReportServiceClient: get_balance(GetBalanceRequest) -> GetBalanceResponse,
        get_statement(GetStatementRequest) -> GetStatementResponse,
        send_statement(SendStatementRequest) -> SendStatementResponse,
        get_aging(GetAgingRequest) -> GetAgingResponse,
        get_revenue(GetRevenueRequest) -> GetRevenueResponse,
        get_takings(GetTakingsRequest) -> GetTakingsResponse;
}

impl Desk {
    /// A service of this clinic on this database, and somebody who uses it.
    pub(crate) async fn of(database: &PgPool, clinic: Clinic) -> Self {
        let running = Running::start_clinic(database, clinic).await;
        Self::at(&running)
    }

    /// The same of a clinic that counts in euros, in UTC.
    pub(crate) async fn open(database: &PgPool) -> Self {
        Self::of(database, Clinic::default()).await
    }

    pub(crate) fn at(running: &Running) -> Self {
        Self {
            user: Uuid::new_v4(),
            channel: running.channel(),
        }
    }

    /// Somebody else at the same desk.
    pub(crate) fn colleague(&self) -> Self {
        Self {
            user: Uuid::new_v4(),
            ..self.clone()
        }
    }

    /// The call of this user.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = with_token(message);
        let caller = OnBehalfOf {
            user: self.user,
            role: Role::Admin,
            source: Some("192.0.2.7".to_owned()),
            request_id: Some("the-request".to_owned()),
        };
        caller.write(request.metadata_mut());
        request
    }

    /// A new patient, who has an account.
    pub(crate) async fn patient(&self) -> Uuid {
        let patient = Uuid::now_v7();
        let mut accounts =
            wire::billing_service_client::BillingServiceClient::new(self.channel.clone());
        let opened = accounts.create_billing_account(self.request(create(patient)));
        opened.await.unwrap();
        patient
    }

    /// Nobody knows any more who this patient was.
    pub(crate) async fn erase(&self, patient: Uuid) {
        let erase = wire::EraseBillingAccountRequest {
            patient_id: patient.to_string(),
        };
        let mut accounts =
            wire::billing_service_client::BillingServiceClient::new(self.channel.clone());
        let erased = accounts.erase_billing_account(self.request(erase));
        erased.await.unwrap();
    }

    /// A price in euros, from long ago.
    pub(crate) async fn price(&self, code: &str, amount: i64, tax_rate_ppm: u32) {
        self.price_in("EUR", code, amount, tax_rate_ppm).await;
    }

    pub(crate) async fn price_in(&self, currency: &str, code: &str, amount: i64, rate: u32) {
        let price = SetPriceRequest {
            request_id: new_id(),
            code: code.to_owned(),
            description: format!("What {code} is"),
            amount: Some(money(currency, amount)),
            tax_rate_ppm: rate,
            valid_from: "2020-01-01".to_owned(),
        };
        self.set_price(price).await.unwrap();
    }

    /// Something that was done today.
    pub(crate) async fn charge(&self, patient: Uuid, code: &str, quantity: u32) -> Charge {
        let charge = charge(patient, code, quantity);
        let recorded = self.record_charge(charge).await.unwrap();
        recorded.charge.unwrap()
    }

    /// A draft of everything that is billable.
    pub(crate) async fn draft(&self, patient: Uuid) -> Invoice {
        let draft = CreateInvoiceRequest {
            request_id: new_id(),
            patient_id: patient.to_string(),
            ..CreateInvoiceRequest::default()
        };
        self.create_invoice(draft).await.unwrap().invoice.unwrap()
    }

    pub(crate) async fn issue(&self, invoice: &str) -> Result<Invoice, Status> {
        let issued = self.issue_invoice(IssueInvoiceRequest {
            request_id: new_id(),
            invoice_id: invoice.to_owned(),
            etag: String::new(),
        });
        Ok(issued.await?.invoice.unwrap())
    }

    /// An invoice of this much, without tax.
    pub(crate) async fn invoiced(&self, patient: Uuid, amount: i64) -> Invoice {
        let code = format!("A-{amount}");
        self.price(&code, amount, 0).await;
        self.charge(patient, &code, 1).await;
        let draft = self.draft(patient).await;
        self.issue(&draft.invoice_id).await.unwrap()
    }

    /// A payment in cash for these invoices.
    pub(crate) async fn pay(&self, patient: Uuid, amount: i64, invoices: &[&str]) -> Payment {
        let paid = self
            .record_payment(payment(patient, amount, invoices))
            .await;
        paid.unwrap().payment.unwrap()
    }

    pub(crate) async fn invoice(&self, id: &str) -> Invoice {
        let invoice = self.get_invoice(GetInvoiceRequest {
            invoice_id: id.to_owned(),
        });
        invoice.await.unwrap().invoice.unwrap()
    }

    pub(crate) async fn payment(&self, id: &str) -> Payment {
        let payment = self.get_payment(GetPaymentRequest {
            payment_id: id.to_owned(),
        });
        payment.await.unwrap().payment.unwrap()
    }
}

pub(crate) fn charge(patient: Uuid, code: &str, quantity: u32) -> RecordChargeRequest {
    RecordChargeRequest {
        request_id: new_id(),
        patient_id: patient.to_string(),
        code: code.to_owned(),
        quantity,
        service_date: "2026-01-01".to_owned(),
        ..RecordChargeRequest::default()
    }
}

pub(crate) fn payment(patient: Uuid, amount: i64, invoices: &[&str]) -> RecordPaymentRequest {
    RecordPaymentRequest {
        request_id: new_id(),
        patient_id: patient.to_string(),
        amount: Some(eur(amount)),
        method: PaymentMethod::Cash.into(),
        reference: String::new(),
        invoice_ids: invoices.iter().map(|id| (*id).to_owned()).collect(),
    }
}
