//! What becomes of the charges of an appointment when it is told again, and somebody has done
//! something about them in between.

use contracts::billing::v1::{
    AppointmentChargeItem, CancelChargeRequest, Charge, ChargeState, DraftLine, Invoice,
    ListChargesRequest, RecordAppointmentChargesRequest, UnpricedReason, UpdateInvoiceRequest,
};
use money::MAX_MINOR_UNITS;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    charges::{cancel, codes, of_appointment},
    desk::{Desk, eur, new_id, units},
    invoices::{credit, void, write_off},
};

/// An appointment of a patient, which is told version by version.
struct Appointment<'a> {
    desk: &'a Desk,
    id: Uuid,
    version: u64,
}

impl<'a> Appointment<'a> {
    fn new(desk: &'a Desk) -> Self {
        Self {
            desk,
            id: Uuid::now_v7(),
            version: 0,
        }
    }

    /// Tells its next version.
    async fn is(&mut self, patient: Uuid, codes: &[&str]) -> Vec<Charge> {
        self.version += 1;
        let request = of_appointment(self.id, self.version, patient, codes);
        let recorded = self.desk.record_appointment_charges(request).await.unwrap();
        assert!(!recorded.out_of_date);
        recorded.charges
    }
}

async fn invoice(desk: &Desk, patient: Uuid) -> Invoice {
    let draft = desk.draft(patient).await;
    desk.issue(&draft.invoice_id).await.unwrap()
}

fn billable(charges: &[Charge]) -> Vec<&Charge> {
    let billable = |charge: &&Charge| charge.state() == ChargeState::Billable;
    charges.iter().filter(billable).collect()
}

async fn to_credit(desk: &Desk) -> usize {
    let request = ListChargesRequest {
        needs_credit_note: true,
        ..ListChargesRequest::default()
    };
    desk.list_charges(request).await.unwrap().charges.len()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_somebody_has_credited_on_purpose_is_not_charged_again(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    let mut appointment = Appointment::new(&desk);
    appointment.is(patient, &["A"]).await;
    let issued = invoice(&desk, patient).await;
    credit(&desk, &issued.invoice_id, Some(40)).await.unwrap();
    // The rest is still to be paid, so that the charge stands.
    assert_eq!(billable(&appointment.is(patient, &["A"]).await).len(), 0);
    credit(&desk, &issued.invoice_id, None).await.unwrap();
    assert_eq!(billable(&appointment.is(patient, &["A"]).await).len(), 0);
    assert_eq!(billable(&appointment.is(patient, &[]).await).len(), 0);
    assert_eq!(billable(&appointment.is(patient, &["A"]).await).len(), 0);
    // Done twice, of which one is for nothing.
    let twice = appointment.is(patient, &["A", "A"]).await;
    assert_eq!(billable(&twice).len(), 1);
    assert_eq!(to_credit(&desk).await, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_taken_back_with_a_correction_is_charged_when_that_was_wrong(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    for by_voiding in [false, true] {
        let mut appointment = Appointment::new(&desk);
        appointment.is(patient, &["A"]).await;
        let issued = invoice(&desk, patient).await.invoice_id;
        appointment.is(patient, &[]).await;
        assert_eq!(to_credit(&desk).await, 1);
        if by_voiding {
            void(&desk, &issued).await.unwrap();
        } else {
            credit(&desk, &issued, None).await.unwrap();
        }
        assert_eq!(to_credit(&desk).await, 0);
        let again = appointment.is(patient, &["A"]).await;
        assert_eq!(billable(&again).len(), 1, "{by_voiding}");
        // An invoice of the next appointment is not to be about this one.
        invoice(&desk, patient).await;
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_somebody_writes_as_a_reason_decides_nothing(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    let mut appointment = Appointment::new(&desk);
    let charges = appointment.is(patient, &["A"]).await;
    desk.cancel_charge(CancelChargeRequest {
        request_id: new_id(),
        charge_id: charges[0].charge_id.clone(),
        reason: "The appointment was corrected".to_owned(),
    })
    .await
    .unwrap();
    let again = appointment.is(patient, &["A"]).await;
    assert_eq!(codes(&again), [""; 0]);
}

/// A patient in the register, who has an account.
pub(crate) async fn registered(database: &PgPool, desk: &Desk) -> Uuid {
    let patient = desk.patient().await;
    sqlx::query(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, registered_date)
         VALUES ($1, 1, 'Zoë', $2, 'here', '1983-11-14', now())",
    )
    .bind(patient)
    .bind(format!("{patient}@clinic.example"))
    .execute(database)
    .await
    .unwrap();
    patient
}

pub(crate) async fn merge(database: &PgPool, duplicate: Uuid, survivor: Option<Uuid>) {
    sqlx::query("UPDATE patients.patient SET merged_into = $2, active = $2 IS NULL WHERE id = $1")
        .bind(duplicate)
        .bind(survivor)
        .execute(database)
        .await
        .unwrap();
}

async fn charges_of(desk: &Desk, patient: Uuid) -> Vec<Charge> {
    let request = ListChargesRequest {
        patient_id: patient.to_string(),
        ..ListChargesRequest::default()
    };
    desk.list_charges(request).await.unwrap().charges
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_undone_merge_does_not_leave_a_charge_with_another_patient(database: PgPool) {
    let desk = Desk::open(&database).await;
    desk.price("A", 100, 0).await;
    let survivor = registered(&database, &desk).await;
    let duplicate = registered(&database, &desk).await;
    let [mut open, mut drafted, mut invoiced, mut cancelled] =
        [(); 4].map(|()| Appointment::new(&desk));

    merge(&database, duplicate, Some(survivor)).await;
    drafted.is(duplicate, &["A"]).await;
    let draft = desk.draft(duplicate).await;
    open.is(duplicate, &["A"]).await;
    invoiced.is(duplicate, &["A"]).await;
    let of_invoiced = charges_of(&desk, duplicate).await.remove(0);
    assert_eq!(of_invoiced.patient_id, survivor.to_string());
    let issued = desk
        .create_invoice(contracts::billing::v1::CreateInvoiceRequest {
            request_id: new_id(),
            patient_id: survivor.to_string(),
            charge_ids: vec![of_invoiced.charge_id.clone()],
            ..Default::default()
        })
        .await
        .unwrap();
    let issued = issued.invoice.unwrap();
    desk.issue(&issued.invoice_id).await.unwrap();
    let of_cancelled = cancelled.is(duplicate, &["A"]).await.remove(0);
    cancel(&desk, &of_cancelled).await.unwrap();
    merge(&database, duplicate, None).await;

    for appointment in [&mut open, &mut drafted, &mut invoiced, &mut cancelled] {
        appointment.is(duplicate, &["A"]).await;
    }
    let theirs = charges_of(&desk, duplicate).await;
    let appointments: Vec<&str> = theirs
        .iter()
        .map(|charge| &*charge.appointment_id)
        .collect();
    // What somebody has cancelled on purpose is not charged to anybody.
    let expected = [&invoiced, &drafted, &open].map(|appointment| appointment.id.to_string());
    assert_eq!(appointments, expected);
    assert_eq!(billable(&theirs).len(), 3);

    let left = charges_of(&desk, survivor).await;
    assert_eq!(billable(&left).len(), 0, "{left:?}");
    let draft = desk.invoice(&draft.invoice_id).await;
    assert_eq!(draft.lines.len(), 0);
    // What was issued has to be credited by somebody.
    assert_eq!(to_credit(&desk).await, 1);
    let to_credit: Vec<&Charge> = left
        .iter()
        .filter(|charge| charge.needs_credit_note)
        .collect();
    assert_eq!(to_credit[0].charge_id, of_invoiced.charge_id);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_elsewhere_is_touched_only_while_its_account_is_locked(database: PgPool) {
    let desk = Desk::open(&database).await;
    desk.price("A", 100, 0).await;
    let survivor = registered(&database, &desk).await;
    let duplicate = registered(&database, &desk).await;
    let mut appointment = Appointment::new(&desk);
    merge(&database, duplicate, Some(survivor)).await;
    appointment.is(duplicate, &["A"]).await;
    merge(&database, duplicate, None).await;

    let mut somebody = database.begin().await.unwrap();
    sqlx::query("SELECT FROM billing.account WHERE patient_id = $1 FOR NO KEY UPDATE")
        .bind(survivor)
        .execute(&mut *somebody)
        .await
        .unwrap();
    let told = appointment.is(duplicate, &[]);
    let released = async {
        crate::running::until_a_call_waits(&database).await;
        somebody.commit().await.unwrap();
    };
    let (charges, ()) = tokio::join!(told, released);
    assert_eq!(codes(&charges), [""; 0]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_of_more_than_any_amount_waits_for_another_price(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", MAX_MINOR_UNITS, 0).await;
    desk.price("TAXED", MAX_MINOR_UNITS, 190_000).await;
    let item = |code: &str, quantity| AppointmentChargeItem {
        code: code.to_owned(),
        quantity,
        service_date: "2026-01-15".to_owned(),
    };
    let recorded = desk
        .record_appointment_charges(RecordAppointmentChargesRequest {
            appointment_id: new_id(),
            appointment_version: 1,
            patient_id: patient.to_string(),
            items: vec![
                item("A", 2),
                item("TAXED", 1),
                item("A", 1),
                item("NONE", 1),
            ],
        })
        .await
        .unwrap();
    let states: Vec<ChargeState> = recorded.charges.iter().map(Charge::state).collect();
    let (unpriced, priced) = (ChargeState::Unpriced, ChargeState::Billable);
    assert_eq!(states, [unpriced, unpriced, priced, unpriced]);
    let reasons = recorded.charges.iter().map(Charge::unpriced_reason);
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [
            UnpricedReason::AmountTooLarge,
            UnpricedReason::AmountTooLarge,
            UnpricedReason::Unspecified,
            UnpricedReason::NoPrice,
        ]
    );

    desk.price("A", MAX_MINOR_UNITS / 2, 0).await;
    desk.price("TAXED", 100, 190_000).await;
    let charges = charges_of(&desk, patient).await;
    assert_eq!(billable(&charges).len(), 3);
    // What was priced before keeps its price.
    let priced = billable(&charges).into_iter();
    let amounts: Vec<i64> = priced.map(|charge| units(&charge.amount)).collect();
    assert_eq!(amounts, [MAX_MINOR_UNITS, 100, MAX_MINOR_UNITS]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_for_nothing_needs_no_credit_note(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("FREE", 0, 190_000).await;
    desk.price("A", 100, 0).await;
    let mut appointment = Appointment::new(&desk);
    let charges = appointment.is(patient, &["FREE", "A"]).await;
    assert_eq!(billable(&charges).len(), 2);
    // All of the other one is taken off.
    let draft = desk.draft(patient).await;
    let line = |charge: &Charge| DraftLine {
        charge_id: charge.charge_id.clone(),
        discount: Some(eur(units(&charge.amount))),
    };
    desk.update_invoice(UpdateInvoiceRequest {
        request_id: new_id(),
        invoice_id: draft.invoice_id.clone(),
        etag: String::new(),
        lines: charges.iter().map(line).collect(),
    })
    .await
    .unwrap();
    desk.issue(&draft.invoice_id).await.unwrap();

    appointment.is(patient, &[]).await;
    assert_eq!(to_credit(&desk).await, 0);
    // It took place after all: it is invoiced, and nothing is charged again.
    let again = appointment.is(patient, &["FREE", "A"]).await;
    assert_eq!((billable(&again).len(), again.len()), (0, 2));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_nothing_is_left_to_credit_of_leaves_the_worklist(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    // Written off before the correction, after it, and in part.
    let [mut before, mut after, mut partly] = [(); 3].map(|()| Appointment::new(&desk));
    before.is(patient, &["A"]).await;
    let issued = invoice(&desk, patient).await.invoice_id;
    write_off(&desk, &issued).await.unwrap();
    before.is(patient, &[]).await;
    assert_eq!(to_credit(&desk).await, 0);

    after.is(patient, &["A"]).await;
    let issued = invoice(&desk, patient).await.invoice_id;
    after.is(patient, &[]).await;
    assert_eq!(to_credit(&desk).await, 1);
    write_off(&desk, &issued).await.unwrap();
    assert_eq!(to_credit(&desk).await, 0);

    partly.is(patient, &["A"]).await;
    let issued = invoice(&desk, patient).await.invoice_id;
    desk.pay(patient, 60, &[&issued]).await;
    write_off(&desk, &issued).await.unwrap();
    partly.is(patient, &[]).await;
    assert_eq!(to_credit(&desk).await, 1);
    credit(&desk, &issued, None).await.unwrap();
    assert_eq!(to_credit(&desk).await, 0);
}
