//! Whatever anybody does with a patient is in the audit trail, or it is not done.

use axum::http::{Method, StatusCode};
use identity::{Role, testing::CALLER};
use serde_json::json;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::fixtures::{Call, log_in_the_caller, with, zoe};

#[derive(Debug, FromRow)]
struct Record {
    actor_id: Option<Uuid>,
    actor_role: Option<String>,
    action: String,
    outcome: String,
    problem: Option<String>,
    patient_ids: Vec<Uuid>,
    request_id: Option<String>,
}

impl Record {
    fn brief(&self) -> (&str, &str, Option<&str>) {
        (&self.action, &self.outcome, self.problem.as_deref())
    }
}

async fn records(database: &PgPool) -> Vec<Record> {
    sqlx::query_as("SELECT * FROM audit.record ORDER BY id")
        .fetch_all(database)
        .await
        .unwrap()
}

async fn last(database: &PgPool) -> Record {
    records(database).await.pop().unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_use_of_a_patient_is_recorded(database: PgPool) {
    let call = Call::as_admin(&database);
    let id = call.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    let read = call.send(Method::GET, &path, None).await;
    let update = Some(with(zoe(), "name", "Zoë"));
    call.send(Method::PUT, &path, update.as_ref()).await;
    call.send(Method::GET, "/api/patients", None).await;
    call.send(Method::DELETE, &path, None).await;

    let records = records(&database).await;
    let actions: Vec<&str> = records.iter().map(|r| r.action.as_str()).collect();
    let expected = [
        "CREATE_PATIENT",
        "READ_PATIENT",
        "UPDATE_PATIENT",
        "LIST_PATIENTS",
        "DELETE_PATIENT",
    ];
    assert_eq!(actions, expected);
    for record in &records {
        assert_eq!(record.outcome, "SUCCEEDED");
        assert_eq!(record.patient_ids, [id.parse::<Uuid>().unwrap()]);
        assert_eq!(record.actor_id, Some(CALLER));
        assert_eq!(record.actor_role.as_deref(), Some("ADMIN"));
    }
    let request_id = read.headers["x-request-id"].to_str().unwrap();
    assert_eq!(records[1].request_id.as_deref(), Some(request_id));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_list_records_those_who_are_on_the_page_and_nobody_else(database: PgPool) {
    let admin = Call::as_admin(&database);
    for number in 0..3 {
        let email = format!("zoe.{number}@clinic.example");
        admin.created(&with(zoe(), "email", email)).await;
    }
    for sort in ["registered", "newest", "name"] {
        let path = format!("/api/patients?limit=2&sort={sort}");
        let page = admin.send(Method::GET, &path, None).await.body;
        let patients = page["patients"].as_array().unwrap();
        let shown = patients.iter().map(|patient| {
            let id = patient["id"].as_str().unwrap();
            id.parse::<Uuid>().unwrap()
        });
        let shown: Vec<Uuid> = shown.collect();
        assert_eq!(shown.len(), 2, "{sort}");
        assert_eq!(last(&database).await.patient_ids, shown, "{sort}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn rejected_and_failed_requests_are_recorded(database: PgPool) {
    let call = Call::as_admin(&database);
    let id = call.created(&zoe()).await;
    let path = format!("/api/patients/{id}");

    let nobody = Uuid::now_v7();
    let unknown = format!("/api/patients/{nobody}");
    call.send(Method::GET, &unknown, None).await;
    let record = last(&database).await;
    let failed = ("READ_PATIENT", "FAILED", Some("not-found"));
    assert_eq!(record.brief(), failed);
    assert_eq!(record.patient_ids, [nobody]);

    let stale = Call {
        if_match: Some("\"7\""),
        ..call
    };
    stale.send(Method::DELETE, &path, None).await;
    let failed = ("DELETE_PATIENT", "FAILED", Some("precondition-failed"));
    assert_eq!(last(&database).await.brief(), failed);

    call.create(&zoe()).await;
    let failed = ("CREATE_PATIENT", "FAILED", Some("conflict"));
    assert_eq!(last(&database).await.brief(), failed);

    let auditor = Call {
        role: Role::Auditor,
        ..call
    };
    let answer = auditor.send(Method::DELETE, &path, None).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let record = last(&database).await;
    let refused = ("DELETE_PATIENT", "REFUSED", Some("forbidden"));
    assert_eq!(record.brief(), refused);
    assert_eq!(record.actor_role.as_deref(), Some("AUDITOR"));

    // An error in the form of a request concerns no patient.
    let before = records(&database).await.len();
    let nameless = with(zoe(), "name", "");
    call.create(&nameless).await;
    call.send(Method::GET, "/api/patients/42", None).await;
    assert_eq!(records(&database).await.len(), before);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_replayed_response_is_recorded_again(database: PgPool) {
    let call = Call {
        key: Some("once"),
        ..Call::as_admin(&database)
    };
    let id: Uuid = call.created(&zoe()).await.parse().unwrap();
    call.created(&zoe()).await;
    let records = records(&database).await;
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!(record.brief(), ("CREATE_PATIENT", "SUCCEEDED", None));
        assert_eq!(record.patient_ids, [id]);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_cannot_be_recorded_is_not_done(database: PgPool) {
    let call = Call::as_admin(&database);
    let id = call.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    sqlx::query("ALTER TABLE audit.chain RENAME TO elsewhere")
        .execute(&database)
        .await
        .unwrap();

    let other = with(zoe(), "email", "other@clinic.example");
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(call.create(&other).await.status, unavailable);
    let update = with(zoe(), "name", "Somebody else");
    let answer = call.send(Method::PUT, &path, Some(&update)).await;
    assert_eq!(answer.status, unavailable);
    let answer = call.send(Method::DELETE, &path, None).await;
    assert_eq!(answer.status, unavailable);
    for path in [path.as_str(), "/api/patients"] {
        let answer = call.send(Method::GET, path, None).await;
        assert_eq!(answer.status, unavailable);
        assert!(!answer.body.to_string().contains("zoe@clinic.example"));
    }

    let patients: Vec<(String, i64)> = sqlx::query_as("SELECT name, version FROM patients.patient")
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(patients, [("Zoë Ωmega 🩺".to_owned(), 1)]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_change_that_fails_at_commit_is_not_recorded(database: PgPool) {
    let call = Call::as_admin(&database);
    let id = call.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    log_in_the_caller(&database).await;
    for statement in [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$",
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON patients.patient
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
    ] {
        sqlx::query(statement).execute(&database).await.unwrap();
    }
    let other = with(zoe(), "email", "other@clinic.example");
    let restriction = json!({ "restricted": true });
    let restricted = format!("{path}/restriction");
    for (method, path, body) in [
        (Method::POST, "/api/patients", Some(&other)),
        (Method::PUT, &path, Some(&other)),
        (Method::DELETE, &path, None),
        (Method::PUT, &restricted, Some(&restriction)),
    ] {
        let answer = call.send(method, path, body).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
    assert_eq!(records(&database).await.len(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn clients_cannot_set_read_only_fields(database: PgPool) {
    let call = Call {
        role: Role::Receptionist,
        ..Call::as_admin(&database)
    };
    let mut greedy = zoe();
    for (field, value) in [
        ("id", json!(Uuid::nil())),
        ("version", json!(42)),
        ("restricted", json!(true)),
        ("createdAt", json!("2000-01-01T00:00:00Z")),
    ] {
        greedy[field] = value;
    }
    let id = call.created(&greedy).await;
    let path = format!("/api/patients/{id}");
    call.send(Method::PUT, &path, Some(&greedy)).await;
    let patient = call.send(Method::GET, &path, None).await.body;
    assert_ne!(patient["id"], greedy["id"]);
    assert_eq!(patient["version"], 2);
    assert_eq!(patient["restricted"], false);
    assert_ne!(patient["createdAt"], greedy["createdAt"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_repeated_failure_is_recorded_each_time(database: PgPool) {
    let call = Call {
        key: Some("once"),
        ..Call::as_admin(&database)
    };
    let path = format!("/api/patients/{}", Uuid::now_v7());
    for time in 1..=3 {
        let answer = call.send(Method::PUT, &path, Some(&zoe())).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let records = records(&database).await;
        assert_eq!(records.len(), time);
        let failed = ("UPDATE_PATIENT", "FAILED", Some("not-found"));
        assert_eq!(records[time - 1].brief(), failed);
    }
}
