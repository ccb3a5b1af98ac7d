//! The service, with a history going on in it, and whether it says what the model says.

use std::collections::BTreeMap;

use billing::verify_ledger::verify_ledger;
use contracts::billing::v1::{
    self as wire, AllocatePaymentRequest, AllocationRequest, CancelChargeRequest,
    CreateInvoiceRequest, CreditInvoiceRequest, DeleteInvoiceRequest, DraftLine, GetAgingRequest,
    GetBalanceRequest, GetRevenueRequest, GetStatementRequest, GetTakingsRequest,
    ListInvoicesRequest, ListPaymentsRequest, ListRefundsRequest, PaymentMethod, PaymentState,
    RecordChargeRequest, RecordPaymentRequest, RefundState, RejectWriteOffRequest,
    RequestRefundRequest, UpdateInvoiceRequest,
};
use futures::future::join_all;
use proptest::sample::Index;
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    model::{Model, PRICES, Refunding, Refused, State, Taken, Totals},
    step::{History, Step},
};
use crate::{
    desk::{Desk, SetClock, charge, money, new_id, payment, units},
    invoices::{void, write_off},
    payments::reverse,
    refunds::{approve, complete, reject},
};

/// How many patients one client has.
const PATIENTS: usize = 3;

const TODAY: &str = "2026-06-15";

/// How money comes in, in the order of the model.
const METHODS: [PaymentMethod; 3] = [
    PaymentMethod::Cash,
    PaymentMethod::Card,
    PaymentMethod::Transfer,
];

/// A clinic on a day that does not end, with two people at its desk.
pub(super) struct Clinic {
    database: PgPool,
    desks: [Desk; 2],
}

impl Clinic {
    pub(super) async fn open(database: &PgPool) -> Self {
        let clock = SetClock::at(&format!("{TODAY}T12:00:00Z"));
        let desk = Desk::of(database, clock.clinic()).await;
        for (code, amount, rate) in PRICES {
            for currency in ["EUR", "JPY", "KWD"] {
                desk.price_in(currency, code, amount, rate).await;
            }
        }
        Self {
            database: database.clone(),
            desks: [desk.colleague(), desk],
        }
    }

    /// Lives through what each client does, all at once, and looks at the books after it.
    pub(super) async fn live_through(&self, histories: &[History]) {
        let before = self.totals().await;
        let lived = histories.iter().map(async |history| {
            let mut client = Client::new(self, history.currency).await;
            for step in &history.steps {
                client.take(step).await;
            }
            client
        });
        let clients = join_all(lived).await;
        join_all(clients.iter().map(Client::must_be_as_the_model_says)).await;

        let mut expected = before;
        for client in &clients {
            let totals = expected.get_mut(client.currency).unwrap();
            *totals = plus(*totals, client.model.totals);
        }
        assert_eq!(
            self.totals().await,
            expected,
            "what the clinic has earned and taken in"
        );
        let verified = verify_ledger(&self.database).await.unwrap();
        assert!(verified.intact, "{:?}", verified.faults);
    }

    /// What the reports say of the day, in each currency.
    async fn totals(&self) -> BTreeMap<&'static str, Totals> {
        let mut totals = BTreeMap::new();
        for currency in ["EUR", "JPY", "KWD"] {
            let revenue = self.desks[0].get_revenue(GetRevenueRequest {
                from_date: TODAY.to_owned(),
                to_date: TODAY.to_owned(),
                currency_code: currency.to_owned(),
            });
            let takings = self.desks[0].get_takings(GetTakingsRequest {
                date: TODAY.to_owned(),
                currency_code: currency.to_owned(),
            });
            let (revenue, takings) = (revenue.await.unwrap(), takings.await.unwrap());
            let revenue = revenue.total.unwrap();
            let [issued, voided, credited, tax] = [
                &revenue.issued,
                &revenue.voided,
                &revenue.credited,
                &revenue.tax,
            ]
            .map(units);
            assert_eq!(units(&revenue.revenue), issued - voided - credited);
            let taken = METHODS.map(|method| {
                let row = takings.methods.iter().find(|row| row.method() == method);
                let row = row.unwrap().takings.as_ref().unwrap();
                [&row.payments, &row.reversed, &row.refunds].map(units)
            });
            let of_day = Totals {
                issued,
                voided,
                credited,
                tax,
                taken,
            };
            totals.insert(currency, of_day);
        }
        totals
    }
}

fn plus(one: Totals, other: Totals) -> Totals {
    let mut taken = one.taken;
    for (sums, more) in taken.iter_mut().flatten().zip(other.taken.iter().flatten()) {
        *sums += more;
    }
    Totals {
        issued: one.issued + other.issued,
        voided: one.voided + other.voided,
        credited: one.credited + other.credited,
        tax: one.tax + other.tax,
        taken,
    }
}

/// Somebody with patients of their own, and what they know of them. Ids are at the places of what the
/// model has.
struct Client<'c> {
    clinic: &'c Clinic,
    currency: &'static str,
    model: Model,
    patients: Vec<Uuid>,
    charges: Vec<String>,
    invoices: Vec<String>,
    payments: Vec<String>,
    refunds: Vec<wire::Refund>,
}

impl<'c> Client<'c> {
    async fn new(clinic: &'c Clinic, currency: &'static str) -> Self {
        let mut patients = Vec::new();
        for _ in 0..PATIENTS {
            patients.push(clinic.desks[0].patient().await);
        }
        Self {
            clinic,
            currency,
            model: Model::of(currency),
            patients,
            charges: Vec::new(),
            invoices: Vec::new(),
            payments: Vec::new(),
            refunds: Vec::new(),
        }
    }

    fn desk(&self, by: bool) -> &Desk {
        &self.clinic.desks[usize::from(by)]
    }

    /// Takes a step. What it is about may not be there: then there is nothing to be done.
    #[expect(clippy::too_many_lines, reason = "it is a table of steps")]
    async fn take(&mut self, step: &Step) {
        let desk = self.desk(false).clone();
        let amount_of = |amount: &Option<i64>| amount.map(|amount| money(self.currency, amount));
        match step {
            Step::Charge {
                patient,
                code,
                quantity,
            } => {
                let (patient, code) = (patient.index(PATIENTS), code.index(PRICES.len()));
                let recorded = desk.record_charge(RecordChargeRequest {
                    currency_code: self.currency.to_owned(),
                    ..charge(self.patients[patient], PRICES[code].0, *quantity)
                });
                self.charges
                    .push(recorded.await.unwrap().charge.unwrap().charge_id);
                self.model.charge(patient, code, *quantity);
            }
            Step::CancelCharge { charge } => {
                let Some(charge) = one_of(*charge, &self.charges) else {
                    return;
                };
                let cancelled = desk.cancel_charge(CancelChargeRequest {
                    request_id: new_id(),
                    charge_id: self.charges[charge].clone(),
                    reason: String::new(),
                });
                agree(step, cancelled.await, self.model.cancel_charge(charge));
            }
            Step::Draft { patient } => {
                let patient = patient.index(PATIENTS);
                let drafted = desk.create_invoice(CreateInvoiceRequest {
                    request_id: new_id(),
                    patient_id: self.patients[patient].to_string(),
                    currency_code: self.currency.to_owned(),
                    ..CreateInvoiceRequest::default()
                });
                let drafted = agree(step, drafted.await, self.model.draft(patient));
                let drafted = drafted.map(|drafted| drafted.invoice.unwrap().invoice_id);
                self.invoices.extend(drafted);
            }
            Step::Redraft { invoice, lines } => {
                let Some(invoice) = one_of(*invoice, &self.invoices) else {
                    return;
                };
                let mut charges = self.model.drafted(invoice);
                charges.truncate(*lines);
                let wanted = charges.iter().map(|charge| DraftLine {
                    charge_id: self.charges[*charge].clone(),
                    discount: None,
                });
                let redrafted = desk.update_invoice(UpdateInvoiceRequest {
                    request_id: new_id(),
                    invoice_id: self.invoices[invoice].clone(),
                    etag: String::new(),
                    lines: wanted.collect(),
                });
                agree(step, redrafted.await, self.model.redraft(invoice, &charges));
            }
            Step::DeleteDraft { invoice } => {
                let Some(invoice) = one_of(*invoice, &self.invoices) else {
                    return;
                };
                let deleted = desk.delete_invoice(DeleteInvoiceRequest {
                    request_id: new_id(),
                    invoice_id: self.invoices[invoice].clone(),
                    etag: String::new(),
                });
                agree(step, deleted.await, self.model.delete_draft(invoice));
            }
            Step::Issue { invoice } => {
                let Some(invoice) = one_of(*invoice, &self.invoices) else {
                    return;
                };
                let issued = desk.issue(&self.invoices[invoice]).await;
                agree(step, issued, self.model.issue(invoice));
            }
            Step::Void { invoice } => {
                let Some(invoice) = one_of(*invoice, &self.invoices) else {
                    return;
                };
                let voided = void(&desk, &self.invoices[invoice]).await;
                agree(step, voided, self.model.void(invoice));
            }
            Step::Credit { invoice, amount } => {
                let Some(invoice) = one_of(*invoice, &self.invoices) else {
                    return;
                };
                let credited = desk.credit_invoice(CreditInvoiceRequest {
                    request_id: new_id(),
                    invoice_id: self.invoices[invoice].clone(),
                    reason: "Not as it was meant".to_owned(),
                    amount: amount_of(amount),
                    ..CreditInvoiceRequest::default()
                });
                let expected = self.model.credit(invoice, *amount);
                if let Some(credited) = agree(step, credited.await, expected) {
                    self.model_credit_note(&credited, expected.unwrap());
                }
            }
            Step::WriteOff { invoice, by } => {
                let Some(invoice) = one_of(*invoice, &self.invoices) else {
                    return;
                };
                let written_off = write_off(self.desk(*by), &self.invoices[invoice]).await;
                agree(step, written_off, self.model.write_off(invoice, *by));
            }
            Step::RejectWriteOff { invoice, by } => {
                let Some(invoice) = one_of(*invoice, &self.invoices) else {
                    return;
                };
                let rejected = self.desk(*by).reject_write_off(RejectWriteOffRequest {
                    request_id: new_id(),
                    invoice_id: self.invoices[invoice].clone(),
                    etag: String::new(),
                    reason: "It will be paid".to_owned(),
                });
                let rejected = rejected.await;
                agree(step, rejected, self.model.reject_write_off(invoice));
            }
            Step::Pay {
                patient,
                amount,
                method,
                invoices,
            } => {
                let patient = patient.index(PATIENTS);
                let named = invoices
                    .iter()
                    .filter_map(|invoice| one_of(*invoice, &self.invoices));
                let named: Vec<usize> = named.collect();
                let ids: Vec<&str> = named.iter().map(|named| &*self.invoices[*named]).collect();
                let paid = desk.record_payment(RecordPaymentRequest {
                    amount: Some(money(self.currency, *amount)),
                    method: METHODS[*method].into(),
                    ..payment(self.patients[patient], *amount, &ids)
                });
                let expected = self.model.pay(patient, *amount, *method, &named);
                let paid = agree(step, paid.await, expected);
                self.payments
                    .extend(paid.map(|paid| paid.payment.unwrap().payment_id));
            }
            Step::Allocate {
                payment,
                invoice,
                amount,
            } => {
                let Some(payment) = one_of(*payment, &self.payments) else {
                    return;
                };
                let Some(invoice) = one_of(*invoice, &self.invoices) else {
                    return;
                };
                let allocated = desk.allocate_payment(AllocatePaymentRequest {
                    request_id: new_id(),
                    payment_id: self.payments[payment].clone(),
                    etag: String::new(),
                    allocations: vec![AllocationRequest {
                        invoice_id: self.invoices[invoice].clone(),
                        amount: amount_of(amount),
                    }],
                });
                let expected = self.model.allocate(payment, invoice, *amount);
                agree(step, allocated.await, expected);
            }
            Step::Reverse { payment } => {
                let Some(payment) = one_of(*payment, &self.payments) else {
                    return;
                };
                let reversed = reverse(&desk, &self.payments[payment]).await;
                agree(step, reversed, self.model.reverse(payment));
            }
            Step::RequestRefund {
                payment,
                amount,
                by,
            } => {
                let Some(payment) = one_of(*payment, &self.payments) else {
                    return;
                };
                let requested = self.desk(*by).request_refund(RequestRefundRequest {
                    request_id: new_id(),
                    payment_id: self.payments[payment].clone(),
                    amount: amount_of(amount),
                    reason: "Paid twice".to_owned(),
                    method: 0,
                });
                let requested = requested.await;
                let expected = self.model.request_refund(payment, *amount, *by);
                let requested = agree(step, requested, expected);
                self.refunds
                    .extend(requested.map(|requested| requested.refund.unwrap()));
            }
            Step::ApproveRefund { refund, by } => {
                let Some(refund) = one_of(*refund, &self.refunds) else {
                    return;
                };
                let approved = approve(self.desk(*by), &self.refunds[refund]).await;
                agree(step, approved, self.model.approve_refund(refund, *by));
            }
            Step::RejectRefund { refund, by } => {
                let Some(refund) = one_of(*refund, &self.refunds) else {
                    return;
                };
                let rejected = reject(self.desk(*by), &self.refunds[refund]).await;
                agree(step, rejected, self.model.reject_refund(refund));
            }
            Step::CompleteRefund { refund, by } => {
                let Some(refund) = one_of(*refund, &self.refunds) else {
                    return;
                };
                let completed = complete(self.desk(*by), &self.refunds[refund]).await;
                agree(step, completed, self.model.complete_refund(refund));
            }
        }
    }

    /// A credit note is of the amount that was asked for, and no line is credited beyond what it is.
    fn model_credit_note(&mut self, credited: &wire::CreditInvoiceResponse, expected: i64) {
        let note = credited.credit_note.as_ref().unwrap();
        let [net, tax, total] = [&note.net, &note.tax, &note.total].map(units);
        assert_eq!((net + tax, total), (expected, expected));
        for line in &credited.invoice.as_ref().unwrap().lines {
            assert!(
                (0..=units(&line.total)).contains(&units(&line.credited)),
                "{line:?}"
            );
        }
        self.model.credited(net, tax);
    }

    async fn must_be_as_the_model_says(&self) {
        let desk = self.desk(false);
        let aging = self.aging().await;
        for (place, patient) in self.patients.iter().enumerate() {
            self.invoices_must_be_right(place).await;
            self.payments_must_be_right(place).await;
            let (owes, credit) = (self.model.owes(place), self.model.credit_of(place));
            let balance = desk.get_balance(GetBalanceRequest {
                patient_id: patient.to_string(),
                currency_code: self.currency.to_owned(),
            });
            let balance = balance.await.unwrap();
            let sums = [&balance.receivable, &balance.credit, &balance.balance].map(units);
            assert_eq!(sums, [owes, credit, owes - credit]);
            let aged = aging.get(patient).copied().unwrap_or_default();
            assert_eq!(aged, (owes, credit), "aging");

            let statement = desk.get_statement(GetStatementRequest {
                patient_id: patient.to_string(),
                currency_code: self.currency.to_owned(),
                page_size: 500,
                ..GetStatementRequest::default()
            });
            let statement = statement.await.unwrap();
            let mut sum = units(&statement.opening);
            assert_eq!(sum, 0);
            for line in &statement.lines {
                sum += units(&line.amount);
                assert_eq!(units(&line.balance), sum, "{line:?}");
            }
            assert_eq!(
                (sum, units(&statement.closing)),
                (owes - credit, owes - credit)
            );
        }
    }

    async fn invoices_must_be_right(&self, place: usize) {
        let listed = self.desk(false).list_invoices(ListInvoicesRequest {
            patient_id: self.patients[place].to_string(),
            page_size: 100,
            ..ListInvoicesRequest::default()
        });
        let listed = listed.await.unwrap().invoices;
        let mut there = 0;
        for (expected, id) in self.model.invoices.iter().zip(&self.invoices) {
            if expected.patient != place || expected.state == State::Deleted {
                continue;
            }
            there += 1;
            let invoice = listed
                .iter()
                .find(|invoice| invoice.invoice_id == *id)
                .unwrap();
            let state = match invoice.state() {
                wire::InvoiceState::Draft => State::Draft,
                wire::InvoiceState::Issued => State::Issued,
                wire::InvoiceState::Void => State::Void,
                wire::InvoiceState::WrittenOff => State::WrittenOff,
                wire::InvoiceState::Unspecified => panic!("{invoice:?}"),
            };
            assert_eq!(state, expected.state);
            let sums = [
                &invoice.net,
                &invoice.tax,
                &invoice.allocated,
                &invoice.credited,
                &invoice.written_off,
                &invoice.due,
            ]
            .map(units);
            let expected_sums = [
                expected.net,
                expected.tax,
                expected.allocated,
                expected.credited,
                expected.written_off,
                expected.due(),
            ];
            assert_eq!(sums, expected_sums, "invoice {}", invoice.number);
            let asked = invoice.write_off_request.as_ref();
            let asked = asked.map(|asked| (units(&asked.amount), asked.requested_by.clone()));
            let expected = expected.request;
            let expected = expected.map(|(asked, by)| (asked, self.desk(by).user.to_string()));
            assert_eq!(
                asked, expected,
                "the request to write off {}",
                invoice.number
            );
        }
        assert_eq!(listed.len(), there);
    }

    async fn payments_must_be_right(&self, place: usize) {
        let patient_id = self.patients[place].to_string();
        let payments = self.desk(false).list_payments(ListPaymentsRequest {
            patient_id: patient_id.clone(),
            page_size: 100,
            ..ListPaymentsRequest::default()
        });
        let payments = payments.await.unwrap().payments;
        for (expected, id) in self.model.payments.iter().zip(&self.payments) {
            if expected.patient != place {
                continue;
            }
            let payment = payments
                .iter()
                .find(|payment| payment.payment_id == *id)
                .unwrap();
            assert_eq!(payment.state() == PaymentState::Reversed, expected.reversed);
            let sums = [&payment.allocated, &payment.refunded, &payment.credit].map(units);
            let expected = [expected.allocated(), expected.refunded, expected.credit()];
            assert_eq!(sums, expected, "payment {id}");
        }
        let refunds = self.desk(false).list_refunds(ListRefundsRequest {
            patient_id,
            page_size: 100,
            ..ListRefundsRequest::default()
        });
        let refunds = refunds.await.unwrap().refunds;
        for (expected, asked) in self.model.refunds.iter().zip(&self.refunds) {
            let refund = refunds
                .iter()
                .find(|refund| refund.refund_id == asked.refund_id);
            let Some(refund) = refund else {
                assert_ne!(self.model.payments[expected.payment].patient, place);
                continue;
            };
            let state = match refund.state() {
                RefundState::Requested => Refunding::Requested,
                RefundState::Approved => Refunding::Approved,
                RefundState::Rejected => Refunding::Rejected,
                RefundState::Completed => Refunding::Completed,
                RefundState::Unspecified => panic!("{refund:?}"),
            };
            assert_eq!(
                (state, units(&refund.amount)),
                (expected.state, expected.amount)
            );
        }
    }

    /// What the aging says that the patients owe, and have of credit.
    async fn aging(&self) -> BTreeMap<Uuid, (i64, i64)> {
        let before_all = self.patients.iter().min().unwrap().as_u128() - 1;
        let aging = self.desk(false).get_aging(GetAgingRequest {
            currency_code: self.currency.to_owned(),
            page_size: 100,
            page_token: Uuid::from_u128(before_all).to_string(),
            ..GetAgingRequest::default()
        });
        let rows = aging.await.unwrap().patients.into_iter().map(|row| {
            let buckets = row.buckets.unwrap();
            let sums = (units(&buckets.total), units(&buckets.credit));
            (row.patient_id.parse().unwrap(), sums)
        });
        rows.collect()
    }
}

/// The place of what a step is about; none if there is no such thing yet.
fn one_of<T>(place: Index, all: &[T]) -> Option<usize> {
    (!all.is_empty()).then(|| place.index(all.len()))
}

/// Whether the service has done what the model says. Nothing but a refusal may come of what it does not
/// take.
fn agree<T: std::fmt::Debug, M>(
    step: &Step,
    answer: Result<T, Status>,
    expected: Taken<M>,
) -> Option<T> {
    match (answer, expected.map(|_| ())) {
        (Ok(done), Ok(())) => Some(done),
        (Err(status), Err(Refused)) => {
            let refusals = [
                Code::FailedPrecondition,
                Code::InvalidArgument,
                Code::NotFound,
            ];
            assert!(refusals.contains(&status.code()), "{step:?}: {status}");
            None
        }
        (Ok(done), Err(Refused)) => panic!("{step:?} was to be refused: {done:?}"),
        (Err(status), Ok(())) => panic!("{step:?} was to be taken: {status}"),
    }
}
