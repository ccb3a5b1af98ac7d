//! Every version is kept; what is deleted comes back, and what is erased does not.

use axum::http::{Method, StatusCode};
use identity::{Role, testing::CALLER};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixtures::{Answer, Call, eventually, log_in_the_caller, outbox_kinds, with, zoe};

async fn get(call: Call<'_>, path: &str) -> Answer {
    call.send(Method::GET, path, None).await
}

async fn post(call: Call<'_>, path: &str, body: Option<&Value>) -> Answer {
    call.send(Method::POST, path, body).await
}

fn reason() -> Value {
    json!({ "reason": "Asked for in writing on 3 May" })
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_write_is_a_version_that_equals_its_answer(database: PgPool) {
    log_in_the_caller(&database).await;
    let admin = Call::as_admin(&database);
    let first = admin.create(&zoe()).await.body;
    let path = format!("/api/patients/{}", first["id"].as_str().unwrap());
    let renamed = with(zoe(), "name", "Zoë Feil");
    let second = admin.send(Method::PUT, &path, Some(&renamed)).await.body;
    let restrict = json!({ "restricted": true });
    let third = format!("{path}/restriction");
    let third = admin.send(Method::PUT, &third, Some(&restrict)).await.body;
    assert_eq!(
        admin.send(Method::DELETE, &path, None).await.status,
        StatusCode::NO_CONTENT
    );
    let history = get(admin, &format!("{path}/history")).await;
    assert_eq!(history.status, StatusCode::OK, "{}", history.body);
    let versions = history.body["versions"].as_array().unwrap();
    let kinds: Vec<_> = versions.iter().map(|version| &version["kind"]).collect();
    assert_eq!(kinds, ["CREATE", "UPDATE", "UPDATE", "DELETE"]);
    for (number, version) in (1..).zip(versions) {
        assert_eq!(version["version"], number);
        assert_eq!(version["actorId"], CALLER.to_string());
    }
    let changes = versions[1]["changes"].as_array().unwrap();
    assert!(changes.contains(&json!({ "field": "name", "from": zoe()["name"], "to": "Zoë Feil" })));
    let restricted = json!([{ "field": "restricted", "from": false, "to": true }]);
    assert_eq!(versions[2]["changes"], restricted);
    assert_eq!(versions[3]["changes"][0]["field"], "deletedAt");
    for (number, answer) in (1..).zip([first, second, third]) {
        let version = get(admin, &format!("{path}/versions/{number}")).await;
        assert_eq!(version.body, answer);
    }
    let tombstone = get(admin, &format!("{path}/versions/4")).await;
    assert_eq!(tombstone.status, StatusCode::NOT_FOUND);
    assert!(
        tombstone.body["type"]
            .as_str()
            .unwrap()
            .ends_with(":deleted")
    );
    let none = get(admin, &format!("{path}/versions/5")).await;
    assert!(none.body["type"].as_str().unwrap().ends_with(":not-found"));
    for wrong in ["0", "01", "x", "-1"] {
        let refused = get(admin, &format!("{path}/versions/{wrong}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }

    let page = get(admin, &format!("{path}/history?limit=2")).await.body;
    let cursor = page["nextCursor"].as_str();
    let cursor = cursor.unwrap_or_else(|| panic!("{page}"));
    let rest = get(admin, &format!("{path}/history?limit=2&cursor={cursor}"))
        .await
        .body;
    assert_eq!(page["versions"].as_array().unwrap()[..], versions[..2]);
    assert_eq!(rest["versions"].as_array().unwrap()[..], versions[2..]);
    assert_eq!(rest["nextCursor"], Value::Null);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_some_see_what_was_deleted(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    admin.send(Method::DELETE, &path, None).await;
    for &role in Role::ALL {
        let call = Call { role, ..admin };
        let sees = matches!(role, Role::Admin | Role::Auditor);
        let gone = get(call, &path).await;
        assert!(
            gone.body["type"].as_str().unwrap().ends_with(":deleted"),
            "{role}"
        );
        let status = |ok: bool, other| if ok { StatusCode::OK } else { other };
        let history = get(call, &format!("{path}/history")).await;
        assert_eq!(
            history.status,
            status(sees, StatusCode::NOT_FOUND),
            "{role}"
        );
        let list = get(call, "/api/patients?deleted=true").await;
        assert_eq!(list.status, status(sees, StatusCode::FORBIDDEN), "{role}");
        let body = json!({ "q": "zoe", "includeDeleted": true });
        let found = post(call, "/api/patients/search", Some(&body)).await;
        assert_eq!(found.status, status(sees, StatusCode::FORBIDDEN), "{role}");
        if sees {
            assert_eq!(list.body["patients"][0]["id"], id);
            assert_eq!(found.body["patients"][0]["id"], id);
        }
        let all = get(call, "/api/patients?q=zoe").await.body;
        assert_eq!(
            (&all["patients"], &all["total"]),
            (&json!([]), &json!(0)),
            "{role}"
        );
        let restored = post(
            Call {
                role,
                if_match: Some("\"7\""),
                ..admin
            },
            &format!("{path}/restore"),
            None,
        )
        .await;
        let expected = if role == Role::Admin {
            StatusCode::PRECONDITION_FAILED
        } else {
            StatusCode::FORBIDDEN
        };
        assert_eq!(restored.status, expected, "{role}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_restored_patient_is_as_before(database: PgPool) {
    let admin = Call::as_admin(&database);
    let before = admin.create(&zoe()).await.body;
    let path = format!("/api/patients/{}", before["id"].as_str().unwrap());
    let restore = format!("{path}/restore");
    assert_eq!(
        post(admin, &restore, None).await.status,
        StatusCode::CONFLICT
    );
    admin.send(Method::DELETE, &path, None).await;
    let restored = post(admin, &restore, None).await;
    assert_eq!(restored.status, StatusCode::OK, "{}", restored.body);
    assert_eq!(restored.etag.as_deref(), Some("\"3\""));
    for field in ["name", "email", "recordNumber", "names", "deletedAt"] {
        assert_eq!(restored.body[field], before[field], "{field}");
    }
    assert_eq!(get(admin, &path).await.body, restored.body);
    assert_eq!(get(admin, "/api/patients?q=omega").await.body["total"], 1);
    let waiting = [
        "BILLING_ACCOUNT",
        "PATIENT_EVENT",
        "BILLING_CLOSURE",
        "PATIENT_EVENT",
        "BILLING_REOPENING",
        "PATIENT_EVENT",
    ];
    assert_eq!(outbox_kinds(&database).await, waiting);

    // Somebody else has got the mailbox in the meantime.
    admin.send(Method::DELETE, &path, None).await;
    let other = admin.created(&zoe()).await;
    let refused = post(admin, &restore, None).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.body["existingPatientId"], other);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nothing_remains_of_who_is_erased(database: PgPool) {
    let admin = Call {
        key: Some("once"),
        ..Call::as_admin(&database)
    };
    let registered = with(zoe(), "name", "Zoë Xylophon");
    let id = admin.created(&registered).await;
    let path = format!("/api/patients/{id}");
    let erase = format!("{path}/erase");
    let plain = Call::as_admin(&database);
    let renamed = with(zoe(), "name", "Zoë Feil");
    plain.send(Method::PUT, &path, Some(&renamed)).await;
    assert_eq!(
        post(plain, &erase, Some(&reason())).await.status,
        StatusCode::CONFLICT
    );
    plain.send(Method::DELETE, &path, None).await;
    let unreasoned = post(plain, &erase, Some(&json!({ "reason": "x" }))).await;
    assert_eq!(unreasoned.status, StatusCode::BAD_REQUEST);
    let receptionist = Call {
        role: Role::Receptionist,
        ..plain
    };
    assert_eq!(
        post(receptionist, &erase, Some(&reason())).await.status,
        StatusCode::FORBIDDEN
    );
    sqlx::query("DELETE FROM patients.outbox")
        .execute(&database)
        .await
        .unwrap();
    let erased = post(plain, &erase, Some(&reason())).await;
    assert_eq!(erased.status, StatusCode::NO_CONTENT, "{}", erased.body);

    for path in [
        path.clone(),
        format!("{path}/history"),
        format!("{path}/versions/1"),
    ] {
        let gone = get(plain, &path).await;
        assert!(
            gone.body["type"].as_str().unwrap().ends_with(":not-found"),
            "{path}"
        );
    }
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables
         WHERE table_schema = 'patients'",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        let query =
            format!("SELECT count(*) FROM {table} AS t WHERE lower(t::text) LIKE '%xylophon%'");
        let query = sqlx::AssertSqlSafe(query);
        let rows: i64 = sqlx::query_scalar(query)
            .fetch_one(&database)
            .await
            .unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(
        outbox_kinds(&database).await,
        ["BILLING_ERASURE", "PATIENT_EVENT"]
    );
    // The number is not given again.
    let next = plain.create(&zoe()).await.body;
    assert_eq!(next["recordNumber"], "100002");
    // Nor is the patient registered again by who has not heard of it.
    let again = Call {
        key: Some("once"),
        ..plain
    };
    let again = again.create(&registered).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND, "{}", again.body);
    assert!(again.body["type"].as_str().unwrap().ends_with(":deleted"));
}

/// Who forgets the words of names has to wait for those who learn some. Nobody waits for the
/// erasure meanwhile.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_erasure_is_done_before_words_are_forgotten(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    admin.send(Method::DELETE, &path, None).await;
    let mut registration = database.begin().await.unwrap();
    sqlx::query("INSERT INTO patients.vocabulary (term) VALUES ('somebody')")
        .execute(&mut *registration)
        .await
        .unwrap();
    let erase = format!("{path}/erase");
    let reason = reason();
    let everyone_else = async {
        eventually(
            &database,
            "SELECT NOT EXISTS (SELECT FROM patients.patient)",
        )
        .await;
        registration.rollback().await.unwrap();
    };
    let (erased, ()) = tokio::join!(post(admin, &erase, Some(&reason)), everyone_else);
    assert_eq!(erased.status, StatusCode::NO_CONTENT, "{}", erased.body);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn everybody_who_is_erased_is_on_record(database: PgPool) {
    let admin = Call::as_admin(&database);
    let other = with(zoe(), "email", "other@clinic.example");
    let (survivor, other) = (admin.created(&zoe()).await, admin.created(&other).await);
    let both = json!({ "survivorId": survivor, "duplicateId": other });
    post(admin, "/api/patients/merges", Some(&both)).await;
    let path = format!("/api/patients/{survivor}");
    admin.send(Method::DELETE, &path, None).await;
    let erased = post(admin, &format!("{path}/erase"), Some(&reason())).await;
    assert_eq!(erased.status, StatusCode::NO_CONTENT, "{}", erased.body);
    let mut on_record: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT unnest(patient_ids) FROM audit.record WHERE action = 'ERASE_PATIENT'",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    on_record.sort_unstable();
    let mut both: Vec<uuid::Uuid> = [survivor, other].map(|id| id.parse().unwrap()).to_vec();
    both.sort_unstable();
    assert_eq!(on_record, both);
}
