//! Recording, cancelling and listing charges, by hand and from appointments.

use contracts::billing::v1::{
    AppointmentChargeItem, CancelChargeRequest, Charge, ChargeState, CloseBillingAccountRequest,
    CreditInvoiceRequest, ListChargesRequest, RecordAppointmentChargesRequest, RecordChargeRequest,
    VoidInvoiceRequest,
};
use futures::future::join_all;
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    desk::{Desk, assert_refused, charge, fields, money, new_id, units},
    running::{Running, with_token},
};

pub(crate) async fn cancel(desk: &Desk, charge: &Charge) -> Result<Charge, Status> {
    let cancelled = desk.cancel_charge(CancelChargeRequest {
        request_id: new_id(),
        charge_id: charge.charge_id.clone(),
        reason: "Not done".to_owned(),
    });
    Ok(cancelled.await?.charge.unwrap())
}

pub(crate) fn of_appointment(
    appointment: Uuid,
    version: u64,
    patient: Uuid,
    codes: &[&str],
) -> RecordAppointmentChargesRequest {
    let items = codes.iter().map(|code| AppointmentChargeItem {
        code: (*code).to_owned(),
        quantity: 1,
        service_date: "2026-01-15".to_owned(),
    });
    RecordAppointmentChargesRequest {
        appointment_id: appointment.to_string(),
        appointment_version: version,
        patient_id: patient.to_string(),
        items: items.collect(),
    }
}

pub(crate) fn codes(charges: &[Charge]) -> Vec<&str> {
    let mut codes: Vec<&str> = charges.iter().map(|charge| &*charge.code).collect();
    codes.sort_unstable();
    codes
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_has_the_price_of_its_day(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("CONSULT", 4999, 190_000).await;
    let charge = desk.charge(patient, "CONSULT", 3).await;
    assert_eq!(charge.state(), ChargeState::Billable);
    assert_eq!(
        (units(&charge.unit_price), units(&charge.amount)),
        (4999, 14_997)
    );
    assert_eq!((charge.tax_rate_ppm, charge.quantity), (190_000, 3));
    assert_eq!(charge.patient_id, patient.to_string());

    desk.price_in("JPY", "CONSULT", 800, 0).await;
    let yen = RecordChargeRequest {
        currency_code: "JPY".to_owned(),
        ..crate::desk::charge(patient, "CONSULT", 1)
    };
    let yen = desk.record_charge(yen).await.unwrap().charge.unwrap();
    assert_eq!(yen.amount, Some(money("JPY", 800)));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_without_a_currency_is_in_the_only_one_that_its_code_has_prices_in(
    database: PgPool,
) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price_in("JPY", "CONSULT", 800, 0).await;
    let yen = desk.charge(patient, "CONSULT", 1).await;
    assert_eq!(yen.amount, Some(money("JPY", 800)));

    // With prices in two other currencies, nobody can tell which one was meant.
    desk.price_in("KWD", "CONSULT", 2500, 0).await;
    let unpriced = desk.charge(patient, "CONSULT", 1).await;
    assert_eq!(unpriced.state(), ChargeState::Unpriced);

    desk.price("CONSULT", 600, 0).await;
    let clinics = desk.charge(patient, "CONSULT", 1).await;
    assert_eq!(clinics.amount, Some(money("EUR", 600)));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nothing_is_charged_where_there_is_no_open_account(database: PgPool) {
    let running = Running::start(&database).await;
    let desk = Desk::at(&running);
    let nobody = desk.record_charge(charge(Uuid::now_v7(), "A", 1)).await;
    assert_refused(nobody, Code::NotFound, "NO_ACCOUNT");

    let patient = desk.patient().await;
    let close = CloseBillingAccountRequest {
        patient_id: patient.to_string(),
    };
    let mut accounts = running.generated_client();
    accounts
        .close_billing_account(with_token(close))
        .await
        .unwrap();
    let closed = desk.record_charge(charge(patient, "A", 1)).await;
    assert_refused(closed, Code::FailedPrecondition, "ACCOUNT_CLOSED");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn invalid_input_is_named(database: PgPool) {
    let desk = Desk::open(&database).await;
    let wrong = RecordChargeRequest {
        request_id: new_id(),
        patient_id: "42".to_owned(),
        code: String::new(),
        quantity: 1001,
        service_date: "2999-01-01".to_owned(),
        note: "x".repeat(501),
        currency_code: "EURO".to_owned(),
    };
    let status = desk.record_charge(wrong).await.unwrap_err();
    let expected = [
        "patientId",
        "code",
        "quantity",
        "serviceDate",
        "note",
        "currency",
    ];
    assert_eq!(fields(&status), expected);
    let without_id = RecordChargeRequest {
        request_id: String::new(),
        ..charge(desk.patient().await, "A", 1)
    };
    let status = desk.record_charge(without_id).await.unwrap_err();
    assert_eq!(fields(&status), ["request_id"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_is_cancelled_until_it_is_invoiced(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    let (first, second) = (
        desk.charge(patient, "A", 1).await,
        desk.charge(patient, "A", 2).await,
    );
    let draft = desk.draft(patient).await;
    assert_eq!(units(&draft.total), 300);

    let cancelled = cancel(&desk, &first).await.unwrap();
    assert_eq!(cancelled.state(), ChargeState::Cancelled);
    assert_eq!(cancelled.cancel_reason, "Not done");
    assert_eq!(cancelled.invoice_id, "");
    // The draft follows.
    let draft = desk.invoice(&draft.invoice_id).await;
    assert_eq!((units(&draft.total), draft.lines.len()), (200, 1));

    assert_refused(
        cancel(&desk, &first).await,
        Code::FailedPrecondition,
        "CHARGE_CANCELLED",
    );
    desk.issue(&draft.invoice_id).await.unwrap();
    assert_refused(
        cancel(&desk, &second).await,
        Code::FailedPrecondition,
        "CHARGE_INVOICED",
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn charges_are_listed_without_those_of_restricted_patients(database: PgPool) {
    let desk = Desk::open(&database).await;
    let (patient, restricted) = (desk.patient().await, desk.patient().await);
    for _ in 0..3 {
        desk.charge(patient, "NONE", 1).await;
    }
    desk.charge(restricted, "NONE", 1).await;
    restrict(&database, restricted).await;
    let list = |request: ListChargesRequest| async {
        let list = desk.list_charges(request).await.unwrap();
        (list.charges.len(), list.next_page_token)
    };
    let unpriced = ListChargesRequest {
        state: ChargeState::Unpriced.into(),
        page_size: 2,
        ..ListChargesRequest::default()
    };
    let (first, token) = list(unpriced.clone()).await;
    let next = ListChargesRequest {
        page_token: token,
        ..unpriced.clone()
    };
    assert_eq!((first, list(next).await), (2, (1, String::new())));
    let whole = ListChargesRequest {
        include_restricted: true,
        page_size: 10,
        ..unpriced.clone()
    };
    assert_eq!(list(whole).await.0, 4);
    let of_one = ListChargesRequest {
        patient_id: restricted.to_string(),
        ..unpriced
    };
    assert_eq!(list(of_one).await.0, 1);
}

/// Only what the functions of the schema look at is there.
pub(crate) async fn restrict(database: &PgPool, patient: Uuid) {
    sqlx::query("INSERT INTO patients.restricted_before_deletion (patient_id) VALUES ($1)")
        .bind(patient)
        .execute(database)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_appointment_is_charged_once_however_often_it_is_told(database: PgPool) {
    let desk = Desk::open(&database).await;
    let (patient, appointment) = (desk.patient().await, Uuid::now_v7());
    desk.price("CONSULT", 100, 0).await;
    let told = (0..20).map(|_| async {
        let request = of_appointment(appointment, 5, patient, &["CONSULT", "XRAY"]);
        desk.record_appointment_charges(request).await.unwrap()
    });
    let answers = join_all(told).await;
    assert_eq!(
        answers.iter().filter(|answer| !answer.out_of_date).count(),
        1
    );
    for answer in &answers {
        assert_eq!(codes(&answer.charges), ["CONSULT", "XRAY"]);
    }
    let states: Vec<ChargeState> = answers[0].charges.iter().map(Charge::state).collect();
    assert!(states.contains(&ChargeState::Unpriced) && states.contains(&ChargeState::Billable));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_correction_comes_before_or_after_what_it_corrects(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    desk.price("B", 200, 0).await;
    let tell = async |appointment, version, wanted: &[&str]| {
        let request = of_appointment(appointment, version, patient, wanted);
        desk.record_appointment_charges(request).await.unwrap()
    };
    let late = Uuid::now_v7();
    tell(late, 3, &["B"]).await;
    let overtaken = tell(late, 2, &["A"]).await;
    assert!(overtaken.out_of_date);
    assert_eq!(codes(&overtaken.charges), ["B"]);

    let corrected = Uuid::now_v7();
    let before = tell(corrected, 2, &["A", "A"]).await.charges;
    let after = tell(corrected, 3, &["A", "B"]).await;
    assert_eq!(codes(&after.charges), ["A", "B"]);
    // What stays the same is the same charge.
    assert!(after.charges.iter().any(|charge| before.contains(charge)));
    assert_eq!(tell(corrected, 4, &[]).await.charges, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_somebody_has_cancelled_is_not_charged_again(database: PgPool) {
    let desk = Desk::open(&database).await;
    let (patient, appointment) = (desk.patient().await, Uuid::now_v7());
    desk.price("A", 100, 0).await;
    let tell = async |version, wanted: &[&str]| {
        let request = of_appointment(appointment, version, patient, wanted);
        let answer = desk.record_appointment_charges(request).await.unwrap();
        answer.charges
    };
    let charges = tell(1, &["A"]).await;
    cancel(&desk, &charges[0]).await.unwrap();
    assert_eq!(codes(&tell(2, &["A"]).await), [""; 0]);
    // Done twice, of which one is for nothing.
    assert_eq!(codes(&tell(3, &["A", "A"]).await), ["A"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_invoiced_waits_for_a_credit_note(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    desk.price("B", 200, 0).await;
    let tell = async |appointment, version, wanted: &[&str]| {
        let request = of_appointment(appointment, version, patient, wanted);
        desk.record_appointment_charges(request)
            .await
            .unwrap()
            .charges
    };
    let to_credit = async || {
        let request = ListChargesRequest {
            needs_credit_note: true,
            ..ListChargesRequest::default()
        };
        desk.list_charges(request).await.unwrap().charges.len()
    };
    let (credited, voided) = (Uuid::now_v7(), Uuid::now_v7());
    tell(credited, 1, &["A"]).await;
    let invoice = desk.draft(patient).await;
    desk.issue(&invoice.invoice_id).await.unwrap();
    let charges = tell(credited, 2, &["B"]).await;
    assert_eq!(codes(&charges), ["A", "B"]);
    assert_eq!(to_credit().await, 1);
    // A repetition of what was corrected needs none.
    tell(credited, 3, &["A"]).await;
    assert_eq!(to_credit().await, 0);
    tell(credited, 4, &["B"]).await;
    assert_eq!(to_credit().await, 1);

    let note = desk.credit_invoice(CreditInvoiceRequest {
        request_id: new_id(),
        invoice_id: invoice.invoice_id,
        reason: "Corrected".to_owned(),
        ..CreditInvoiceRequest::default()
    });
    note.await.unwrap();
    assert_eq!(to_credit().await, 0);
    // What was credited is not taken for what is to be paid.
    let again = tell(credited, 5, &["A"]).await;
    let billable = again
        .iter()
        .filter(|charge| charge.state() == ChargeState::Billable);
    assert_eq!(billable.count(), 1);

    desk.issue(&desk.draft(patient).await.invoice_id)
        .await
        .unwrap();
    tell(voided, 1, &["A"]).await;
    let invoice = desk.draft(patient).await;
    desk.issue(&invoice.invoice_id).await.unwrap();
    tell(voided, 2, &[]).await;
    desk.void_invoice(VoidInvoiceRequest {
        request_id: new_id(),
        invoice_id: invoice.invoice_id,
        etag: String::new(),
        reason: "Wrong".to_owned(),
    })
    .await
    .unwrap();
    assert_eq!(
        (to_credit().await, tell(voided, 2, &[]).await.len()),
        (0, 0)
    );
}
