//! What SES tells of messages. LocalStack tells nothing, so these are as AWS documents them.

use chrono::{TimeDelta, Utc};
use notifications::{
    preferences::Preferences,
    record_deliveries::{RecordError, Recorded, record_delivery},
};
use serde_json::json;
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use crate::fixtures::register;

const ID: &str = "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000";

/// A reminder that was sent.
async fn sent(database: &PgPool, patient: Uuid) {
    sqlx::query(
        "INSERT INTO notifications.message
             (id, patient_id, appointment_id, kind, channel, sequence, offset_minutes, must_be_told,
              by_patient, occurred_at, due_at, next_attempt_at, state, recipient, subject,
              provider_id, sent_at)
         VALUES ($1, $2, $1, 'APPOINTMENT_REMINDER', 'EMAIL', 0, 120, false, false, now(), now(),
                 now(), 'SENT', 'Zoe@clinic.example', 'Reminder', $3, now())",
    )
    .bind(Uuid::now_v7())
    .bind(patient)
    .bind(ID)
    .execute(database)
    .await
    .unwrap();
}

fn notification(kind: &str, bounce_type: &str, minutes_ago: i64) -> String {
    let sent_at = Utc::now() - TimeDelta::minutes(minutes_ago);
    let recipients = json!([{ "emailAddress": "zoe@clinic.example" }]);
    let mut notification = json!({
        "eventType": kind,
        "mail": {
            "timestamp": sent_at,
            "source": "clinic@clinic.example",
            "sourceArn": "arn:aws:ses:us-east-1:123456789012:identity/clinic@clinic.example",
            "sendingAccountId": "123456789012",
            "messageId": ID,
            "destination": ["zoe@clinic.example"],
            "tags": { "ses:configuration-set": ["messages"] }
        }
    });
    match kind {
        "Bounce" => {
            notification["bounce"] = json!({
                "bounceType": bounce_type, "bounceSubType": "General",
                "bouncedRecipients": recipients, "timestamp": sent_at, "feedbackId": "f",
            });
        }
        "Complaint" => {
            notification["complaint"] = json!({
                "complainedRecipients": recipients, "timestamp": sent_at, "feedbackId": "f",
            });
        }
        _ => {
            notification["delivery"] = json!({
                "timestamp": sent_at, "recipients": ["zoe@clinic.example"],
                "processingTimeMillis": 546, "smtpResponse": "250 ok",
            });
        }
    }
    notification.to_string()
}

async fn tell(database: &PgPool, kind: &str, bounce_type: &str) -> Recorded {
    record_delivery(&notification(kind, bounce_type, 0), database)
        .await
        .unwrap()
}

async fn state(database: &PgPool) -> String {
    sqlx::query_scalar("SELECT state FROM notifications.message")
        .fetch_one(database)
        .await
        .unwrap()
}

async fn suppressed(database: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT address FROM notifications.suppressed_address")
        .fetch_all(database)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_message_only_moves_forward(database: PgPool) {
    let patient = register(&database, false).await;
    sent(&database, patient).await;
    for (kind, effect, expected) in [
        ("Delivery", Recorded::Moved, "DELIVERED"),
        ("Delivery", Recorded::Known, "DELIVERED"),
        ("Bounce", Recorded::Moved, "BOUNCED"),
        ("Delivery", Recorded::Known, "BOUNCED"),
        ("Complaint", Recorded::Moved, "COMPLAINED"),
        ("Bounce", Recorded::Known, "COMPLAINED"),
        ("Complaint", Recorded::Known, "COMPLAINED"),
        ("Open", Recorded::Ignored, "COMPLAINED"),
    ] {
        assert_eq!(tell(&database, kind, "Permanent").await, effect, "{kind}");
        assert_eq!(state(&database).await, expected, "{kind}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_address_that_mail_comes_back_from_for_good_gets_no_more(database: PgPool) {
    let patient = register(&database, false).await;
    sent(&database, patient).await;
    tell(&database, "Bounce", "Transient").await;
    assert_eq!(state(&database).await, "BOUNCED");
    assert!(suppressed(&database).await.is_empty());
    tell(&database, "Bounce", "Permanent").await;
    assert_eq!(suppressed(&database).await, ["zoe@clinic.example"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_complains_is_opted_out(database: PgPool) {
    let patient = register(&database, false).await;
    sent(&database, patient).await;
    for _ in 0..2 {
        tell(&database, "Complaint", "").await;
        assert_eq!(suppressed(&database).await, ["zoe@clinic.example"]);
        let mut transaction = Transaction::begin(&database).await.unwrap();
        let preferences = Preferences::of(patient, &mut transaction).await.unwrap();
        assert_eq!((preferences.version, preferences.opt_outs.len()), (1, 1));
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_message_that_is_not_known_yet_is_waited_for(database: PgPool) {
    let early = record_delivery(&notification("Delivery", "", 0), &database).await;
    assert!(matches!(early, Err(RecordError::NotYet)), "{early:?}");
    let foreign = record_delivery(&notification("Delivery", "", 11), &database).await;
    assert_eq!(foreign.unwrap(), Recorded::Ignored);
    let first = "Successfully validated SNS topic for Amazon SES event publishing.";
    assert_eq!(
        record_delivery(first, &database).await.unwrap(),
        Recorded::Ignored
    );
}
