//! The calls about prices, charges, invoices, payments, refunds and reports: messages as `proto/`
//! defines them, with what every call needs.

use contracts::{billing::v1, caller_metadata::REPLAYED};
use tonic::{Response, codec::Streaming};

use crate::{
    BillingClient, BillingError, Instruction,
    client::{CALL_DEADLINE, REPORT_DEADLINE, bounded_by},
};

/// The largest answer, in bytes: a page of a hundred invoices, or an invoice with all its lines and
/// credit notes.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// What the service has done, once.
#[derive(Debug, Clone, PartialEq)]
pub struct Done<T> {
    /// Its answer.
    pub answer: T,
    /// Whether it had been done before, by a call with the same request id that got the same answer.
    pub replayed: bool,
}

impl<T> Done<T> {
    fn of(response: Response<T>) -> Self {
        let replayed = response.metadata().get(REPLAYED);
        Self {
            replayed: replayed.is_some_and(|replayed| replayed == "true"),
            answer: response.into_inner(),
        }
    }
}

macro_rules! client {
    ($client:ident, $self:ident) => {
        $client::new($self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    };
}

/// Calls that change something. They may be repeated, as they carry the id of their request.
macro_rules! changes {
    ($($client:ident { $($(#[$doc:meta])* $method:ident($request:ident) -> $response:ident;)* })*) => {
        impl BillingClient {$($(
            $(#[$doc])*
            ///
            /// # Errors
            /// See [`BillingError`].
            pub async fn $method(
                &self,
                instruction: impl Into<Instruction>,
                mut message: v1::$request,
            ) -> Result<Done<v1::$response>, BillingError> {
                let Instruction { on_behalf_of, request_id } = instruction.into();
                message.request_id = request_id.to_string();
                let response = bounded_by(CALL_DEADLINE, || {
                    let mut request = self.request_within(CALL_DEADLINE, message.clone());
                    if let Some(somebody) = &on_behalf_of {
                        somebody.write(request.metadata_mut());
                    }
                    let mut client = client!($client, self);
                    async move { client.$method(request).await }
                })
                .await?;
                Ok(Done::of(response))
            }
        )*)*}
    };
}

/// Calls that change nothing.
macro_rules! reads {
    ($($client:ident within $deadline:ident { $($(#[$doc:meta])* $method:ident($request:ident) -> $response:ident;)* })*) => {
        impl BillingClient {$($(
            $(#[$doc])*
            ///
            /// # Errors
            /// See [`BillingError`].
            pub async fn $method(&self, message: v1::$request) -> Result<v1::$response, BillingError> {
                let response = bounded_by($deadline, || {
                    let request = self.request_within($deadline, message.clone());
                    let mut client = client!($client, self);
                    async move { client.$method(request).await }
                })
                .await?;
                Ok(response.into_inner())
            }
        )*)*}
    };
}

use v1::{
    charge_service_client::ChargeServiceClient, invoice_service_client::InvoiceServiceClient,
    payment_service_client::PaymentServiceClient, price_service_client::PriceServiceClient,
    refund_service_client::RefundServiceClient, report_service_client::ReportServiceClient,
};

changes! {
    PriceServiceClient {
        /// Sets the price of a code from a date on.
        set_price(SetPriceRequest) -> SetPriceResponse;
    }
    ChargeServiceClient {
        /// Puts a charge on a patient's account.
        record_charge(RecordChargeRequest) -> RecordChargeResponse;
        /// Cancels a charge that is not on an invoice that was issued.
        cancel_charge(CancelChargeRequest) -> CancelChargeResponse;
    }
    InvoiceServiceClient {
        /// Makes a draft of charges.
        create_invoice(CreateInvoiceRequest) -> CreateInvoiceResponse;
        /// Replaces the lines of a draft.
        update_invoice(UpdateInvoiceRequest) -> UpdateInvoiceResponse;
        /// Deletes a draft.
        delete_invoice(DeleteInvoiceRequest) -> DeleteInvoiceResponse;
        /// Issues a draft.
        issue_invoice(IssueInvoiceRequest) -> IssueInvoiceResponse;
        /// Has the patient sent an invoice.
        send_invoice(SendInvoiceRequest) -> SendInvoiceResponse;
        /// Takes an invoice back as if it had not been issued.
        void_invoice(VoidInvoiceRequest) -> VoidInvoiceResponse;
        /// Issues a credit note about an invoice.
        credit_invoice(CreditInvoiceRequest) -> CreditInvoiceResponse;
        /// Gives up what is due, or asks another person to.
        write_off_invoice(WriteOffInvoiceRequest) -> WriteOffInvoiceResponse;
        /// Refuses what somebody has asked another person to give up.
        reject_write_off(RejectWriteOffRequest) -> RejectWriteOffResponse;
    }
    PaymentServiceClient {
        /// Records a payment.
        record_payment(RecordPaymentRequest) -> RecordPaymentResponse;
        /// Says which invoices the rest of a payment is for.
        allocate_payment(AllocatePaymentRequest) -> AllocatePaymentResponse;
        /// Takes back a payment that never arrived.
        reverse_payment(ReversePaymentRequest) -> ReversePaymentResponse;
    }
    RefundServiceClient {
        /// Asks for a refund of what is left of a payment.
        request_refund(RequestRefundRequest) -> RequestRefundResponse;
        /// Approves a refund that somebody else has asked for.
        approve_refund(ApproveRefundRequest) -> ApproveRefundResponse;
        /// Refuses a refund.
        reject_refund(RejectRefundRequest) -> RejectRefundResponse;
        /// Says that a refund was paid out.
        complete_refund(CompleteRefundRequest) -> CompleteRefundResponse;
    }
    ReportServiceClient {
        /// Has the patient sent a statement.
        send_statement(SendStatementRequest) -> SendStatementResponse;
    }
}

reads! {
    PriceServiceClient within CALL_DEADLINE {
        /// Prices, by code, currency and date.
        list_prices(ListPricesRequest) -> ListPricesResponse;
    }
    ChargeServiceClient within CALL_DEADLINE {
        /// A charge.
        get_charge(GetChargeRequest) -> GetChargeResponse;
        /// Charges, the newest first.
        list_charges(ListChargesRequest) -> ListChargesResponse;
    }
    InvoiceServiceClient within CALL_DEADLINE {
        /// An invoice, with its lines and credit notes.
        get_invoice(GetInvoiceRequest) -> GetInvoiceResponse;
        /// Invoices without them, the newest first.
        list_invoices(ListInvoicesRequest) -> ListInvoicesResponse;
    }
    PaymentServiceClient within CALL_DEADLINE {
        /// A payment.
        get_payment(GetPaymentRequest) -> GetPaymentResponse;
        /// Payments, the newest first.
        list_payments(ListPaymentsRequest) -> ListPaymentsResponse;
    }
    RefundServiceClient within CALL_DEADLINE {
        /// A refund.
        get_refund(GetRefundRequest) -> GetRefundResponse;
        /// Refunds, the newest first.
        list_refunds(ListRefundsRequest) -> ListRefundsResponse;
    }
    ReportServiceClient within REPORT_DEADLINE {
        /// What happened on a patient's account in a period.
        get_statement(GetStatementRequest) -> GetStatementResponse;
        /// What patients owe at the end of a day.
        get_aging(GetAgingRequest) -> GetAgingResponse;
        /// What was issued in a period, and taken back.
        get_revenue(GetRevenueRequest) -> GetRevenueResponse;
        /// What came in and was paid out on a day.
        get_takings(GetTakingsRequest) -> GetTakingsResponse;
    }
}

impl BillingClient {
    /// Makes the charges of an appointment what its newest version says. Repeating the call is safe, and an
    /// older version changes nothing.
    ///
    /// # Errors
    /// See [`BillingError`]. A patient without an account is one: it may be opened in a moment.
    pub async fn record_appointment_charges(
        &self,
        message: v1::RecordAppointmentChargesRequest,
    ) -> Result<v1::RecordAppointmentChargesResponse, BillingError> {
        let response = bounded_by(CALL_DEADLINE, || {
            let request = self.request_within(CALL_DEADLINE, message.clone());
            let mut client = client!(ChargeServiceClient, self);
            async move { client.record_appointment_charges(request).await }
        })
        .await?;
        Ok(response.into_inner())
    }

    /// Every posting of a period, in the order in which they were booked, in several messages.
    ///
    /// # Errors
    /// See [`BillingError`].
    pub async fn export_ledger(
        &self,
        message: v1::ExportLedgerRequest,
    ) -> Result<Streaming<v1::ExportLedgerResponse>, BillingError> {
        let response = bounded_by(REPORT_DEADLINE, || {
            let request = self.request_within(REPORT_DEADLINE, message.clone());
            let mut client = client!(ReportServiceClient, self);
            async move { client.export_ledger(request).await }
        })
        .await?;
        Ok(response.into_inner())
    }
}
