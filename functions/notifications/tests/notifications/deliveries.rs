//! What SES tells of messages. LocalStack tells nothing, so these are as AWS documents them.

use chrono::{TimeDelta, Utc};
use mail::testing::Ses;
use notifications::{
    notification::State,
    preferences::Preferences,
    record_deliveries::{RecordError, Recorded, record_delivery},
};
use serde_json::json;
use sqlx::PgPool;
use store::{
    Transaction,
    testing::{self, table_of},
};
use uuid::Uuid;

use crate::fixtures::{EMAIL, created, notifier, register, stored, zoe};

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
    record_delivery(
        &notification(kind, bounce_type, 0),
        database,
        &table_of("none-of-these-is-a-welcome"),
    )
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
async fn what_becomes_of_a_welcome_is_recorded_too(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    notifier.notify(&event).await.unwrap();
    let tagged = &ses.taken()[0];
    assert_eq!(tagged["Tags.member.1.Name"], "patient");
    let patient = &tagged["Tags.member.1.Value"];

    let tag = format!(r#""tags":{{"patient":["{patient}"],"#);
    for (kind, effect, state) in [
        ("Delivery", Recorded::Moved, State::Delivered),
        ("Bounce", Recorded::Moved, State::Bounced),
        ("Delivery", Recorded::Known, State::Bounced),
        ("Bounce", Recorded::Known, State::Bounced),
        ("Complaint", Recorded::Moved, State::Complained),
    ] {
        let told = notification(kind, "Permanent", 0)
            .replace(ID, "message-1")
            .replace(r#""tags":{"#, &tag);
        let recorded = record_delivery(&told, &database, &notifier.table).await;
        assert_eq!(recorded.unwrap(), effect, "{kind}");
        let welcome = stored(&notifier.table, &event).await.unwrap();
        assert_eq!(welcome.state, state, "{kind}");
    }
    assert_eq!(suppressed(&database).await, [EMAIL]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_message_that_is_not_known_yet_is_waited_for(database: PgPool) {
    let table = testing::table().await;
    let of_welcome = |minutes_ago| {
        let tag = format!(r#""tags":{{"patient":["{}"],"#, Uuid::now_v7());
        notification("Delivery", "", minutes_ago).replace(r#""tags":{"#, &tag)
    };
    for [early, foreign] in [
        [0, 11].map(|minutes_ago| notification("Delivery", "", minutes_ago)),
        [0, 11].map(of_welcome),
    ] {
        let early = record_delivery(&early, &database, &table).await;
        assert!(matches!(early, Err(RecordError::NotYet)), "{early:?}");
        let foreign = record_delivery(&foreign, &database, &table).await;
        assert_eq!(foreign.unwrap(), Recorded::Ignored);
    }
    let first = "Successfully validated SNS topic for Amazon SES event publishing.";
    let first = record_delivery(first, &database, &table).await;
    assert_eq!(first.unwrap(), Recorded::Ignored);
}
