//! Who may be one patient, and what somebody has decided about it.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use identity::Role;
use patients::find_duplicates::find_duplicates;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

fn ann(email: &str) -> Value {
    json!({
        "names": [{ "use": "OFFICIAL", "family": "Müller", "given": ["Ann"] }],
        "emails": [{ "address": email }],
        "phones": [{ "number": "+49 30 901820" }],
        "addresses": [{ "lines": ["1 Main St"], "city": "Berlin", "postalCode": "10115" }],
        "dateOfBirth": "1983-11-04",
        "sex": "FEMALE",
    })
}

async fn candidates(call: Call<'_>, patient: &Value) -> Vec<Value> {
    let path = "/api/patients/duplicates";
    let answer = call.send(Method::POST, path, Some(patient)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["candidates"].as_array().unwrap().clone()
}

async fn worklist(call: Call<'_>) -> Vec<Value> {
    let until = Instant::now() + Duration::from_mins(1);
    find_duplicates(call.database, until).await.unwrap();
    let path = "/api/patients/duplicate-candidates";
    let answer = call.send(Method::GET, path, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["candidates"].as_array().unwrap().clone()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_is_about_to_be_registered_may_be_there_already(database: PgPool) {
    let call = Call::as_admin(&database);
    let id = call.created(&ann("ann@clinic.example")).await;
    call.created(&zoe()).await;
    let other = "other@clinic.example";
    let swapped_name = json!([{ "use": "OFFICIAL", "family": "Ann", "given": ["Mueller"] }]);
    for (patient, grade) in [
        (ann(other), "CERTAIN"),
        (with(ann(other), "dateOfBirth", "1983-04-11"), "CERTAIN"),
        (with(ann(other), "names", swapped_name), "CERTAIN"),
        (with(ann(other), "phones", json!([])), "CERTAIN"),
    ] {
        let found = candidates(call, &patient).await;
        assert_eq!(found.len(), 1, "{patient}");
        assert_eq!(found[0]["patient"]["id"], id.as_str());
        assert_eq!(found[0]["grade"], grade, "{} {patient}", found[0]["score"]);
    }
    // The same day of birth alone is nothing; nor is a mailbox that a family shares.
    let stranger = json!({
        "names": [{ "use": "OFFICIAL", "family": "Okafor", "given": ["Ben"] }],
        "emails": [], "addresses": [], "dateOfBirth": "1983-11-04",
    });
    assert!(candidates(call, &stranger).await.is_empty());
    let child = with(
        with(stranger, "dateOfBirth", "2015-01-02"),
        "phones",
        json!([{ "number": "+49 30 901820" }]),
    );
    assert!(candidates(call, &child).await.is_empty());
    // Nobody was registered.
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM patients.patient")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(count, 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_missing_is_not_equal(database: PgPool) {
    let call = Call::as_admin(&database);
    let bare = |name: &str| {
        json!({ "names": [{ "use": "OFFICIAL", "text": name }], "emails": [], "addresses": [],
                "birthDate": { "value": "1990" } })
    };
    call.created(&bare("Ann Smith")).await;
    call.created(&bare("Bea Jones")).await;
    assert!(worklist(call).await.is_empty());
    assert!(candidates(call, &bare("Cleo Young")).await.is_empty());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_decision_about_a_pair_is_remembered(database: PgPool) {
    let call = Call::as_admin(&database);
    let one = call.created(&ann("one@clinic.example")).await;
    let other = call.created(&ann("other@clinic.example")).await;
    let listed = worklist(call).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["patients"][0]["id"], one.as_str());
    assert_eq!(listed[0]["patients"][1]["id"], other.as_str());
    // A pair is two records: a page has half as many as other pages have.
    for (limit, status) in [(50, StatusCode::OK), (51, StatusCode::BAD_REQUEST)] {
        let path = format!("/api/patients/duplicate-candidates?limit={limit}");
        let page = call.send(Method::GET, &path, None).await;
        assert_eq!(page.status, status, "{}", page.body);
    }
    let decide = async |decision: &str| {
        let body = json!({ "patientIds": [other, one], "decision": decision });
        let path = "/api/patients/duplicate-candidates/decision";
        let answer = call.send(Method::PUT, path, Some(&body)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    };
    decide("NOT_DUPLICATE").await;
    assert!(worklist(call).await.is_empty());
    // Also after a change.
    let path = format!("/api/patients/{one}");
    let changed = with(ann("one@clinic.example"), "language", "de");
    call.send(Method::PUT, &path, Some(&changed)).await;
    assert!(worklist(call).await.is_empty());
    decide("OPEN").await;
    assert_eq!(worklist(call).await.len(), 1);
    // Who is not alike any more leaves the list.
    let different = json!({
        "names": [{ "use": "OFFICIAL", "family": "Okafor", "given": ["Ben"] }], "name": "Ben Okafor",
        "emails": [], "phones": [], "addresses": [], "dateOfBirth": "1950-01-01",
    });
    let answer = call.send(Method::PUT, &path, Some(&different)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(worklist(call).await.is_empty());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn restricted_patients_are_no_candidates_for_most_of_the_staff(database: PgPool) {
    let call = Call::as_admin(&database);
    call.created(&ann("one@clinic.example")).await;
    call.created(&ann("other@clinic.example")).await;
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE email LIKE 'one%'")
        .execute(&database)
        .await
        .unwrap();
    assert_eq!(worklist(call).await.len(), 1);
    let receptionist = Call {
        role: Role::Receptionist,
        ..call
    };
    assert!(worklist(receptionist).await.is_empty());
    let found = candidates(receptionist, &ann("new@clinic.example")).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["patient"]["email"], "other@clinic.example");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_address_that_hundreds_share_hides_no_duplicate(database: PgPool) {
    let call = Call::as_admin(&database);
    let at_the_home = |n: usize, name: &str| {
        json!({
            "names": [{ "use": "OFFICIAL", "text": name }],
            "emails": [{ "address": format!("r{n}@home.example") }],
            "addresses": [{ "lines": ["12 Long Lane"], "postalCode": "02143" }],
            "dateOfBirth": "1950-01-01",
        })
    };
    let original = call.created(&at_the_home(0, "Ann Smith")).await;
    // Before all others in the index, and with the same address and date of birth.
    sqlx::query(
        "WITH made AS (
             INSERT INTO patients.patient
                 (id, version, name, email, address, date_of_birth, birth_precision, birth_estimated,
                  registered_date, record, email_shared, sort_key, indexed_with)
             SELECT gen_random_uuid(), 1, 'Aaron ' || n, NULL, address, date_of_birth, birth_precision,
                    birth_estimated, registered_date, jsonb_set(record, '{names,0,text}', '\"Aaron\"'),
                    email_shared, 'aaron ' || n, indexed_with
             FROM patients.patient, generate_series(1, 600) AS n
             RETURNING id, sort_key)
         INSERT INTO patients.search_term (patient_id, term, sort_key, beside, restricted, gone)
         SELECT made.id, term, made.sort_key, '', false, false FROM made, patients.search_term AS of
         WHERE of.term LIKE '+a%' OR of.term LIKE '@%'",
    )
    .execute(&database)
    .await
    .unwrap();
    let found = candidates(call, &at_the_home(1, "Ann Smyth")).await;
    assert_eq!(found[0]["patient"]["id"], original.as_str());
}
