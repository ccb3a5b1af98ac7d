//! What an auditor is answered.

use audit_trail::{Action, Outcome, Record, Resource, Subject};
use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{SecondsFormat, Utc};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use identity::{Role, testing::as_caller};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{append, record};

async fn get_as(database: &PgPool, role: Role, query: &str) -> (StatusCode, Value) {
    let request = Request::get(format!("/api/audit{query}"))
        .body(Body::empty())
        .unwrap();
    let function = api::around(
        "list-audit-records",
        api::AllowedOrigins::default(),
        audit::list_audit_records::routes(database.clone()),
    );
    let response = function.oneshot(as_caller(request, role)).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

pub(crate) async fn get(database: &PgPool, query: &str) -> Value {
    let (status, body) = get_as(database, Role::Auditor, query).await;
    assert_eq!(status, StatusCode::OK, "{query}: {body}");
    body
}

fn ids(body: &Value) -> Vec<Uuid> {
    let records = body["records"].as_array().unwrap().iter();
    records
        .map(|record| record["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_record_is_shown_as_it_was_written(database: PgPool) {
    let patient = Uuid::now_v7();
    let written = Record {
        reason: Some("Bewusstlos 🚑"),
        action: Action::EmergencyAccess,
        ..record(patient)
    };
    append(&database, written).await;
    let mut shown = get(&database, "").await["records"][0].take();
    assert!(shown["occurredAt"].take().is_string());
    assert_eq!(
        shown,
        json!({
            "id": written.id,
            "occurredAt": null,
            "actorId": Uuid::from_u128(1),
            "actorName": null,
            "actorRole": "CLINICIAN",
            "action": "EMERGENCY_ACCESS",
            "outcome": "SUCCEEDED",
            "problem": null,
            "patientIds": [patient],
            "accountId": null,
            "resourceType": null,
            "resourceId": null,
            "reason": "Bewusstlos 🚑",
            "source": "203.0.113.7",
            "requestId": "a-request",
        })
    );
    let own = get(&database, "?action=READ_AUDIT_TRAIL").await;
    assert_eq!(ids(&own).len(), 1, "who looks is on record too");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_record_shows_which_resource_it_was_about(database: PgPool) {
    let [patient, bill] = [Uuid::now_v7(), Uuid::now_v7()];
    let resource = Resource::billing_account(bill);
    for (subject, patients) in [
        (Subject::ResourceOfPatient(resource, patient), vec![patient]),
        (Subject::Resource(resource), vec![]),
    ] {
        let written = Record {
            subject,
            ..record(patient)
        };
        append(&database, written).await;
        let page = get(&database, "?action=READ_PATIENT&limit=1").await;
        let shown = &page["records"][0];
        assert_eq!(shown["id"], json!(written.id));
        assert_eq!(shown["patientIds"], json!(patients));
        assert_eq!(shown["accountId"], json!(null));
        assert_eq!(shown["resourceType"], json!("BILLING_ACCOUNT"));
        assert_eq!(shown["resourceId"], json!(bill));
    }
}

/// The accounts with these ids; a name is what theirs is called.
async fn accounts(database: &PgPool, accounts: &[(u128, Option<&str>)]) {
    for (id, name) in accounts {
        sqlx::query(
            "INSERT INTO auth.user_account (id, email, role, name)
             VALUES ($1, $1::text || '@clinic.example', 'CLINICIAN', $2)",
        )
        .bind(Uuid::from_u128(*id))
        .bind(name)
        .execute(database)
        .await
        .unwrap();
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_actor_is_named_as_their_account_is(database: PgPool) {
    accounts(&database, &[(1, Some("Zoe Kiefer")), (2, None)]).await;
    let mut written = Vec::new();
    for (actor, name) in [
        (Some(1), json!("Zoe Kiefer")),
        (None, json!(null)),
        (Some(2), json!(null)),
        (Some(1), json!("Zoe Kiefer")),
        // Nobody's any more.
        (Some(3), json!(null)),
    ] {
        let record = Record {
            actor: actor.map(|actor| (Uuid::from_u128(actor), Role::Clinician)),
            ..record(Uuid::nil())
        };
        append(&database, record).await;
        written.insert(0, name);
    }
    let page = get(&database, "?action=READ_PATIENT").await;
    let names = page["records"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|record| record["actorName"].clone()).collect();
    assert_eq!(names, written);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_filter_leaves_out_what_does_not_fit(database: PgPool) {
    let (patient, account) = (Uuid::now_v7(), Uuid::now_v7());
    let of_patient = record(patient);
    let page = [Uuid::now_v7(), patient];
    let of_list = Record {
        action: Action::ListPatients,
        subject: Subject::Patients(&page),
        ..record(patient)
    };
    let of_account = Record {
        actor: Some((account, Role::Admin)),
        outcome: Outcome::Refused,
        subject: Subject::Account(account),
        ..record(patient)
    };
    let [bill, refused_bill] = [Uuid::now_v7(), Uuid::now_v7()];
    let of_bill = Record {
        action: Action::ReadBillingAccount,
        subject: Subject::ResourceOfPatient(Resource::billing_account(bill), patient),
        ..record(patient)
    };
    let of_refused_bill = Record {
        outcome: Outcome::Refused,
        subject: Subject::Resource(Resource::billing_account(refused_bill)),
        ..record(patient)
    };
    let of_resource = |id: Uuid| format!("?resourceType=BILLING_ACCOUNT&resourceId={id}");
    for record in [of_patient, of_list, of_account, of_bill, of_refused_bill] {
        append(&database, record).await;
    }
    for (query, expected) in [
        (
            format!("?patientId={patient}"),
            vec![of_bill.id, of_list.id, of_patient.id],
        ),
        (
            format!(
                "?patientId={}&action=LIST_PATIENTS",
                patient.to_string().to_uppercase()
            ),
            vec![of_list.id],
        ),
        (format!("?actorId={account}"), vec![of_account.id]),
        (format!("?accountId={account}"), vec![of_account.id]),
        (of_resource(bill), vec![of_bill.id]),
        (
            format!(
                "{}&patientId={patient}&outcome=SUCCEEDED",
                of_resource(bill)
            ),
            vec![of_bill.id],
        ),
        (of_resource(refused_bill), vec![of_refused_bill.id]),
        (
            format!("{}&outcome=SUCCEEDED", of_resource(refused_bill)),
            vec![],
        ),
        (of_resource(patient), vec![]),
        (
            "?outcome=REFUSED".to_owned(),
            vec![of_refused_bill.id, of_account.id],
        ),
        (format!("?patientId={}", Uuid::nil()), vec![]),
        ("?to=2020-01-01T00:00:00Z".to_owned(), vec![]),
        ("?from=2999-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        assert_eq!(ids(&get(&database, &query).await), expected, "{query}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn pages_go_from_new_to_old_without_gap_or_repetition(database: PgPool) {
    let mut written = Vec::new();
    for _ in 0..7 {
        let record = record(Uuid::nil());
        append(&database, record).await;
        written.insert(0, record.id);
    }
    let mut seen = Vec::new();
    let mut query = "?limit=3&action=READ_PATIENT".to_owned();
    loop {
        let page = get(&database, &query).await;
        seen.extend(ids(&page));
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        query = format!("?limit=3&action=READ_PATIENT&cursor={cursor}");
    }
    assert_eq!(seen, written);
}

/// The first pages are among the newest records, the others behind many of somebody else's.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn pages_of_a_patient_go_on_behind_records_of_others(database: PgPool) {
    let patient = Uuid::now_v7();
    let mut written = Vec::new();
    for others in [0, 300, 0] {
        for _ in 0..5 {
            let record = record(patient);
            append(&database, record).await;
            written.insert(0, record.id);
        }
        sqlx::query(
            "SELECT audit.append(gen_random_uuid(), $2, 'CLINICIAN', 'READ_PATIENT', 'SUCCEEDED',
                 NULL, ARRAY[gen_random_uuid()], NULL, NULL, NULL, NULL)
             FROM generate_series(1, $1)",
        )
        .bind(others)
        .bind(Uuid::from_u128(2))
        .execute(&database)
        .await
        .unwrap();
    }
    for filter in ["", "&actorId=00000000-0000-0000-0000-000000000001"] {
        let path = format!("?limit=3&action=READ_PATIENT&patientId={patient}{filter}");
        let mut seen = Vec::new();
        let mut query = path.clone();
        while seen.len() <= written.len() {
            let page = get(&database, &query).await;
            seen.extend(ids(&page));
            let Some(cursor) = page["nextCursor"].as_str() else {
                break;
            };
            query = format!("{path}&cursor={cursor}");
        }
        assert_eq!(seen, written, "{filter}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn it_is_for_auditors_and_administrators(database: PgPool) {
    for &role in Role::ALL {
        let allowed = matches!(role, Role::Admin | Role::Auditor);
        let (status, _) = get_as(&database, role, "").await;
        assert_eq!(status == StatusCode::OK, allowed, "{role}");
    }
    for query in [
        "?patientId=42",
        "?action=DANCE",
        "?outcome=succeeded",
        "?resourceType=DANCE&resourceId=00000000-0000-0000-0000-000000000001",
        "?from=yesterday",
        "?limit=101",
        "?cursor=bm9uZQ",
    ] {
        let (status, body) = get_as(&database, Role::Auditor, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_day_or_a_time_may_be_asked_for(database: PgPool) {
    let written = record(Uuid::nil());
    append(&database, written).await;
    let now = Utc::now();
    let (today, yesterday) = (now.date_naive(), now.date_naive() - chrono::Days::new(1));
    let later = (now + chrono::TimeDelta::hours(1)).to_rfc3339_opts(SecondsFormat::Millis, true);
    for (query, found) in [
        (format!("from={today}"), true),
        (format!("to={today}"), true),
        (format!("from={today}&to={today}"), true),
        (format!("to={yesterday}"), false),
        (format!("from={later}"), false),
        (format!("from={today}&to={later}"), true),
        ("from=1990-01-01T00:00:00%2B01:00".to_owned(), true),
        ("from=&to=&limit=&cursor=&actorId=".to_owned(), true),
    ] {
        let path = format!("?action=READ_PATIENT&{query}");
        let listed = ids(&get(&database, &path).await);
        assert_eq!(listed == [written.id], found, "{query}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_wrong_parameter_is_named_and_nothing_is_a_fault_of_ours(database: PgPool) {
    let cursor = |time: &str| {
        let place = format!(r#"["{time}","{}"]"#, Uuid::nil());
        format!("cursor={}", URL_SAFE_NO_PAD.encode(place))
    };
    let id = Uuid::now_v7();
    for (query, parameter) in [
        ("from=-4714-01-01T00:00:00Z".to_owned(), "from"),
        ("to=%2B262000-01-01T00:00:00Z".to_owned(), "to"),
        ("from=0000-01-01".to_owned(), "from"),
        ("from=2026-1-1".to_owned(), "from"),
        ("to=2026-01-01 00:00:00Z".replace(' ', "%20"), "to"),
        ("from=2026-11-29T00:00:00+01:00".to_owned(), "from"),
        (cursor("-4714-01-01T00:00:00Z"), "cursor"),
        (cursor("+262000-01-01T00:00:00Z"), "cursor"),
        (format!("patientId={id}&patientId={id}"), "patientId"),
        (format!("patientId=urn:uuid:{id}"), "patientId"),
        (format!("actorId=%7B{id}%7D"), "actorId"),
        (format!("accountId={}", id.simple()), "accountId"),
        ("action=DANCE".to_owned(), "action"),
        (
            format!("resourceType=DANCE&resourceId={id}"),
            "resourceType",
        ),
        (
            "resourceType=BILLING_ACCOUNT&resourceId=42".to_owned(),
            "resourceId",
        ),
        ("resourceType=BILLING_ACCOUNT".to_owned(), "resourceId"),
        (format!("resourceId={id}"), "resourceType"),
        ("limit=0".to_owned(), "limit"),
        ("from=2026-01-02&to=2026-01-01".to_owned(), "from"),
        (
            "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z".to_owned(),
            "from",
        ),
        ("patientid=1".to_owned(), "patientid"),
    ] {
        let (status, body) = get_as(&database, Role::Auditor, &format!("?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
        assert!(body["errors"][parameter].is_string(), "{query}: {body}");
    }
    let (_, body) = get_as(&database, Role::Auditor, "?from=2026-11-29T00:00:00+01:00").await;
    let said = body["errors"]["from"].as_str().unwrap();
    assert!(said.contains("%2B"), "{said}");
}
