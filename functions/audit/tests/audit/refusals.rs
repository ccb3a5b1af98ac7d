//! What the gateway refused by itself, from its log to the trail.

use std::{io::Write as _, time::Duration};

use audit::record_refusals::{Bound, Event, RecordError, Report, record_refusals};
use audit_trail::{OfNobody, Outcome, Record, Resource, Subject};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

const RECEPTIONIST: Uuid = Uuid::from_u128(7);
const PATIENT: Uuid = Uuid::from_u128(8);

/// How many requests of nobody from one source in a minute are on record one by one.
const BOUND: Bound = Bound(5);

/// The line of a receptionist who wanted to delete a patient, with these fields instead.
fn line(other: Value) -> String {
    let mut line = json!({
        "requestId": "a-request",
        "requestTimeEpoch": "1768469400000",
        "sourceIp": "203.0.113.7",
        "status": "403",
        "responseType": "ACCESS_DENIED",
        "principalId": RECEPTIONIST,
        "role": "RECEPTIONIST",
        "httpMethod": "DELETE",
        "resourcePath": "/api/patients/{id}",
        "path": format!("/v1/api/patients/{PATIENT}"),
    });
    let Value::Object(other) = other else {
        panic!("fields are an object");
    };
    line.as_object_mut().unwrap().extend(other);
    line.to_string()
}

fn packed(delivery: &Value) -> Value {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(delivery.to_string().as_bytes()).unwrap();
    json!({ "awslogs": { "data": STANDARD.encode(gzip.finish().unwrap()) } })
}

fn delivery(lines: &[&str]) -> Value {
    let events: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(id, line)| json!({ "id": id.to_string(), "timestamp": 1_768_469_400_000_i64, "message": line }))
        .collect();
    json!({
        "messageType": "DATA_MESSAGE",
        "owner": "000000000000",
        "logGroup": "the-group",
        "logStream": "the-stream",
        "subscriptionFilters": ["the-filter"],
        "logEvents": events,
    })
}

fn event(payload: Value) -> Event {
    serde_json::from_value(payload).unwrap()
}

async fn recorded(database: &PgPool, lines: &[&str]) -> Report {
    let event = event(packed(&delivery(lines)));
    record_refusals(database, &event, BOUND).await.unwrap()
}

/// All records, the oldest first.
async fn records(database: &PgPool) -> Vec<Value> {
    sqlx::query_scalar(
        "SELECT jsonb_build_object(
             'actor', actor_id, 'role', actor_role, 'action', action, 'outcome', outcome,
             'problem', problem, 'patients', patient_ids, 'account', account_id,
             'reason', reason, 'source', source, 'request', request_id)
         FROM audit.record
         ORDER BY occurred_at, sequence",
    )
    .fetch_all(database)
    .await
    .unwrap()
}

async fn only_record(database: &PgPool) -> Value {
    let mut records = records(database).await;
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_was_denied_what_is_on_record(database: PgPool) {
    let report = recorded(&database, &[&line(json!({}))]).await;
    assert_eq!((report.recorded, report.passed_over), (1, 0));
    assert_eq!(
        only_record(&database).await,
        json!({
            "actor": RECEPTIONIST,
            "role": "RECEPTIONIST",
            "action": "DELETE_PATIENT",
            "outcome": "REFUSED",
            "problem": "forbidden",
            "patients": [PATIENT],
            "account": null,
            "reason": null,
            "source": "203.0.113.7",
            "request": "a-request",
        })
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nobody_without_a_valid_token_is_anybody(database: PgPool) {
    let line = line(json!({
        "status": "401", "responseType": "UNAUTHORIZED", "principalId": "-", "role": "-",
        "httpMethod": "GET", "resourcePath": "/api/accounts/{id}",
        "path": format!("/v1/api/accounts/{RECEPTIONIST}/"),
    }));
    recorded(&database, &[&line]).await;
    let record = only_record(&database).await;
    assert_eq!(record["actor"], Value::Null);
    assert_eq!(record["role"], Value::Null);
    assert_eq!(record["problem"], "unauthorized");
    assert_eq!(record["action"], "READ_ACCOUNTS");
    assert_eq!(record["account"], json!(RECEPTIONIST));
    assert_eq!(record["patients"], json!([]));
}

/// Requests of nobody from these sources, now.
fn of_nobody<'a>(sources: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let now = chrono::Utc::now().timestamp_millis().to_string();
    let lines = sources.into_iter().enumerate().map(|(number, source)| {
        line(json!({
            "status": "401", "responseType": "UNAUTHORIZED", "principalId": "-", "role": "-",
            "sourceIp": source, "requestTimeEpoch": now, "requestId": format!("{number}"),
        }))
    });
    lines.collect()
}

/// As if a quarter of an hour had gone by; what was counted is on record after it.
async fn later(database: &PgPool) {
    sqlx::query("UPDATE audit.refusal_count SET minute = minute - interval '15 minutes'")
        .execute(database)
        .await
        .unwrap();
    recorded(database, &[]).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn requests_of_nobody_do_not_fill_the_trail(database: PgPool) {
    // In several deliveries, as they come.
    let mut report = Report::default();
    for _ in 0..4 {
        let attack = of_nobody(["198.51.100.1"; 50]);
        let lines: Vec<&str> = attack.iter().map(String::as_str).collect();
        let mut delivered = delivery(&lines);
        delivered["logStream"] = json!(Uuid::now_v7().to_string());
        let part = record_refusals(&database, &event(packed(&delivered)), BOUND).await;
        let part = part.unwrap();
        report.recorded += part.recorded;
        report.counted += part.counted;
    }
    // A minute may have begun meanwhile.
    assert!(matches!(report.recorded, 5 | 10), "{report:?}");
    assert_eq!(report.recorded + report.counted, 200);
    // Somebody who is known is on record however often, and so is who comes from elsewhere.
    let mine: Vec<String> = (0..20)
        .map(|n| line(json!({ "requestId": n.to_string() })))
        .collect();
    let mine: Vec<&str> = mine.iter().map(String::as_str).collect();
    assert_eq!(recorded(&database, &mine).await.recorded, 20);
    let elsewhere = of_nobody(["198.51.100.2"]);
    assert_eq!(recorded(&database, &[&elsewhere[0]]).await.recorded, 1);
    assert_eq!(
        records(&database).await.len(),
        report.recorded as usize + 21
    );

    later(&database).await;
    let records = records(&database).await;
    let counts: Vec<_> = records
        .iter()
        .filter(|record| record["action"] == "REQUESTS_WITHOUT_TOKEN")
        .collect();
    let more = counts.iter().map(|record| {
        assert_eq!(record["source"], "198.51.100.1");
        assert_eq!(record["outcome"], "REFUSED");
        let reason = record["reason"].as_str().unwrap();
        assert!(reason.contains(" more in the minute from 20"), "{reason}");
        reason.split(' ').next().unwrap().parse::<u32>().unwrap()
    });
    assert_eq!(more.sum::<u32>(), report.counted);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nor_do_they_from_ever_other_addresses(database: PgPool) {
    // One person's network, and a crowd of addresses.
    let one: Vec<_> = (0..100).map(|n| format!("2001:db8:1:2::{n:x}")).collect();
    let many: Vec<_> = (0..200).map(|n| format!("203.0.113.{n}")).collect();
    let sources = one.iter().chain(&many).map(String::as_str);
    let lines = of_nobody(sources);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let report = recorded(&database, &lines).await;
    // Five of the network, and one of each of the four addresses that still count apart; twice
    // that if a minute has begun.
    assert!(matches!(report.recorded, 9..=18), "{report:?}");
    later(&database).await;
    assert!(records(&database).await.len() <= 22);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM audit.refusal_count")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_id_is_found_wherever_the_route_begins(database: PgPool) {
    let encoded = PATIENT.to_string().replace('0', "%30").replace('8', "%38");
    for path in [
        format!("/v1/api/patients/{PATIENT}/billing-account"),
        format!("/api/patients/{PATIENT}/billing-account/"),
        format!("/a/base/path/api/patients/{PATIENT}/billing-account"),
        format!("/v1/api/patients/{encoded}/billing-account"),
    ] {
        let line = line(json!({
            "httpMethod": "GET", "resourcePath": "/api/patients/{id}/billing-account", "path": path,
        }));
        recorded(&database, &[&line]).await;
    }
    let records = records(&database).await;
    assert_eq!(records.len(), 4);
    for record in records {
        assert_eq!(record["patients"], json!([PATIENT]));
        assert_eq!(record["action"], "READ_BILLING_ACCOUNT");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_same_event_leaves_one_record_however_often_it_comes(database: PgPool) {
    let line = line(json!({}));
    for _ in 0..3 {
        let report = recorded(&database, &[&line]).await;
        assert_eq!(report.recorded, 1);
    }
    let lines = [line.as_str()];
    join_all((0..8).map(|_| recorded(&database, &lines))).await;
    assert_eq!(records(&database).await.len(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn events_that_come_for_the_first_time_at_once_leave_one_record(database: PgPool) {
    for attempt in 0..20 {
        let line = line(json!({ "requestId": format!("request-{attempt}") }));
        let lines = [line.as_str()];
        join_all((0..4).map(|_| recorded(&database, &lines))).await;
    }
    assert_eq!(records(&database).await.len(), 20);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn different_events_leave_a_record_each(database: PgPool) {
    // The same request twice: two events of one stream.
    let line_of_both = line(json!({}));
    recorded(&database, &[&line_of_both, &line_of_both]).await;
    assert_eq!(records(&database).await.len(), 2);

    // The same id in another stream, and another event under an id that was there before.
    let mut elsewhere = delivery(&[&line_of_both]);
    elsewhere["logStream"] = json!("another-stream");
    let elsewhere = event(packed(&elsewhere));
    record_refusals(&database, &elsewhere, BOUND).await.unwrap();
    recorded(&database, &[&line(json!({ "requestId": "another" }))]).await;
    assert_eq!(records(&database).await.len(), 4);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_line_that_cannot_be_read_does_not_hold_up_its_neighbours(database: PgPool) {
    let good = line(json!({}));
    let without_role = {
        let mut line: Value = serde_json::from_str(&good).unwrap();
        line.as_object_mut().unwrap().remove("role");
        line.to_string()
    };
    let twice = good.replacen('{', r#"{"role":"ADMIN","#, 1);
    let mut lines = vec![
        "",
        "{",
        "null",
        "[]",
        "ACCESS_DENIED \u{1f9ea} \u{0}",
        &without_role,
        &twice,
    ];
    let wrong_type = line(json!({ "path": 7 }));
    lines.push(&wrong_type);
    let deep = "[".repeat(10_000);
    lines.push(&deep);
    lines.push(&good);
    let report = recorded(&database, &lines).await;
    assert_eq!((report.recorded, report.passed_over), (1, 9));
    only_record(&database).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_no_refusal_by_the_gateway_is_passed_over(database: PgPool) {
    let lines = [
        // An answer of a function's.
        line(json!({ "responseType": "-" })),
        line(json!({ "responseType": "MISSING_AUTHENTICATION_TOKEN", "resourcePath": "-" })),
        line(json!({ "responseType": "AUTHORIZER_FAILURE", "status": "500" })),
        // No such route behind the authorizer.
        line(json!({ "resourcePath": "/health", "httpMethod": "GET" })),
        line(json!({ "httpMethod": "-" })),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let report = recorded(&database, &lines).await;
    assert_eq!((report.recorded, report.passed_over), (0, 5));
    assert_eq!(records(&database).await, Vec::<Value>::new());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_a_client_made_up_keeps_no_refusal_off_the_record(database: PgPool) {
    let made_up = [
        json!({ "requestId": "x".repeat(129) }),
        json!({ "requestId": "with \u{0} in it" }),
        json!({ "sourceIp": "'; DROP TABLE audit.record" }),
        json!({ "path": "/v1/api/patients/\u{0}%00\u{fffd}" }),
        json!({ "path": "" }),
        json!({ "path": "/".repeat(8_000) }),
        json!({ "path": "/v1/api/patients/%" }),
        json!({ "principalId": "\u{0}", "role": "\u{0}" }),
        json!({ "role": "EMPEROR" }),
    ];
    let lines: Vec<String> = made_up.into_iter().map(line).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let report = recorded(&database, &lines).await;
    assert_eq!((report.recorded, report.passed_over), (9, 0));
    let records = records(&database).await;
    assert_eq!(records[0]["request"], Value::Null);
    assert_eq!(records[1]["request"], Value::Null);
    assert_eq!(records[2]["source"], Value::Null);
    for record in &records[3..7] {
        assert_eq!(record["patients"], json!([]));
        assert_eq!(record["actor"], json!(RECEPTIONIST));
    }
    assert_eq!(records[7]["actor"], Value::Null);
    // A role that nobody has is no reason to make up who it was.
    assert_eq!(records[8]["actor"], Value::Null);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_call_that_failed_comes_again_from_the_queue(database: PgPool) {
    let payload = packed(&delivery(&[&line(json!({}))]));
    let failed = json!({
        "version": "1.0",
        "timestamp": "2026-01-15T09:30:00.000Z",
        "requestContext": { "condition": "RetriesExhausted", "approximateInvokeCount": 3 },
        "requestPayload": payload,
        "responsePayload": { "errorType": "RecordError" },
    });
    let message = json!({ "messageId": "1", "body": failed.to_string(), "attributes": {} });
    let again = event(json!({ "Records": [message] }));
    let report = record_refusals(&database, &again, BOUND).await.unwrap();
    assert_eq!(report.recorded, 1);
    // One of the first attempts may have come through after all.
    record_refusals(&database, &event(payload), BOUND)
        .await
        .unwrap();
    only_record(&database).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_try_whether_it_gets_through_is_no_refusal(database: PgPool) {
    let mut control = delivery(&["CWL CONTROL MESSAGE: Checking health of destination"]);
    control["messageType"] = json!("CONTROL_MESSAGE");
    let control = event(packed(&control));
    let report = record_refusals(&database, &control, BOUND).await.unwrap();
    assert_eq!(report, Report::default());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_cannot_be_unpacked_is_no_success(database: PgPool) {
    let whole = packed(&delivery(&[&line(json!({}))]));
    let data = whole["awslogs"]["data"].as_str().unwrap();
    let cut = STANDARD.decode(data).unwrap();
    let cut = STANDARD.encode(&cut[..cut.len() / 2]);
    // Right in every way but its size.
    let mut bomb = delivery(&[]);
    bomb["logGroup"] = json!(" ".repeat(33 * 1024 * 1024));
    let bomb = packed(&bomb);
    for data in [
        "",
        "no base64!",
        "AAAA",
        &cut,
        bomb["awslogs"]["data"].as_str().unwrap(),
    ] {
        let event = event(json!({ "awslogs": { "data": data } }));
        let error = record_refusals(&database, &event, BOUND).await.unwrap_err();
        assert!(matches!(error, RecordError::Unreadable(_)), "{error}");
    }
    for body in ["", "{}", "The run before had no time for the rest."] {
        let event = event(json!({ "Records": [{ "body": body }] }));
        assert!(
            record_refusals(&database, &event, BOUND).await.is_err(),
            "{body}"
        );
    }
}

#[tokio::test]
async fn without_a_database_the_call_fails_and_comes_again() {
    let nowhere = PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(100))
        .connect_lazy("postgres://nobody@127.0.0.1:1/nothing")
        .unwrap();
    let event = event(packed(&delivery(&[&line(json!({}))])));
    let error = record_refusals(&nowhere, &event, BOUND).await.unwrap_err();
    assert!(matches!(error, RecordError::Database(_)), "{error}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_sample_event_leaves_its_records(database: PgPool) {
    let sample = include_str!("../../../../events/record-refusals.json");
    let event: Event = serde_json::from_str(sample).unwrap();
    let report = record_refusals(&database, &event, BOUND).await.unwrap();
    assert_eq!((report.recorded, report.passed_over), (2, 0));
    let records = records(&database).await;
    assert_eq!(records[0]["problem"], "forbidden");
    assert_eq!(records[1]["problem"], "unauthorized");
}

/// As the gateway refuses what names a resource in its path.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_refusal_of_nobody_may_be_about_a_resource(database: PgPool) {
    let bill = Uuid::now_v7();
    let of_nobody = OfNobody {
        requested_at: chrono::Utc::now(),
        network: "203.0.113.7",
        at_most: 1,
    };
    for on_record in [true, false] {
        let refusal = Record {
            actor: None,
            outcome: Outcome::Refused,
            subject: Subject::Resource(Resource::billing_account(bill)),
            ..crate::record(PATIENT)
        };
        let alone = refusal.append_or_count(&database, of_nobody).await.unwrap();
        assert_eq!(alone, on_record);
    }
    let about: Vec<(String, Uuid)> =
        sqlx::query_as("SELECT resource_type, resource_id FROM audit.record")
            .fetch_all(&database)
            .await
            .unwrap();
    assert_eq!(about, [("BILLING_ACCOUNT".to_owned(), bill)]);
}
