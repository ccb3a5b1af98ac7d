//! Two records of one patient, whose accounts have paid for each other, and two patients again: what
//! is done about one of them touches the other's account.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use contracts::billing::v1::{
    AppointmentChargeItem, CancelChargeRequest, DraftLine, EraseBillingAccountRequest,
    LedgerAccountKind, RecordAppointmentChargesRequest, UpdateInvoiceRequest,
};
use futures::future::join_all;
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    desk::{Desk, assert_refused, new_id, payment, units},
    invoices::{credit, void},
    payments::{allocate, reverse},
    reports::{balance, export},
    running::{Running, create, until_a_call_waits, within},
};

/// A patient who is on record.
async fn on_record(desk: &Desk, database: &PgPool) -> Uuid {
    let patient = desk.patient().await;
    sqlx::query(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, registered_date)
         VALUES ($1, 1, 'Zoë', $1 || '@clinic.example', 'here', '1983-11-14', now())",
    )
    .bind(patient)
    .execute(database)
    .await
    .unwrap();
    patient
}

async fn set_survivor(database: &PgPool, duplicate: Uuid, survivor: Option<Uuid>) {
    sqlx::query(
        "UPDATE patients.patient SET merged_into = $1, active = $1::uuid IS NULL WHERE id = $2",
    )
    .bind(survivor)
    .bind(duplicate)
    .execute(database)
    .await
    .unwrap();
}

/// Two patients who were one for a while.
struct Two {
    desk: Desk,
    one: Uuid,
    other: Uuid,
}

impl Two {
    async fn open(database: &PgPool) -> Self {
        let desk = Desk::open(database).await;
        let one = on_record(&desk, database).await;
        let other = on_record(&desk, database).await;
        Self { desk, one, other }
    }

    /// They are one while this is done.
    async fn as_one<T>(&self, database: &PgPool, meanwhile: impl Future<Output = T>) -> T {
        set_survivor(database, self.other, Some(self.one)).await;
        let done = meanwhile.await;
        set_survivor(database, self.other, None).await;
        done
    }
}

/// An invoice of one that a payment of the other has paid.
async fn paid_by_the_other(database: &PgPool) -> (Two, String, String) {
    let two = Two::open(database).await;
    let invoice = two.desk.invoiced(two.one, 1000).await.invoice_id;
    let payment = two.desk.pay(two.other, 1000, &[]).await.payment_id;
    two.as_one(database, async {
        allocate(&two.desk, &payment, &[(&invoice, None)])
            .await
            .unwrap()
    })
    .await;
    (two, invoice, payment)
}

/// That the call waits for this patient's account while somebody else has it, and what it is answered then.
async fn waits_for<T: std::fmt::Debug>(
    database: &PgPool,
    patient: Uuid,
    mut call: Pin<Box<impl Future<Output = Result<T, Status>>>>,
) -> Result<T, Status> {
    let mut lock = database.begin().await.unwrap();
    sqlx::query("SELECT FROM billing.account WHERE patient_id = $1 FOR NO KEY UPDATE")
        .bind(patient)
        .execute(&mut *lock)
        .await
        .unwrap();
    tokio::select! {
        answer = &mut call => panic!("it did not wait: {answer:?}"),
        () = until_a_call_waits(database) => {}
    }
    lock.rollback().await.unwrap();
    within(call).await
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_void_waits_for_the_account_that_has_paid(database: PgPool) {
    let (two, invoice, _) = paid_by_the_other(&database).await;
    let voided = waits_for(&database, two.other, Box::pin(void(&two.desk, &invoice))).await;
    voided.unwrap();
    assert_eq!(balance(&two.desk, two.one).await, [0, 0, 0]);
    assert_eq!(balance(&two.desk, two.other).await, [0, 1000, -1000]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_credit_note_waits_for_the_account_that_has_paid(database: PgPool) {
    let (two, invoice, _) = paid_by_the_other(&database).await;
    waits_for(
        &database,
        two.other,
        Box::pin(credit(&two.desk, &invoice, Some(400))),
    )
    .await
    .unwrap();
    assert_eq!(balance(&two.desk, two.other).await, [0, 400, -400]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_reversal_waits_for_the_account_that_was_paid_for(database: PgPool) {
    let (two, _, payment) = paid_by_the_other(&database).await;
    let reversed = waits_for(&database, two.one, Box::pin(reverse(&two.desk, &payment))).await;
    reversed.unwrap();
    assert_eq!(balance(&two.desk, two.one).await, [1000, 0, 1000]);
}

/// A draft of one with a charge of the other.
async fn drafted_for_both(database: &PgPool) -> (Two, String, String) {
    let two = Two::open(database).await;
    two.desk.price("A", 100, 0).await;
    let charge = two.desk.charge(two.other, "A", 1).await.charge_id;
    two.desk.charge(two.one, "A", 1).await;
    let draft = two.as_one(database, two.desk.draft(two.one)).await;
    assert_eq!(draft.lines.len(), 2);
    (two, draft.invoice_id, charge)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_waits_for_the_accounts_of_its_charges(database: PgPool) {
    let (two, draft, _) = drafted_for_both(&database).await;
    set_survivor(&database, two.other, Some(two.one)).await;
    let issued = waits_for(&database, two.other, Box::pin(two.desk.issue(&draft))).await;
    issued.unwrap();
    set_survivor(&database, two.other, None).await;
    let voided = waits_for(&database, two.other, Box::pin(void(&two.desk, &draft))).await;
    voided.unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_is_not_billed_what_another_one_had(database: PgPool) {
    let (two, draft, of_other) = drafted_for_both(&database).await;
    let issued = waits_for(&database, two.other, Box::pin(two.desk.issue(&draft))).await;
    assert_refused(issued, Code::FailedPrecondition, "CHARGE_NOT_BILLABLE");
    assert_eq!(balance(&two.desk, two.one).await, [0, 0, 0]);

    let lines = two.desk.invoice(&draft).await.lines;
    let content = |charges: Vec<String>| UpdateInvoiceRequest {
        request_id: new_id(),
        invoice_id: draft.clone(),
        etag: String::new(),
        lines: charges
            .into_iter()
            .map(|charge_id| DraftLine {
                charge_id,
                discount: None,
            })
            .collect(),
    };
    let (both, own): (Vec<String>, Vec<String>) = (
        lines.iter().map(|line| line.charge_id.clone()).collect(),
        lines
            .iter()
            .map(|line| line.charge_id.clone())
            .filter(|charge| *charge != of_other)
            .collect(),
    );
    let still = two.desk.update_invoice(content(both)).await;
    assert_refused(still, Code::FailedPrecondition, "CHARGE_NOT_BILLABLE");
    two.desk.update_invoice(content(own)).await.unwrap();
    two.desk.issue(&draft).await.unwrap();
    assert_eq!(balance(&two.desk, two.one).await, [100, 0, 100]);
    assert_eq!(two.desk.draft(two.other).await.lines[0].charge_id, of_other);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_cancellation_waits_for_the_account_of_the_draft(database: PgPool) {
    let (two, draft, charge) = drafted_for_both(&database).await;
    let cancelled = two.desk.cancel_charge(CancelChargeRequest {
        request_id: new_id(),
        charge_id: charge,
        reason: String::new(),
    });
    let cancelled = waits_for(&database, two.one, Box::pin(cancelled)).await;
    cancelled.unwrap();
    assert_eq!(units(&two.desk.invoice(&draft).await.total), 100);
}

/// Whatever they do at the same time, nothing but a refusal comes of it.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn two_patients_who_were_one_act_at_once(database: PgPool) {
    let two = Two::open(&database).await;
    let Two { desk, one, other } = &two;
    let (one, other) = (*one, *other);
    let (mut invoices, mut payments) = (Vec::new(), Vec::new());
    for amount in 101..=112 {
        invoices.push(desk.invoiced(one, amount).await.invoice_id);
        payments.push(desk.pay(other, amount, &[]).await.payment_id);
    }
    two.as_one(&database, async {
        for (invoice, payment) in invoices.iter().zip(&payments) {
            allocate(desk, payment, &[(invoice, None)]).await.unwrap();
        }
    })
    .await;

    let undone = invoices.iter().zip(&payments).enumerate();
    let undone = join_all(
        undone.map(async |(place, (invoice, payment))| match place % 3 {
            0 => void(desk, invoice).await.err(),
            1 => credit(desk, invoice, None).await.err(),
            _ => reverse(desk, payment).await.err(),
        }),
    );
    let paid = join_all((0..12).map(async |_| {
        desk.pay(other, 7, &[]).await;
        desk.pay(one, 7, &[]).await;
    }));
    let (undone, _) = futures::join!(undone, paid);
    let failed: Vec<Code> = undone.iter().flatten().map(Status::code).collect();
    assert_eq!(failed, []);
    let verified = billing::verify_ledger::verify_ledger(&database)
        .await
        .unwrap();
    assert!(verified.intact, "{:?}", verified.faults);
}

/// The account of the one that has remained is about to be opened.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_appointment_waits_for_the_account_of_the_survivor(database: PgPool) {
    let two = Two::open(&database).await;
    two.desk.price("A", 100, 0).await;
    sqlx::query("DELETE FROM billing.account WHERE patient_id = $1")
        .bind(two.one)
        .execute(&database)
        .await
        .unwrap();
    let appointment = new_id();
    let took_place = |version, items| RecordAppointmentChargesRequest {
        appointment_id: appointment.clone(),
        appointment_version: version,
        patient_id: two.one.to_string(),
        items,
    };
    let item = AppointmentChargeItem {
        code: "A".to_owned(),
        quantity: 1,
        service_date: "2026-01-01".to_owned(),
    };
    set_survivor(&database, two.other, Some(two.one)).await;
    let recorded = two
        .desk
        .record_appointment_charges(took_place(1, vec![item.clone()]));
    assert_refused(recorded.await, Code::NotFound, "NO_ACCOUNT");

    Running::start(&database)
        .await
        .generated_client()
        .create_billing_account(two.desk.request(create(two.one)))
        .await
        .unwrap();
    let recorded = two
        .desk
        .record_appointment_charges(took_place(1, vec![item]));
    let charges = recorded.await.unwrap().charges;
    assert_eq!(charges[0].patient_id, two.one.to_string());
}

/// The accountant sees whose account it is on.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_export_names_the_patient_of_each_account(database: PgPool) {
    let running = Running::start(&database).await;
    let (two, ..) = paid_by_the_other(&database).await;
    let exported = export(&running, &two.desk, true, "").await.unwrap();
    let mut sums = BTreeMap::new();
    for row in &exported {
        *sums.entry((&*row.patient_id, row.account)).or_insert(0) += units(&row.amount);
    }
    let of = |patient: Uuid, account: LedgerAccountKind| {
        sums.get(&(&*patient.to_string(), i32::from(account)))
            .copied()
    };
    assert_eq!(of(two.one, LedgerAccountKind::Receivable), Some(0));
    assert_eq!(of(two.one, LedgerAccountKind::Credit), None);
    assert_eq!(of(two.other, LedgerAccountKind::Receivable), None);
    assert_eq!(of(two.other, LedgerAccountKind::Credit), Some(0));

    // An entry about both is closed to whoever may not see one of them.
    crate::charges::restrict(&database, two.other).await;
    let open = export(&running, &two.desk, false, "").await.unwrap();
    assert!(open.iter().all(|row| row.patient_id == two.one.to_string()));
    assert_eq!(open.iter().map(|row| units(&row.amount)).sum::<i64>(), 0);
}

/// What somebody did under the name of the erased patient is on the account of the other.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_answer_goes_with_either_of_those_whom_it_may_be_about(database: PgPool) {
    let running = Running::start(&database).await;
    let desk = Desk::at(&running);
    let one = on_record(&desk, &database).await;
    let other = on_record(&desk, &database).await;
    let two = Two { desk, one, other };
    let request = payment(two.other, 300, &[]);
    let paid = two.as_one(&database, two.desk.record_payment(request.clone()));
    paid.await.unwrap();
    let erase = EraseBillingAccountRequest {
        patient_id: two.other.to_string(),
    };
    let mut accounts = running.generated_client();
    let erased = accounts.erase_billing_account(two.desk.request(erase));
    erased.await.unwrap();
    let again = two.desk.record_payment(request).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "{again}");
}
