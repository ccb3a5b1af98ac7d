//! That the system goes on: what is done after the restore has all of its effects, in every store.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sqlx::PgPool;
use system_tests::{Clinic, Invariant};
use uuid::Uuid;

use crate::{lost::Lost, work::Staff};

/// Who is registered is welcomed; what is booked, moved and cancelled is told, and what took place is
/// charged; who is deleted has no appointments left.
pub(crate) async fn new_changes_have_their_effects(
    staff: &Staff<'_>,
    database: &PgPool,
) -> Result<Invariant> {
    let mut invariant = Invariant::new("new changes are told, charged and cancelled for");
    let made = staff.made();
    for patient in &made.patients {
        let path = format!("/api/notifications?patientId={patient}&limit=100");
        let said = staff.look_up(&path).await?.context("no notifications")?;
        let said = said["notifications"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let welcomes = said.iter().filter(|message| message["kind"] == "WELCOME");
        let welcomes: Vec<_> = welcomes.map(|message| &message["state"]).collect();
        invariant.check(welcomes == ["SENT"], || {
            format!("the patient {patient} has welcomes in these states: {welcomes:?}")
        });
    }
    let statuses = sqlx::query_as("SELECT id, status FROM appointments.appointment");
    let statuses: Vec<(Uuid, String)> = statuses.fetch_all(database).await?;
    let statuses: HashMap<_, _> = statuses.into_iter().collect();
    let messages = sqlx::query_as(
        "SELECT appointment_id, kind || ' ' || state FROM notifications.message
         JOIN appointments.appointment ON appointment.id = appointment_id
             AND (appointment.sequence = message.sequence OR kind = 'APPOINTMENT_BOOKED')",
    );
    let messages: Vec<(Uuid, String)> = messages.fetch_all(database).await?;
    let messages: HashSet<_> = messages.into_iter().collect();
    // Of what was cancelled or took place at once, nobody is told that it was booked.
    let is_booked = |id: &&Uuid| statuses.get(id).is_some_and(|status| status == "BOOKED");
    let booked: Vec<_> = made.booked.iter().filter(is_booked).copied().collect();
    let told = [
        (&booked, "APPOINTMENT_BOOKED SENT"),
        (&made.moved, "APPOINTMENT_MOVED SENT"),
        (&made.cancelled, "APPOINTMENT_CANCELLED SENT"),
    ];
    for (appointments, message) in told {
        for id in appointments {
            invariant.check(messages.contains(&(*id, message.to_owned())), || {
                format!("the appointment {id} has no message {message}")
            });
        }
    }
    let sources =
        sqlx::query_scalar("SELECT source_id FROM billing.charge WHERE source_id IS NOT NULL");
    let charged: HashSet<Uuid> = sources.fetch_all(database).await?.into_iter().collect();
    for id in &made.fulfilled {
        invariant.check(charged.contains(id), || {
            format!("the appointment {id} took place and is not charged")
        });
    }
    for id in &made.without_patient {
        let status = statuses.get(id).map(String::as_str);
        invariant.check(status == Some("CANCELLED"), || {
            format!("the appointment {id} of a deleted patient is {status:?}")
        });
    }
    Ok(invariant)
}

/// What waited at T and was sent after it is not sent again.
pub(crate) async fn nobody_is_told_twice(lost: &Lost, clinic: &Clinic) -> Invariant {
    let mut invariant = Invariant::new("what waited at T and was sent since is not sent again");
    let mails = clinic.aws().mails().await;
    for message in lost.messages.iter().filter(|message| message.waited) {
        let (to, subject) = (&message.recipient, &message.subject);
        let same = mails.iter().filter(|mail| {
            let to_them = mail
                .destination
                .to_addresses
                .iter()
                .any(|it| Some(it) == to.as_ref());
            to_them && Some(&mail.subject) == subject.as_ref()
        });
        let many = same.count();
        invariant.check(many == 1, || format!("{subject:?} was sent {many} times"));
    }
    let waited = invariant.checked;
    invariant.check(waited > 0, || "nothing waited at T".to_owned());
    invariant
}

/// Who was erased after T, and was there again, is gone from every store.
pub(crate) async fn the_erased_are_gone(
    lost: &Lost,
    staff: &Staff<'_>,
    clinic: &Clinic,
) -> Result<Invariant> {
    let mut invariant = Invariant::new("who was erased after T is erased again");
    let notifications = clinic.aws().items("notifications").await;
    for patient in &lost.erased {
        let there = staff.look_up(&format!("/api/patients/{patient}")).await?;
        invariant.check(there.is_none(), || format!("{patient} is a patient"));
        let partition = format!("PATIENT#{patient}");
        let kept = notifications
            .iter()
            .filter(|item| item["pk"]["S"] == partition);
        let kept = kept.count();
        invariant.check(kept == 0, || {
            format!("{kept} messages to {patient} are kept")
        });
    }
    let erased = invariant.checked;
    invariant.check(erased > 0, || "nobody was erased after T".to_owned());
    Ok(invariant)
}

/// The audit trail is intact, and the books are right.
pub(crate) async fn trail_and_books_verify(clinic: &Clinic) -> Invariant {
    let mut invariant = Invariant::new("audit trail and books verify");
    for (function, request) in [
        ("verify-audit-trail", json!({ "full": true })),
        ("verify-ledger", json!({})),
    ] {
        let invoked = clinic.aws().invoke(function, &request).await;
        let is_intact = invoked.payload["intact"] == Value::Bool(true);
        invariant.check(is_intact, || format!("{function}: {}", invoked.payload));
    }
    invariant
}
