//! What is due is sent, as things are at that moment.

use std::time::{Duration, Instant};

use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};
use chrono::{DateTime, TimeDelta, Utc};
use events::{AppointmentChange, AppointmentEvent};
use mail::testing::{DOWN, MESSAGE_REJECTED, Ses};
use notifications::{
    message::Clinic,
    notification::Channel,
    occasion::Occasion,
    preferences::opt_out,
    public_url::PublicUrl,
    schedule_messages::Scheduler,
    send_due_messages::{Report, Sender},
    text_message::TextMessages,
};
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use crate::fixtures::{booking, moved, register, then};

/// What the appointments service publishes.
async fn stand_in(database: &PgPool) {
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS appointments;
         CREATE TABLE appointments.stand_in (
             id uuid PRIMARY KEY, status text, sequence integer, starts_at timestamptz,
             ends_at timestamptz, time_zone text, local_start timestamp, location_name text,
             link_token uuid
         );
         CREATE FUNCTION appointments.for_message(
             appointment uuid, OUT status text, OUT sequence integer, OUT starts_at timestamptz,
             OUT ends_at timestamptz, OUT time_zone text, OUT local_start timestamp,
             OUT location_name text, OUT link_token uuid
         ) RETURNS SETOF record LANGUAGE sql STABLE SECURITY DEFINER
             SET search_path = pg_catalog, pg_temp
         AS $$
             SELECT status, sequence, starts_at, ends_at, time_zone, local_start, location_name,
                    link_token
             FROM appointments.stand_in WHERE id = for_message.appointment
         $$;",
    )
    .execute(database)
    .await
    .unwrap();
}

/// What the billing service publishes.
async fn billing_stands_in(database: &PgPool) {
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS billing;
         CREATE TABLE billing.stand_in (id uuid PRIMARY KEY, content bytea);
         CREATE FUNCTION billing.document_of(delivery uuid)
             RETURNS TABLE (number text, file_name text, content bytea)
             LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
         AS $$
             SELECT '2026-000017', '2026-000017.pdf', stand_in.content
             FROM billing.stand_in WHERE id = document_of.delivery
         $$;
         CREATE FUNCTION billing.statement_of(delivery uuid)
             RETURNS TABLE (from_date date, to_date date, file_name text, content bytea)
             LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
         AS $$
             SELECT '2026-01-01'::date, '2026-12-31'::date, 'statement-2026-12-31.pdf',
                    stand_in.content
             FROM billing.stand_in WHERE id = statement_of.delivery
         $$;",
    )
    .execute(database)
    .await
    .unwrap();
}

/// What billing calls to have one of these sent.
const INVOICE: &str = "send_invoice";
const STATEMENT: &str = "send_statement";

const PDF: &[u8] = b"%PDF-1.7\n\xe2\xe3\xcf\xd3\nBlood count\n%%EOF\n";

/// Somebody at the desk sends an invoice, or a statement: what billing calls then.
async fn sent_by_the_desk(database: &PgPool, send: &str, patient: Uuid, content: Option<&[u8]>) {
    let delivery = Uuid::now_v7();
    if let Some(content) = content {
        sqlx::query("INSERT INTO billing.stand_in VALUES ($1, $2)")
            .bind(delivery)
            .bind(content)
            .execute(database)
            .await
            .unwrap();
    }
    let statement = format!("SELECT notifications.{send}($1, $2, now())");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(delivery)
        .bind(patient)
        .execute(database)
        .await
        .unwrap();
}

fn sender(database: &PgPool, ses: &Ses) -> Sender {
    let sns = aws_sdk_sns::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .http_client(store::http_client())
        .endpoint_url(ses.endpoint())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"));
    Sender {
        database: database.clone(),
        mailer: ses.mailer(),
        text_messages: TextMessages::with_config(sns),
        clinic: Clinic::new("Klinik Süd"),
        public_url: PublicUrl::new("https://api.clinic.example/v1"),
    }
}

/// What the service does with an event and what the appointments service knows then.
async fn happens(database: &PgPool, event: &AppointmentEvent) {
    let status = match event.change {
        AppointmentChange::Cancelled { .. } => "CANCELLED",
        AppointmentChange::Arrived { .. } => "ARRIVED",
        _ => "BOOKED",
    };
    known(database, event, status).await;
    let scheduler = Scheduler {
        database: database.clone(),
    };
    scheduler.apply(event).await.unwrap();
}

async fn known(database: &PgPool, event: &AppointmentEvent, status: &str) {
    sqlx::query(
        "INSERT INTO appointments.stand_in VALUES ($1, $2, $3, $4, $5, $6, $7, 'Main building', $8)
         ON CONFLICT (id) DO UPDATE SET status = $2, sequence = $3, starts_at = $4, ends_at = $5,
             time_zone = $6, local_start = $7",
    )
    .bind(event.appointment_id)
    .bind(status)
    .bind(i32::try_from(event.appointment.sequence).unwrap())
    .bind(event.appointment.starts_at)
    .bind(event.appointment.ends_at)
    .bind(&event.appointment.time_zone)
    .bind(event.appointment.local_start)
    .bind(Uuid::from_u128(42))
    .execute(database)
    .await
    .unwrap();
}

/// A booking that starts so many minutes from now; no reminder of it is due yet.
fn booked(patient: Uuid, minutes: i64) -> AppointmentEvent {
    let starts_at = in_minutes(minutes);
    let mut event = booking(patient, starts_at);
    event.occurred_at = Utc::now() - TimeDelta::seconds(1);
    event
}

fn in_minutes(minutes: i64) -> DateTime<Utc> {
    let seconds = (Utc::now() + TimeDelta::minutes(minutes)).timestamp();
    DateTime::from_timestamp(seconds, 0).unwrap()
}

const IN_TEN_DAYS: i64 = 10 * 24 * 60;

async fn send(database: &PgPool, ses: &Ses) -> Report {
    let until = Instant::now() + Duration::from_secs(30);
    sender(database, ses).send_due(until).await.unwrap()
}

/// Kind, channel, state and reason of what is not pending.
async fn done(database: &PgPool) -> Vec<(String, String, String, Option<String>)> {
    sqlx::query_as(
        "SELECT substr(kind, 13), channel, state, reason FROM notifications.message
         WHERE state <> 'PENDING' ORDER BY sequence, kind, channel, offset_minutes",
    )
    .fetch_all(database)
    .await
    .unwrap()
}

fn row(
    kind: &str,
    channel: &str,
    state: &str,
    reason: &str,
) -> (String, String, String, Option<String>) {
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    (
        kind.to_owned(),
        channel.to_owned(),
        state.to_owned(),
        reason,
    )
}

async fn prefers(database: &PgPool, patient: Uuid, language: &str, sms: bool, quiet: bool) {
    let (from, to) = if quiet {
        // Now, wherever that is, and until an hour from now.
        let london = zones::Zone::named("Europe/London").unwrap();
        let time = |minutes| {
            london
                .local(Utc::now() + TimeDelta::minutes(minutes))
                .time()
        };
        (Some(time(-60)), Some(time(60)))
    } else {
        (None, None)
    };
    sqlx::query(
        "INSERT INTO notifications.preference
             (patient_id, version, language, phone, email, sms, quiet_from, quiet_to)
         VALUES ($1, 1, $2, '+442079460958', true, $3, $4, $5)",
    )
    .bind(patient)
    .bind(language)
    .bind(sms)
    .bind(from)
    .bind(to)
    .execute(database)
    .await
    .unwrap();
}

/// The MIME without folds and soft line breaks.
fn unfolded(mime: &str) -> String {
    mime.replace("=\r\n", "")
        .replace("\r\n ", " ")
        .replace("\r\n\t", " ")
        .replace("=3D", "=")
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_booking_is_confirmed_with_an_invitation_and_a_way_to_unsubscribe(database: PgPool) {
    stand_in(&database).await;
    let ses = Ses::start().await;
    let patient = register(&database, false).await;
    let event = booked(patient, IN_TEN_DAYS);
    happens(&database, &event).await;
    let report = send(&database, &ses).await;
    assert_eq!((report.sent, report.suppressed, report.failed), (1, 1, 0));
    let expected = [
        row("BOOKED", "EMAIL", "SENT", ""),
        row("BOOKED", "SMS", "SUPPRESSED", "NOT_WANTED"),
    ];
    assert_eq!(done(&database).await, expected);

    let letters = ses.letters();
    let [(recipient, mime)] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!(*recipient, format!("zoe.{patient}@clinic.example"));
    let mime = unfolded(mime);
    let (kind, uid) = (
        "method=\"REQUEST\"",
        format!("UID:{}", event.appointment_id),
    );
    let start = format!(
        "DTSTART:{}",
        event.appointment.starts_at.format("%Y%m%dT%H%M%SZ")
    );
    for expected in [
        kind,
        "METHOD:REQUEST",
        &uid,
        "SEQUENCE:0",
        &start,
        "https://api.clinic.example/v1/appointment-links/00000000-0000-0000-0000-00000000002a",
        "List-Unsubscribe: <https://api.clinic.example/v1/unsubscribe/",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    ] {
        assert!(mime.contains(expected), "{expected}: {mime}");
    }
    for secret in ["CONSULT", &event.appointment.service_id.to_string()] {
        assert!(!mime.contains(secret), "{mime}");
    }
    assert_eq!(send(&database, &ses).await, Report::default());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_calendar_follows_the_appointment(database: PgPool) {
    stand_in(&database).await;
    let ses = Ses::start().await;
    let patient = register(&database, false).await;
    let first = booked(patient, IN_TEN_DAYS);
    let second = moved(&first, in_minutes(IN_TEN_DAYS + 60));
    let second = AppointmentEvent {
        occurred_at: first.occurred_at,
        ..second
    };
    let third = then(&second, AppointmentChange::Cancelled { by_patient: false });
    let third = AppointmentEvent {
        occurred_at: first.occurred_at,
        ..third
    };
    for event in [&first, &second, &third] {
        happens(&database, event).await;
        assert_eq!(send(&database, &ses).await.sent, 1);
    }
    let uid = format!("UID:{}", first.appointment_id);
    for ((_, mime), (sequence, method)) in
        ses.letters()
            .iter()
            .zip([(0, "REQUEST"), (1, "REQUEST"), (2, "CANCEL")])
    {
        let mime = unfolded(mime);
        for expected in [
            uid.clone(),
            format!("SEQUENCE:{sequence}"),
            format!("METHOD:{method}"),
            format!("method=\"{method}\""),
        ] {
            assert!(mime.contains(&expected), "{expected}: {mime}");
        }
        // The clinic's own changes have to be told.
        assert_eq!(mime.contains("List-Unsubscribe:"), sequence == 0);
        assert_eq!(mime.contains("/appointment-links/"), sequence < 2);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn messages_come_in_the_patients_language_on_their_channels(database: PgPool) {
    stand_in(&database).await;
    let ses = Ses::start().await;
    let patient = register(&database, false).await;
    prefers(&database, patient, "de", true, false).await;
    happens(&database, &booked(patient, IN_TEN_DAYS)).await;
    assert_eq!(send(&database, &ses).await.sent, 2);
    let taken = ses.taken();
    let text = taken
        .iter()
        .find(|sent| sent["Action"] == "Publish")
        .unwrap();
    assert_eq!(text["PhoneNumber"], "+442079460958");
    assert!(
        text["Message"].starts_with("Klinik Süd: Ihr Termin ist gebucht"),
        "{text:?}"
    );

    // French has no template.
    let patient = register(&database, false).await;
    prefers(&database, patient, "fr", true, false).await;
    happens(&database, &booked(patient, IN_TEN_DAYS)).await;
    send(&database, &ses).await;
    let taken = ses.taken();
    let text = taken
        .iter()
        .rfind(|sent| sent["Action"] == "Publish")
        .unwrap();
    assert!(
        text["Message"].starts_with("Klinik Süd: your appointment is booked"),
        "{text:?}"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_truth_counts_and_not_the_event(database: PgPool) {
    stand_in(&database).await;
    let ses = Ses::start().await;
    let patient = register(&database, false).await;
    // Cancelled, and the event of it is not here yet.
    let cancelled = booked(patient, IN_TEN_DAYS);
    happens(&database, &cancelled).await;
    known(&database, &cancelled, "CANCELLED").await;
    // Moved, likewise.
    let later = booked(patient, IN_TEN_DAYS);
    happens(&database, &later).await;
    known(
        &database,
        &moved(&later, in_minutes(IN_TEN_DAYS + 60)),
        "BOOKED",
    )
    .await;
    // Deleted, and gone.
    happens(&database, &booked(Uuid::now_v7(), IN_TEN_DAYS)).await;
    let gone = booked(patient, IN_TEN_DAYS);
    happens(&database, &gone).await;
    sqlx::query("DELETE FROM appointments.stand_in WHERE id = $1")
        .bind(gone.appointment_id)
        .execute(&database)
        .await
        .unwrap();
    // It has started.
    happens(&database, &booked(patient, -1)).await;

    assert_eq!(send(&database, &ses).await.sent, 0);
    assert!(ses.taken().is_empty());
    let mut reasons: Vec<String> = sqlx::query_scalar(
        "SELECT reason FROM notifications.message
         WHERE kind = 'APPOINTMENT_BOOKED' AND channel = 'EMAIL'",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    reasons.sort();
    let expected = [
        "ALREADY_STARTED",
        "APPOINTMENT_GONE",
        "CANCELLED",
        "PATIENT_GONE",
        "SUPERSEDED",
    ];
    assert_eq!(reasons, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_has_opted_out_is_still_told_what_the_clinic_does(database: PgPool) {
    stand_in(&database).await;
    let ses = Ses::start().await;
    let patient = register(&database, false).await;
    for occasion in [Occasion::AppointmentBooked, Occasion::AppointmentCancelled] {
        let mut transaction = Transaction::begin(&database).await.unwrap();
        opt_out(patient, occasion, Channel::Email, &mut transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }
    for (by_patient, sent) in [(true, 0), (false, 1)] {
        let event = booked(patient, IN_TEN_DAYS);
        happens(&database, &event).await;
        let cancelled = AppointmentEvent {
            occurred_at: event.occurred_at,
            ..then(&event, AppointmentChange::Cancelled { by_patient })
        };
        happens(&database, &cancelled).await;
        assert_eq!(send(&database, &ses).await.sent, sent, "{by_patient}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn text_messages_wait_for_the_end_of_the_quiet_hours(database: PgPool) {
    stand_in(&database).await;
    let ses = Ses::start().await;
    let patient = register(&database, false).await;
    prefers(&database, patient, "en", true, true).await;
    happens(&database, &booked(patient, IN_TEN_DAYS)).await;
    let report = send(&database, &ses).await;
    assert_eq!((report.sent, report.postponed), (1, 1));
    let (state, due_at): (String, DateTime<Utc>) = sqlx::query_as(
        "SELECT state, due_at FROM notifications.message
         WHERE kind = 'APPOINTMENT_BOOKED' AND channel = 'SMS'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(state, "PENDING");
    let minutes = (due_at - Utc::now()).num_minutes();
    assert!((58..=60).contains(&minutes), "{minutes}");
    // The appointment starts before they end.
    happens(&database, &booked(patient, 30)).await;
    assert_eq!(send(&database, &ses).await.sent, 1);
    let suppressed = row("BOOKED", "SMS", "SUPPRESSED", "QUIET_HOURS");
    assert!(done(&database).await.contains(&suppressed));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_failure_is_one_messages_own_and_it_is_retried(database: PgPool) {
    stand_in(&database).await;
    let ses = Ses::start().await;
    for _ in 0..3 {
        let patient = register(&database, false).await;
        happens(&database, &booked(patient, IN_TEN_DAYS)).await;
    }
    ses.refuse_next(DOWN);
    ses.refuse_next(MESSAGE_REJECTED);
    let report = send(&database, &ses).await;
    assert_eq!((report.sent, report.failed, report.refused), (1, 1, 1));
    assert_eq!(send(&database, &ses).await.sent, 0, "it waits");
    sqlx::query("UPDATE notifications.message SET next_attempt_at = now() WHERE attempts > 0")
        .execute(&database)
        .await
        .unwrap();
    assert_eq!(send(&database, &ses).await.sent, 1);
    let failed = row("BOOKED", "EMAIL", "FAILED", "MESSAGE_REJECTED");
    assert!(done(&database).await.contains(&failed));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn runs_at_the_same_time_send_each_message_once(database: PgPool) {
    stand_in(&database).await;
    let ses = Ses::start().await;
    for _ in 0..6 {
        let patient = register(&database, false).await;
        happens(&database, &booked(patient, IN_TEN_DAYS)).await;
    }
    let runs = (0..3).map(|_| send(&database, &ses));
    let reports = futures::future::join_all(runs).await;
    let sent: u32 = reports.iter().map(|report| report.sent).sum();
    assert_eq!(sent, 6);
    assert_eq!(ses.letters().len(), 6);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_is_sent_once_with_the_file_and_in_the_patients_language(database: PgPool) {
    billing_stands_in(&database).await;
    let ses = Ses::start().await;
    let patient = register(&database, false).await;
    prefers(&database, patient, "de", true, true).await;
    sent_by_the_desk(&database, INVOICE, patient, Some(PDF)).await;
    let report = send(&database, &ses).await;
    assert_eq!((report.sent, report.suppressed, report.failed), (1, 0, 0));
    assert_eq!(send(&database, &ses).await, Report::default());

    let letters = ses.letters();
    let [(recipient, mime)] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!(*recipient, format!("zoe.{patient}@clinic.example"));
    let mime = unfolded(mime);
    for expected in [
        "multipart/mixed",
        "Ihre_Rechnung_2026-000017:_Klinik",
        "Ihre Rechnung 2026-000017 finden Sie als PDF-Datei im Anhang.",
        "Content-Disposition: attachment; filename=\"2026-000017.pdf\"",
        "JVBERi0xLjcK4uPP0wpCbG9vZCBjb3VudAolJUVPRgo",
    ] {
        assert!(mime.contains(expected), "{expected}: {mime}");
    }
    for none in ["Blood", "text/calendar", "List-Unsubscribe"] {
        assert!(!mime.contains(none), "{none}: {mime}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_is_sent_once_with_the_file_and_says_nothing_but_its_period(database: PgPool) {
    billing_stands_in(&database).await;
    let ses = Ses::start().await;
    let german = register(&database, false).await;
    // The quiet hours are for text messages.
    prefers(&database, german, "de", true, true).await;
    sent_by_the_desk(&database, STATEMENT, german, Some(PDF)).await;
    let english = register(&database, false).await;
    sent_by_the_desk(&database, STATEMENT, english, Some(PDF)).await;
    let report = send(&database, &ses).await;
    assert_eq!((report.sent, report.suppressed, report.failed), (2, 0, 0));
    assert_eq!(send(&database, &ses).await, Report::default());

    let letters = ses.letters();
    for (patient, said) in [
        (
            german,
            "Ihren Kontoauszug vom 1. Januar 2026 bis 31. Dezember 2026 finden Sie als PDF-Datei im Anhang.",
        ),
        (
            english,
            "A statement of your account, from 1 January 2026 to 31 December 2026, is attached as a PDF file.",
        ),
    ] {
        let recipient = format!("zoe.{patient}@clinic.example");
        let letter = letters.iter().find(|(to, _)| *to == recipient);
        let mime = unfolded(&letter.unwrap().1);
        for expected in [
            "multipart/mixed",
            said,
            "Content-Disposition: attachment; filename=\"statement-2026-12-31.pdf\"",
            "JVBERi0xLjcK4uPP0wpCbG9vZCBjb3VudAolJUVPRgo",
        ] {
            assert!(mime.contains(expected), "{expected}: {mime}");
        }
        for none in ["Blood", "text/calendar", "List-Unsubscribe", "2026-000017"] {
            assert!(!mime.contains(none), "{none}: {mime}");
        }
    }
    let listed: Vec<String> = sqlx::query_scalar("SELECT kind FROM notifications.message")
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(listed, ["STATEMENT_SENT"; 2]);
}

/// Of two records that were one: the statement is of both, and so is the address until they are parted.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_goes_to_the_address_from_before_it_was_read(database: PgPool) {
    billing_stands_in(&database).await;
    // They are parted just after the statement was read.
    sqlx::raw_sql(
        "CREATE OR REPLACE FUNCTION billing.statement_of(delivery uuid)
             RETURNS TABLE (from_date date, to_date date, file_name text, content bytea)
             LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
         AS $$
         BEGIN
             RETURN QUERY
                 SELECT '2026-01-01'::date, '2026-12-31'::date, 'statement-2026-12-31.pdf',
                        stand_in.content
                 FROM billing.stand_in WHERE id = statement_of.delivery;
             UPDATE patients.patient SET email = 'parted.' || email;
         END
         $$;",
    )
    .execute(&database)
    .await
    .unwrap();
    let ses = Ses::start().await;
    let patient = register(&database, false).await;
    sent_by_the_desk(&database, STATEMENT, patient, Some(PDF)).await;
    assert_eq!(send(&database, &ses).await.sent, 1);
    let letters = ses.letters();
    let [(recipient, _)] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!(*recipient, format!("zoe.{patient}@clinic.example"));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_is_not_sent_to_who_must_not_or_does_not_want_to_get_it(database: PgPool) {
    documents_are_only_sent_to_who_may_and_wants_to_get_them(database, INVOICE).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_is_not_sent_to_who_must_not_or_does_not_want_to_get_it(database: PgPool) {
    documents_are_only_sent_to_who_may_and_wants_to_get_them(database, STATEMENT).await;
}

async fn documents_are_only_sent_to_who_may_and_wants_to_get_them(database: PgPool, kind: &str) {
    billing_stands_in(&database).await;
    let ses = Ses::start().await;
    for (change, reason) in [
        (
            "UPDATE patients.patient SET restricted = true",
            "RESTRICTED",
        ),
        ("UPDATE patients.patient SET email = NULL", "NO_ADDRESS"),
        (
            "UPDATE patients.patient SET deleted_at = now()",
            "PATIENT_GONE",
        ),
        (
            "UPDATE notifications.preference SET email = false",
            "NOT_WANTED",
        ),
        (
            "INSERT INTO notifications.suppressed_address (address, reason)
             SELECT lower(email), 'COMPLAINED' FROM patients.patient WHERE email IS NOT NULL
             ON CONFLICT (address) DO NOTHING",
            "ADDRESS_SUPPRESSED",
        ),
    ] {
        sqlx::raw_sql("TRUNCATE notifications.message")
            .execute(&database)
            .await
            .unwrap();
        let patient = register(&database, false).await;
        prefers(&database, patient, "en", false, false).await;
        sent_by_the_desk(&database, kind, patient, Some(PDF)).await;
        sqlx::raw_sql(change).execute(&database).await.unwrap();
        assert_eq!(send(&database, &ses).await.suppressed, 1, "{reason}");
        let seen: Option<String> = sqlx::query_scalar("SELECT reason FROM notifications.message")
            .fetch_one(&database)
            .await
            .unwrap();
        assert_eq!(seen.as_deref(), Some(reason));
    }
    // Their record was merged into that of somebody who wants no mail.
    sqlx::raw_sql("DELETE FROM notifications.message")
        .execute(&database)
        .await
        .unwrap();
    let (absorbed, survivor) = (
        register(&database, false).await,
        register(&database, false).await,
    );
    prefers(&database, survivor, "de", false, false).await;
    sqlx::query("UPDATE notifications.preference SET email = false WHERE patient_id = $1")
        .bind(survivor)
        .execute(&database)
        .await
        .unwrap();
    sqlx::query("UPDATE patients.patient SET merged_into = $2, active = false WHERE id = $1")
        .bind(absorbed)
        .bind(survivor)
        .execute(&database)
        .await
        .unwrap();
    sent_by_the_desk(&database, kind, absorbed, Some(PDF)).await;
    assert_eq!(send(&database, &ses).await.suppressed, 1);
    let seen: Option<String> = sqlx::query_scalar("SELECT reason FROM notifications.message")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(seen.as_deref(), Some("NOT_WANTED"));
    // It was taken back meanwhile.
    let patient = register(&database, false).await;
    sent_by_the_desk(&database, kind, patient, None).await;
    assert_eq!(send(&database, &ses).await.suppressed, 1);
    assert!(ses.letters().is_empty());
}
