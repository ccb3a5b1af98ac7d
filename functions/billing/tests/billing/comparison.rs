//! What took place is compared with what is charged, and whatever is missing on one side is found.

use billing::compare_appointment_charges::{
    Compared, DifferenceKind, compare_appointment_charges, compare_at,
};
use chrono::{TimeDelta, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    charges::{cancel, of_appointment},
    corrections::{merge, registered},
    desk::{Desk, charge, new_id},
    invoices::{credit, void},
};

/// Appointments that have taken place, as the service whose they are knows them.
async fn took_place(database: &PgPool, patient: Uuid) -> Uuid {
    let appointment = Uuid::now_v7();
    for statement in [
        "INSERT INTO appointments.location (id, name, time_zone)
         VALUES ('00000000-0000-7000-8000-000000000001', 'Here', 'Etc/UTC')
         ON CONFLICT DO NOTHING",
        "INSERT INTO appointments.service
             (id, code, name, duration_minutes, buffer_after_minutes, grid_minutes, notice_minutes,
              horizon_days, capacity, resource_kinds, reminder_minutes)
         VALUES ('00000000-0000-7000-8000-000000000002', 'A', 'A', 30, 0, 15, 0, 30, 1,
                 ARRAY['ROOM'], '{}')
         ON CONFLICT DO NOTHING",
    ] {
        sqlx::query(statement).execute(database).await.unwrap();
    }
    sqlx::query(
        "INSERT INTO appointments.appointment
             (id, version, patient_id, service_id, location_id, resource_ids, status, starts_at,
              ends_at, time_zone, local_start, zone_data)
         VALUES ($1, 5, $2, '00000000-0000-7000-8000-000000000002',
                 '00000000-0000-7000-8000-000000000001', ARRAY[uuidv7()], 'FULFILLED',
                 '2026-01-15T09:00Z', '2026-01-15T09:30Z', 'Etc/UTC', '2026-01-15T09:00', '2026a')",
    )
    .bind(appointment)
    .bind(patient)
    .execute(database)
    .await
    .unwrap();
    appointment
}

async fn charged(desk: &Desk, appointment: Uuid, patient: Uuid) -> String {
    let request = of_appointment(appointment, 5, patient, &["A"]);
    let recorded = desk.record_appointment_charges(request).await.unwrap();
    recorded.charges[0].charge_id.clone()
}

/// What is found when no event can be on its way any more.
async fn found(database: &PgPool) -> Vec<(DifferenceKind, Uuid)> {
    let compared: Compared = compare_at(database, Utc::now() + TimeDelta::hours(2))
        .await
        .unwrap();
    assert_eq!(compared.agree, compared.differences.is_empty());
    let differences = compared.differences.iter();
    differences
        .map(|difference| (difference.kind, difference.appointment_id))
        .collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nothing_is_wrong_where_everything_is_charged(database: PgPool) {
    assert_eq!(found(&database).await, []);
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    // Without a price it waits, and is not lost.
    let appointment = took_place(&database, patient).await;
    charged(&desk, appointment, patient).await;
    desk.price("A", 100, 0).await;
    for on_purpose in ["cancelled", "credited", "not at all"] {
        let appointment = took_place(&database, patient).await;
        let charge = charged(&desk, appointment, patient).await;
        match on_purpose {
            "cancelled" => {
                let charge = contracts::billing::v1::Charge {
                    charge_id: charge,
                    ..Default::default()
                };
                cancel(&desk, &charge).await.unwrap();
            }
            "credited" => {
                let draft = desk.draft(patient).await;
                let issued = desk.issue(&draft.invoice_id).await.unwrap();
                credit(&desk, &issued.invoice_id, None).await.unwrap();
            }
            _ => {}
        }
        assert_eq!(found(&database).await, [], "{on_purpose}");
    }
    let compared = compare_at(&database, Utc::now() + TimeDelta::hours(2)).await;
    assert_eq!(compared.unwrap().appointments, 4);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_lost_event_is_found(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let told = took_place(&database, patient).await;
    charged(&desk, told, patient).await;
    let lost = took_place(&database, patient).await;
    assert_eq!(found(&database).await, [(DifferenceKind::NotCharged, lost)]);
    // For an hour, its event may be on its way.
    let now = compare_appointment_charges(&database).await.unwrap();
    assert!(now.agree, "{now:?}");

    // What took place before anything was charged is not missed.
    sqlx::query("UPDATE billing.charged_since SET since = now() + interval '1 minute'")
        .execute(&database)
        .await
        .unwrap();
    assert_eq!(found(&database).await, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_taken_back_by_mistake_is_found(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let appointment = took_place(&database, patient).await;
    charged(&desk, appointment, patient).await;
    // An event says that it did not take place, and no other one that it did.
    let corrected = of_appointment(appointment, 6, patient, &[]);
    desk.record_appointment_charges(corrected).await.unwrap();
    assert_eq!(
        found(&database).await,
        [(DifferenceKind::NotCharged, appointment)]
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_for_nothing_that_took_place_is_found(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let appointment = took_place(&database, patient).await;
    charged(&desk, appointment, patient).await;
    sqlx::query("UPDATE appointments.appointment SET status = 'NO_SHOW' WHERE id = $1")
        .bind(appointment)
        .execute(&database)
        .await
        .unwrap();
    assert_eq!(
        found(&database).await,
        [(DifferenceKind::NotFulfilled, appointment)]
    );
    let corrected = of_appointment(appointment, 6, patient, &[]);
    desk.record_appointment_charges(corrected).await.unwrap();
    assert_eq!(found(&database).await, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_on_the_account_of_another_patient_is_found(database: PgPool) {
    let desk = Desk::open(&database).await;
    let (patient, other) = (desk.patient().await, desk.patient().await);
    let appointment = took_place(&database, patient).await;
    charged(&desk, appointment, other).await;
    assert_eq!(
        found(&database).await,
        [(DifferenceKind::OfAnotherPatient, appointment)]
    );
    let corrected = of_appointment(appointment, 6, patient, &["A"]);
    desk.record_appointment_charges(corrected).await.unwrap();
    assert_eq!(found(&database).await, []);
}

/// Two patients who were one when the visit of the second one was charged.
struct Two {
    desk: Desk,
    survivor: Uuid,
    duplicate: Uuid,
    appointment: Uuid,
    charge: contracts::billing::v1::Charge,
}

impl Two {
    async fn merged(database: &PgPool) -> Self {
        let desk = Desk::open(database).await;
        desk.price("A", 100, 0).await;
        let survivor = registered(database, &desk).await;
        let duplicate = registered(database, &desk).await;
        let appointment = took_place(database, duplicate).await;
        merge(database, duplicate, Some(survivor)).await;
        let charge = contracts::billing::v1::Charge {
            charge_id: charged(&desk, appointment, duplicate).await,
            ..Default::default()
        };
        assert_eq!(found(database).await, []);
        Self {
            desk,
            survivor,
            duplicate,
            appointment,
            charge,
        }
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nothing_is_wrong_with_the_charges_of_who_is_erased(database: PgPool) {
    let two = Two::merged(&database).await;
    sqlx::query("DELETE FROM patients.patient")
        .execute(&database)
        .await
        .unwrap();
    two.desk.erase(two.survivor).await;
    assert_eq!(found(&database).await, []);
    two.desk.erase(two.duplicate).await;
    assert_eq!(found(&database).await, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_visit_on_the_invoice_of_another_patient_is_found(database: PgPool) {
    let desk = Desk::open(&database).await;
    desk.price("A", 100, 0).await;
    let survivor = registered(&database, &desk).await;
    let duplicate = registered(&database, &desk).await;
    let appointment = took_place(&database, duplicate).await;
    charged(&desk, appointment, duplicate).await;
    merge(&database, duplicate, Some(survivor)).await;
    let draft = desk.draft(survivor).await;
    let issued = desk.issue(&draft.invoice_id).await.unwrap();
    assert_eq!(found(&database).await, []);
    merge(&database, duplicate, None).await;
    assert_eq!(
        found(&database).await,
        [(DifferenceKind::OfAnotherPatient, appointment)]
    );
    // Then, it is for them to pay again.
    void(&desk, &issued.invoice_id).await.unwrap();
    assert_eq!(found(&database).await, []);
    assert_eq!(desk.draft(duplicate).await.lines.len(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn to_cancel_what_another_patient_was_charged_is_not_enough(database: PgPool) {
    let two = Two::merged(&database).await;
    merge(&database, two.duplicate, None).await;
    let of_another = [(DifferenceKind::OfAnotherPatient, two.appointment)];
    assert_eq!(found(&database).await, of_another);
    cancel(&two.desk, &two.charge).await.unwrap();
    let not_charged = [(DifferenceKind::NotCharged, two.appointment)];
    assert_eq!(found(&database).await, not_charged);
    // Somebody has to decide what becomes of it: to charge another service or day is something else.
    let mut by_hand = charge(two.duplicate, "A", 1);
    two.desk.record_charge(by_hand.clone()).await.unwrap();
    assert_eq!(found(&database).await, not_charged);
    by_hand.request_id = new_id();
    by_hand.service_date = "2026-01-15".to_owned();
    by_hand.patient_id = two.survivor.to_string();
    two.desk.record_charge(by_hand.clone()).await.unwrap();
    assert_eq!(found(&database).await, not_charged);
    by_hand.request_id = new_id();
    by_hand.patient_id = two.duplicate.to_string();
    two.desk.record_charge(by_hand).await.unwrap();
    assert_eq!(found(&database).await, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_charged_to_both_of_who_is_one_is_charged(database: PgPool) {
    let two = Two::merged(&database).await;
    cancel(&two.desk, &two.charge).await.unwrap();
    assert_eq!(found(&database).await, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_correction_may_be_on_its_way_for_an_hour(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let appointment = took_place(&database, patient).await;
    charged(&desk, appointment, patient).await;
    let correct = "UPDATE appointments.appointment SET status = 'NO_SHOW', updated_at = now()";
    sqlx::query(correct).execute(&database).await.unwrap();
    let now = compare_appointment_charges(&database).await.unwrap();
    assert!(now.agree, "{now:?}");
    assert_eq!(
        found(&database).await,
        [(DifferenceKind::NotFulfilled, appointment)]
    );
}
