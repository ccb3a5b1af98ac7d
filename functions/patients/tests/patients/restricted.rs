//! Only a few may see a restricted record. It can be opened in an emergency, for a stated reason.

use axum::http::{Method, StatusCode};
use identity::{Role, testing::CALLER};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixtures::{Answer, Call, log_in_the_caller, zoe};

fn call(database: &PgPool, role: Role) -> Call<'_> {
    Call {
        role,
        ..Call::as_admin(database)
    }
}

async fn restricted(database: &PgPool) -> String {
    let id = call(database, Role::Admin).created(&zoe()).await;
    let answer = restrict(database, Role::Admin, &id, &json!({ "restricted": true })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["restricted"], true);
    assert_eq!(answer.etag.as_deref(), Some("\"2\""));
    id
}

async fn restrict(database: &PgPool, role: Role, id: &str, body: &Value) -> Answer {
    let path = format!("/api/patients/{id}/restriction");
    log_in_the_caller(database).await;
    call(database, role)
        .send(Method::PUT, &path, Some(body))
        .await
}

async fn open(database: &PgPool, role: Role, id: &str, body: &Value) -> Answer {
    let path = format!("/api/patients/{id}/emergency-access");
    call(database, role)
        .send(Method::POST, &path, Some(body))
        .await
}

fn reason() -> Value {
    json!({ "reason": "Unconscious, Allergien unbekannt 🚑" })
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_administrators_and_auditors_see_a_restricted_record(database: PgPool) {
    let id = restricted(&database).await;
    let path = format!("/api/patients/{id}");
    for &role in Role::ALL {
        let sees = matches!(role, Role::Admin | Role::Auditor);
        let call = call(&database, role);
        let read = call.send(Method::GET, &path, None).await;
        let list = call.send(Method::GET, "/api/patients", None).await;
        let listed = list.body["patients"].as_array().unwrap().len();
        if sees {
            assert_eq!((read.status, listed), (StatusCode::OK, 1), "{role}");
            continue;
        }
        assert_eq!((read.status, listed), (StatusCode::FORBIDDEN, 0), "{role}");
        assert!(!read.body.to_string().contains("zoe@"), "{role}");
        let update = call.send(Method::PUT, &path, Some(&zoe())).await;
        assert_eq!(update.status, StatusCode::FORBIDDEN, "{role}");
        // Nobody without access can lift the restriction.
        let answer = restrict(&database, role, &id, &json!({ "restricted": false })).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role}");
    }
    let opened = json!({ "restricted": false });
    let answer = restrict(&database, Role::Admin, &id, &opened).await;
    assert_eq!(answer.body["restricted"], false);
    let clinician = call(&database, Role::Clinician);
    let read = clinician.send(Method::GET, &path, None).await;
    assert_eq!(read.status, StatusCode::OK);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_restriction_outlives_the_record(database: PgPool) {
    let (id, other) = (restricted(&database).await, Uuid::now_v7());
    let is_restricted = async |id: &str| -> bool {
        sqlx::query_scalar("SELECT patients.is_restricted($1::uuid)")
            .bind(id)
            .fetch_one(&database)
            .await
            .unwrap()
    };
    assert!(is_restricted(&id).await);
    let admin = call(&database, Role::Admin);
    let delete = async |id: &str| {
        let path = format!("/api/patients/{id}");
        let answer = admin.send(Method::DELETE, &path, None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    };
    delete(&id).await;
    assert!(is_restricted(&id).await);
    assert!(!is_restricted(&other.to_string()).await);
    let open = admin.created(&zoe()).await;
    delete(&open).await;
    assert!(!is_restricted(&open).await);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn patient_lists_do_not_reveal_restricted_patients(database: PgPool) {
    let admin = call(&database, Role::Admin);
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut patient = zoe();
        patient["email"] = json!(format!("zoe{number}@clinic.example"));
        ids.push(admin.created(&patient).await);
    }
    for id in [&ids[1], &ids[4]] {
        restrict(&database, Role::Admin, id, &json!({ "restricted": true })).await;
    }
    let clinician = call(&database, Role::Clinician);
    let page = clinician.send(Method::GET, "/api/patients?limit=2", None);
    let page = page.await.body;
    let cursor = page["nextCursor"].as_str().unwrap();
    let path = format!("/api/patients?limit=2&cursor={cursor}");
    let rest = clinician.send(Method::GET, &path, None).await.body;
    let seen = |page: &Value| -> Vec<String> {
        let patients = page["patients"].as_array().unwrap().iter();
        patients
            .map(|patient| patient["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(seen(&page), [ids[0].as_str(), ids[2].as_str()]);
    assert_eq!(seen(&rest), [ids[3].as_str()]);
    assert_eq!(rest["nextCursor"], Value::Null);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_clinician_may_open_a_restricted_record_in_an_emergency(database: PgPool) {
    let id = restricted(&database).await;
    for (email, role, disabled) in [
        ("one@clinic.example", "ADMIN", false),
        ("two@clinic.example", "ADMIN", false),
        ("gone@clinic.example", "ADMIN", true),
        ("doctor@clinic.example", "CLINICIAN", false),
    ] {
        sqlx::query(
            "INSERT INTO auth.user_account (id, email, role, disabled) VALUES ($1, $2, $3, $4)",
        )
        .bind(Uuid::now_v7())
        .bind(email)
        .bind(role)
        .bind(disabled)
        .execute(&database)
        .await
        .unwrap();
    }

    for role in [Role::Admin, Role::Receptionist, Role::Auditor] {
        let answer = open(&database, role, &id, &reason()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role}");
    }
    let answer = open(&database, Role::Clinician, &id, &reason()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["email"], "zoe@clinic.example");

    let (actor, stated, patients): (Uuid, String, Vec<Uuid>) = sqlx::query_as(
        "SELECT actor_id, reason, patient_ids FROM audit.record
         WHERE action = 'EMERGENCY_ACCESS' AND outcome = 'SUCCEEDED'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!((actor, patients), (CALLER, vec![id.parse().unwrap()]));
    assert_eq!(stated, "Unconscious, Allergien unbekannt 🚑");
    let told: Vec<String> =
        sqlx::query_scalar("SELECT email FROM auth.administrator_notice ORDER BY email")
            .fetch_all(&database)
            .await
            .unwrap();
    assert_eq!(
        told,
        [
            "caller@clinic.example",
            "one@clinic.example",
            "two@clinic.example"
        ]
    );

    // It was opened once, not permanently.
    let path = format!("/api/patients/{id}");
    let clinician = call(&database, Role::Clinician);
    let read = clinician.send(Method::GET, &path, None).await;
    assert_eq!(read.status, StatusCode::FORBIDDEN);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn emergency_access_requires_a_reason_and_a_message_to_administrators(database: PgPool) {
    let id = restricted(&database).await;
    for body in [
        json!({}),
        json!({ "reason": "urgent" }),
        json!({ "reason": 42 }),
        json!({ "reason": "x".repeat(501) }),
        json!({ "reason": "Unconscious, allergies unknown", "actorId": Uuid::nil() }),
    ] {
        let answer = open(&database, Role::Clinician, &id, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let nobody = Uuid::now_v7().to_string();
    let answer = open(&database, Role::Clinician, &nobody, &reason()).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);

    sqlx::query("ALTER TABLE auth.administrator_notice ADD CHECK (email = 'nobody')")
        .execute(&database)
        .await
        .unwrap();
    sqlx::query("INSERT INTO auth.user_account (id, email, role) VALUES ($1, $2, 'ADMIN')")
        .bind(Uuid::now_v7())
        .bind("one@clinic.example")
        .execute(&database)
        .await
        .unwrap();
    let answer = open(&database, Role::Clinician, &id, &reason()).await;
    assert!(answer.status.is_server_error(), "{}", answer.body);
    assert!(!answer.body.to_string().contains("zoe@"));
    let opened: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit.record WHERE action = 'EMERGENCY_ACCESS' AND outcome = 'SUCCEEDED'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(opened, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn responses_stored_before_the_restriction_are_withheld_too(database: PgPool) {
    let keyed = |role| Call {
        key: Some("once"),
        ..call(&database, role)
    };
    let receptionist = keyed(Role::Receptionist);
    let id = receptionist.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    let create = async || receptionist.create(&zoe()).await;
    let update = async || receptionist.send(Method::PUT, &path, Some(&zoe())).await;
    assert_eq!(create().await.status, StatusCode::CREATED);
    assert_eq!(update().await.status, StatusCode::OK);

    let restriction = json!({ "restricted": true });
    restrict(&database, Role::Admin, &id, &restriction).await;
    let assert_refused = async |answer: Answer| {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
        assert!(!answer.body.to_string().contains("zoe@"));
        let refusal: (String, Vec<Uuid>) = sqlx::query_as(
            "SELECT outcome, patient_ids FROM audit.record ORDER BY id DESC LIMIT 1",
        )
        .fetch_one(&database)
        .await
        .unwrap();
        assert_eq!(refusal, ("REFUSED".to_owned(), vec![id.parse().unwrap()]));
    };
    // Neither the path nor the query of a registration names the patient.
    assert_refused(create().await).await;
    assert_refused(update().await).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_refusal_names_the_patient_however_the_id_was_written(database: PgPool) {
    let id = restricted(&database).await;
    let patient: Uuid = id.parse().unwrap();
    let refused = async || -> Vec<Vec<Uuid>> {
        sqlx::query_scalar("SELECT patient_ids FROM audit.record WHERE outcome = 'REFUSED'")
            .fetch_all(&database)
            .await
            .unwrap()
    };
    let receptionist = call(&database, Role::Receptionist);
    let encoded = id.replace('-', "%2D").replace('0', "%30");
    let mut expected = Vec::new();
    for id in [id.to_uppercase(), encoded] {
        let path = format!("/api/patients/{id}");
        for (method, body) in [(Method::GET, None), (Method::PUT, Some(zoe()))] {
            let answer = receptionist.send(method, &path, body.as_ref()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            expected.push(vec![patient]);
        }
        assert_eq!(refused().await, expected, "{path}");
    }
    let restriction = json!({ "restricted": true });
    for id in [
        format!("urn:uuid:{id}"),
        format!("%7B{id}%7D"),
        id.replace('-', ""),
    ] {
        for (method, rest, body) in [
            (Method::GET, "", None),
            (Method::PUT, "", Some(zoe())),
            (Method::DELETE, "", None),
            (Method::PUT, "/restriction", Some(restriction.clone())),
            (Method::POST, "/emergency-access", Some(reason())),
        ] {
            let path = format!("/api/patients/{id}{rest}");
            let who = match rest {
                "/emergency-access" => Role::Clinician,
                _ => Role::Admin,
            };
            let answer = call(&database, who)
                .send(method, &path, body.as_ref())
                .await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(answer.body["errors"]["id"], "The id must be a UUID");
        }
    }
}

/// As long as the gateway still lets them through.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_former_administrator_cannot_lift_a_restriction(database: PgPool) {
    let id = restricted(&database).await;
    let opened = json!({ "restricted": false });
    for (change, expected) in [
        (
            "UPDATE auth.user_account SET role = 'CLINICIAN'",
            StatusCode::FORBIDDEN,
        ),
        (
            "UPDATE auth.user_account SET disabled = true",
            StatusCode::UNAUTHORIZED,
        ),
        ("DELETE FROM auth.user_account", StatusCode::UNAUTHORIZED),
    ] {
        sqlx::query(change).execute(&database).await.unwrap();
        let path = format!("/api/patients/{id}/restriction");
        let admin = call(&database, Role::Admin);
        let answer = admin.send(Method::PUT, &path, Some(&opened)).await;
        assert_eq!(answer.status, expected, "{change}");
    }
    // Nor can anybody who never had a session.
    let elsewhere = Call {
        user: Uuid::now_v7(),
        ..call(&database, Role::Admin)
    };
    let path = format!("/api/patients/{id}/restriction");
    let answer = elsewhere.send(Method::PUT, &path, Some(&opened)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
