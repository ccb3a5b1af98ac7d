//! Every new patient is welcomed once, whatever goes wrong in between.

use aws_sdk_dynamodb::types::AttributeValue;
use events::{Change, Effect, Patient, PatientEvent, seen};
use futures::future::join_all;
use mail::{
    Mailer,
    testing::{
        DOWN, INVALID_PARAMETER, MESSAGE_REJECTED, RECIPIENT_NOT_VERIFIED, SENDER,
        SENDER_NOT_VERIFIED, SENDING_PAUSED, Ses, THROTTLING,
    },
};
use notifications::{
    attempt::{Attempt, Start},
    message::{Clinic, welcome},
    notification::{FailureReason, Notification, State},
    notify_patients::{Notifier, NotifyError},
    suppression::Suppression,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixtures::{EMAIL, created, event, let_the_lease_run_out, notifier, same, stored, zoe};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_new_patient_is_welcomed(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Applied);

    let mail = ses.taken().remove(0);
    assert_eq!(mail["Action"], "SendEmail");
    assert_eq!(mail["Source"], "welcome@clinic.example");
    assert_eq!(mail["Destination.ToAddresses.member.1"], EMAIL);
    assert_eq!(mail["Message.Subject.Data"], "Welcome to Klinik Süd");
    assert_eq!(mail["Message.Subject.Charset"], "UTF-8");
    assert!(mail["Message.Body.Text.Data"].starts_with("Dear Zoë Ærø 🩺,\n"));

    let stored = stored(&notifier.table, &event).await.unwrap();
    assert_eq!(stored.state, State::Sent);
    assert_eq!(stored.message_id.as_deref(), Some("message-1"));
    assert_eq!(
        (stored.patient_id, stored.event_id),
        (event.patient_id, event.id)
    );
    assert_eq!(stored.recipient, EMAIL);
    assert_eq!(stored.text, mail["Message.Body.Text.Data"]);
    assert!(stored.sent_at.unwrap() >= stored.created_at);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_registered_without_a_welcome_gets_none(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = event(Uuid::now_v7(), Change::CreatedWithoutWelcome(zoe()));
    assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Ignored);
    assert!(ses.taken().is_empty());
    assert!(stored(&notifier.table, &event).await.is_none());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_duplicate_sends_nothing(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    notifier.notify(&event).await.unwrap();
    for _ in 0..3 {
        let again = notifier.notify(&event).await.unwrap();
        assert_eq!(again, Effect::AlreadyApplied);
    }
    assert_eq!(ses.taken().len(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn twenty_concurrent_deliveries_send_one_message(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    let effects = join_all((0..20).map(|_| notifier.notify(&event))).await;

    let applied = effects
        .iter()
        .filter(|effect| matches!(effect, Ok(Effect::Applied)));
    assert_eq!(applied.count(), 1, "{effects:?}");
    for effect in &effects {
        let expected = matches!(
            effect,
            Ok(Effect::Applied | Effect::AlreadyApplied) | Err(NotifyError::Held)
        );
        assert!(expected, "{effect:?}");
    }
    assert_eq!(ses.taken().len(), 1);
    assert_eq!(
        notifier.notify(&event).await.unwrap(),
        Effect::AlreadyApplied
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn two_events_are_two_notifications(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    for event in [created(zoe()), created(zoe())] {
        assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Applied);
    }
    assert_eq!(ses.taken().len(), 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn changes_and_deletions_send_nothing(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    for change in [Change::Updated(zoe()), Change::Deleted] {
        let event = event(Uuid::now_v7(), change);
        assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Ignored);
        assert!(stored(&notifier.table, &event).await.is_none());
    }
    assert!(ses.taken().is_empty());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_mail_service_that_recovers_gets_the_original_message(database: PgPool) {
    for refusal in [
        DOWN,
        THROTTLING,
        SENDING_PAUSED,
        SENDER_NOT_VERIFIED,
        RECIPIENT_NOT_VERIFIED,
    ] {
        let ses = Ses::start().await;
        let mut notifier = notifier(&ses, &database).await;
        let event = created(zoe());
        ses.refuse_next(refusal);
        let error = notifier.notify(&event).await.unwrap_err();
        assert!(matches!(error, NotifyError::Mail(_)), "{error}");
        let pending = stored(&notifier.table, &event).await.unwrap();
        assert_eq!(pending.state, State::Pending);

        notifier.clinic = Clinic::new("Klinik Nord");
        assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Applied);
        assert_eq!(ses.taken().len(), 1);
        let sent = stored(&notifier.table, &event).await.unwrap();
        assert_eq!((sent.state, sent.id), (State::Sent, pending.id));
        assert_eq!(
            ses.taken()[0]["Message.Subject.Data"],
            "Welcome to Klinik Süd"
        );
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_address_that_mail_comes_back_from_gets_no_welcome(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    sqlx::query("INSERT INTO notifications.suppressed_address VALUES (lower($1), 'BOUNCED')")
        .bind(EMAIL)
        .execute(&database)
        .await
        .unwrap();
    let event = created(zoe());
    for expected in [Effect::Applied, Effect::AlreadyApplied] {
        assert_eq!(notifier.notify(&event).await.unwrap(), expected);
        assert!(ses.taken().is_empty());
    }
    let stored = stored(&notifier.table, &event).await.unwrap();
    assert_eq!(stored.state, State::Suppressed);
    assert_eq!(stored.suppression, Some(Suppression::AddressSuppressed));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_database_that_is_down_delays_the_welcome(database: PgPool) {
    let ses = Ses::start().await;
    let mut notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    notifier.database = PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/nothing").unwrap();
    let down = notifier.notify(&event).await;
    assert!(matches!(down, Err(NotifyError::Database(_))), "{down:?}");
    assert!(ses.taken().is_empty());

    // Not only after the lease of the first attempt.
    notifier.database = database;
    assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Applied);
    assert_eq!(ses.taken().len(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_unreachable_mail_service_is_retried(database: PgPool) {
    let ses = Ses::start().await;
    let nowhere = ses.config().endpoint_url("http://127.0.0.1:1");
    let mut notifier = notifier(&ses, &database).await;
    let mailer = std::mem::replace(&mut notifier.mailer, Mailer::with_config(SENDER, nowhere));
    let event = created(zoe());
    assert!(matches!(
        notifier.notify(&event).await,
        Err(NotifyError::Mail(_))
    ));

    notifier.mailer = mailer;
    assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Applied);
    assert_eq!(ses.taken().len(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_final_rejection_is_not_retried(database: PgPool) {
    for (refusal, reason) in [
        (MESSAGE_REJECTED, FailureReason::MessageRejected),
        (INVALID_PARAMETER, FailureReason::InvalidMessage),
    ] {
        let ses = Ses::start().await;
        let notifier = notifier(&ses, &database).await;
        let event = created(zoe());
        ses.refuse_next(refusal);
        assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Applied);
        let failed = stored(&notifier.table, &event).await.unwrap();
        assert_eq!(
            (failed.state, failed.failure_reason),
            (State::Failed, Some(reason))
        );
        assert_eq!(failed.sent_at, None);

        assert_eq!(
            notifier.notify(&event).await.unwrap(),
            Effect::AlreadyApplied
        );
        assert!(ses.taken().is_empty());
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn no_mail_is_sent_to_anything_but_a_single_address(database: PgPool) {
    for email in [
        "",
        "zoe",
        "zoe@clinic.example, all@clinic.example",
        "zoe@clinic.example\r\nBcc: all@clinic.example",
        "Zoë <zoe@clinic.example>",
    ] {
        let ses = Ses::start().await;
        let notifier = notifier(&ses, &database).await;
        let event = created(Patient {
            email: Some(email.to_owned()),
            ..zoe()
        });
        assert_eq!(
            notifier.notify(&event).await.unwrap(),
            Effect::Applied,
            "{email:?}"
        );
        let failed = stored(&notifier.table, &event).await.unwrap();
        assert_eq!(
            failed.failure_reason,
            Some(FailureReason::InvalidRecipient),
            "{email:?}"
        );
        assert!(ses.taken().is_empty(), "{email:?}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_notification_left_behind_by_a_dead_function_is_sent(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    die_before_sending(&notifier, &event).await;

    let early = notifier.notify(&event).await;
    assert!(matches!(early, Err(NotifyError::Held)), "{early:?}");
    assert!(ses.taken().is_empty());

    let_the_lease_run_out(&notifier.table, &event).await;
    let effects = join_all((0..10).map(|_| notifier.notify(&event))).await;
    let applied = effects
        .iter()
        .filter(|effect| matches!(effect, Ok(Effect::Applied)));
    assert_eq!(applied.count(), 1, "{effects:?}");
    assert_eq!(ses.taken().len(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_welcome_after_a_later_version_is_not_sent(database: PgPool) {
    for later in [Change::Deleted, Change::Updated(zoe())] {
        let ses = Ses::start().await;
        let notifier = notifier(&ses, &database).await;
        let registered = created(zoe());
        let later = PatientEvent {
            patient_version: 2,
            ..event(registered.patient_id, later)
        };
        assert_eq!(notifier.notify(&later).await.unwrap(), Effect::Ignored);
        for _ in 0..2 {
            let late = notifier.notify(&registered).await.unwrap();
            assert_eq!(late, Effect::OutOfDate);
        }
        assert!(stored(&notifier.table, &registered).await.is_none());
        assert!(ses.taken().is_empty());
        let again = notifier.notify(&later).await.unwrap();
        assert_eq!(again, Effect::AlreadyApplied);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_has_no_address_gets_nothing_and_who_is_erased_leaves_nothing(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let child = created(Patient {
        email: None,
        ..zoe()
    });
    assert_eq!(notifier.notify(&child).await.unwrap(), Effect::Ignored);
    assert!(ses.taken().is_empty());
    let registered = created(zoe());
    assert_eq!(notifier.notify(&registered).await.unwrap(), Effect::Applied);
    let erased = PatientEvent {
        patient_version: 3,
        ..event(registered.patient_id, Change::Erased)
    };
    assert_eq!(notifier.notify(&erased).await.unwrap(), Effect::Ignored);
    let table = &notifier.table;
    let left = table
        .client()
        .await
        .scan()
        .table_name(table.name())
        .send()
        .await
        .unwrap();
    let left = left.items.unwrap_or_default();
    assert!(
        left.iter()
            .all(|item| !format!("{item:?}").contains("zoe.")),
        "{left:?}"
    );
    assert_eq!(
        notifier.notify(&registered).await.unwrap(),
        Effect::OutOfDate
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_older_change_does_not_move_the_mark_back(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let patient_id = Uuid::now_v7();
    let version = |patient_version, change| PatientEvent {
        patient_version,
        ..event(patient_id, change)
    };
    let deletion = version(3, Change::Deleted);
    assert_eq!(notifier.notify(&deletion).await.unwrap(), Effect::Ignored);
    let change = version(2, Change::Updated(zoe()));
    assert_eq!(notifier.notify(&change).await.unwrap(), Effect::OutOfDate);
    let again = notifier.notify(&deletion).await.unwrap();
    assert_eq!(again, Effect::AlreadyApplied);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_concurrent_registration_and_deletion_send_at_most_one_welcome(database: PgPool) {
    for _ in 0..10 {
        let ses = Ses::start().await;
        let notifier = notifier(&ses, &database).await;
        let registered = created(zoe());
        let deletion = PatientEvent {
            patient_version: 2,
            ..event(registered.patient_id, Change::Deleted)
        };
        let (welcome, removal) =
            tokio::join!(notifier.notify(&registered), notifier.notify(&deletion));
        assert_eq!(removal.unwrap(), Effect::Ignored);
        let sent = match welcome.unwrap() {
            Effect::Applied => 1,
            Effect::OutOfDate => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(ses.taken().len(), sent);
        let late = notifier.notify(&registered).await.unwrap();
        assert_eq!(late, Effect::OutOfDate);
        assert_eq!(ses.taken().len(), sent);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_notification_from_before_marks_existed_is_not_sent_again(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    notifier.notify(&event).await.unwrap();
    forget_what_was_seen(&notifier, &event).await;
    for _ in 0..2 {
        let again = notifier.notify(&event).await.unwrap();
        assert_eq!(again, Effect::AlreadyApplied);
    }
    assert_eq!(ses.taken().len(), 1);
}

async fn forget_what_was_seen(notifier: &Notifier, event: &PatientEvent) {
    let delete = notifier.table.client().await.delete_item();
    delete
        .table_name(notifier.table.name())
        .key("pk", AttributeValue::S(seen::partition(event.patient_id)))
        .key("sk", AttributeValue::S(seen::SORT.to_owned()))
        .condition_expression("attribute_exists(pk)")
        .send()
        .await
        .unwrap();
}

async fn die_before_sending(notifier: &Notifier, event: &PatientEvent) {
    let message = welcome("Zoë", &notifier.clinic);
    let notification = Notification::welcome(event, EMAIL, message);
    let start = Attempt::start(&notifier.table, event, notification)
        .await
        .unwrap();
    assert!(matches!(start, Start::Ours(_)));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_attempt_that_lost_its_lease_undoes_nothing(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    let start = async || {
        let message = welcome("Zoë", &notifier.clinic);
        let notification = Notification::welcome(&event, EMAIL, message);
        match Attempt::start(&notifier.table, &event, notification)
            .await
            .unwrap()
        {
            Start::Ours(attempt) => attempt,
            other => panic!("{other:?}"),
        }
    };
    let refused = start().await;
    let_the_lease_run_out(&notifier.table, &event).await;
    let released = start().await;
    let_the_lease_run_out(&notifier.table, &event).await;
    start().await.sent("message-1").await.unwrap();

    refused
        .refused(FailureReason::MessageRejected)
        .await
        .unwrap();
    released.released().await.unwrap();
    let stored = stored(&notifier.table, &event).await.unwrap();
    assert_eq!((stored.state, stored.failure_reason), (State::Sent, None));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn errors_reveal_nothing_of_the_patient(database: PgPool) {
    for refusal in [DOWN, THROTTLING, SENDER_NOT_VERIFIED] {
        let ses = Ses::start().await;
        let notifier = notifier(&ses, &database).await;
        ses.refuse_next(refusal);
        let error = notifier.notify(&created(zoe())).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("clinic.example") && !shown.contains("Zoë"),
            "{shown}"
        );
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn without_its_table_nothing_is_sent(database: PgPool) {
    let ses = Ses::start().await;
    let mut notifier = notifier(&ses, &database).await;
    let client = notifier.table.client().await.clone();
    notifier.table = store::Table::with_client("no-such-table".to_owned(), client);
    let error = notifier.notify(&created(zoe())).await.unwrap_err();
    assert!(
        error.to_string().contains("ResourceNotFoundException"),
        "{error}"
    );
    assert!(ses.taken().is_empty());

    let table = same(&notifier.table).await;
    assert_eq!(table.name(), "no-such-table");
}
