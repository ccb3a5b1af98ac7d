//! What is known of a patient beyond the five flat fields, and how both fit together.

use axum::http::{Method, StatusCode};
use patients::email_rule::EmailRule;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, migrate::Migrator};
use uuid::Uuid;

use crate::{
    fixtures::{Call, delivery, with, zoe},
    relay::relay,
};

fn milo() -> Value {
    json!({
        "names": [
            { "use": "FORMER", "given": ["Milo"], "family": "Hansen", "to": "2012-05-31" },
            { "use": "OFFICIAL", "given": ["Milo"], "family": "Feil", "prefix": "Dr" },
        ],
        "identifiers": [{ "system": "insurance", "value": "M-4711" }],
        "phones": [
            { "use": "MOBILE", "number": "+44 20 7946 0958" },
            { "use": "HOME", "number": "020 7946 0959" },
        ],
        "emails": [],
        "addresses": [{ "lines": ["422 Farrell Path"], "city": "Somerville", "postalCode": "02143", "country": "us" }],
        "birthDate": { "value": "1983-11", "estimated": true },
        "sex": "MALE",
        "genderIdentity": "man",
        "language": "pt-BR",
        "contacts": [{ "name": "Ada Feil", "relationship": "mother", "phone": "123" }],
    })
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_whole_record_is_stored_and_its_flat_fields_follow(database: PgPool) {
    let admin = Call::as_admin(&database);
    let created = admin.create(&milo()).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    let body = &created.body;
    assert_eq!(body["name"], "Dr Milo Feil");
    assert_eq!(body["email"], Value::Null);
    assert_eq!(body["address"], "422 Farrell Path\nSomerville 02143\nUS");
    assert_eq!(body["dateOfBirth"], "1983-11-01");
    let birth = json!({ "value": "1983-11", "precision": "MONTH", "estimated": true });
    assert_eq!(body["birthDate"], birth);
    assert_eq!(body["names"][0]["use"], "OFFICIAL");
    assert_eq!(body["names"][1]["text"], "Milo Hansen");
    assert_eq!(body["phones"][0]["e164"], "+442079460958");
    assert_eq!(body["phones"][1]["e164"], Value::Null);
    assert_eq!(body["phones"][1]["number"], "020 7946 0959");
    assert!(
        body["recordNumber"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .is_ok()
    );

    let path = format!("/api/patients/{}", body["id"].as_str().unwrap());
    let read = admin.send(Method::GET, &path, None).await;
    assert_eq!(read.body, created.body);
    // What was read can be written back.
    let again = admin.send(Method::PUT, &path, Some(&read.body)).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    assert_eq!(again.body["names"], read.body["names"]);
    assert_eq!(again.body["addresses"], read.body["addresses"]);
    assert_eq!(again.body["birthDate"], birth);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_flat_client_changes_what_it_knows_and_leaves_the_rest(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&milo()).await;
    let path = format!("/api/patients/{id}");
    let updated = admin.send(Method::PUT, &path, Some(&zoe())).await;
    assert_eq!(updated.status, StatusCode::OK, "{}", updated.body);
    let body = &updated.body;
    assert_eq!(body["name"], zoe()["name"]);
    assert_eq!(body["names"][0]["text"], zoe()["name"]);
    assert_eq!(body["names"][1]["text"], "Milo Hansen");
    assert_eq!(body["emails"][0]["address"], zoe()["email"]);
    assert_eq!(body["birthDate"]["value"], "2000-02-29");
    assert_eq!(body["language"], "pt-BR");
    assert_eq!(body["identifiers"][0]["value"], "M-4711");
}

/// As a page does that knows the flat fields, and sends back the rest as it came.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn of_a_field_that_is_there_twice_the_changed_one_counts(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    let read = admin.send(Method::GET, &path, None).await.body;
    let renamed = admin
        .send(Method::PUT, &path, Some(&with(read, "name", "Zoë Feil")))
        .await;
    assert_eq!(
        renamed.body["names"][0]["text"], "Zoë Feil",
        "{}",
        renamed.body
    );
    let mut read = renamed.body;
    read["names"][0]["text"] = json!("Zoë Gómez");
    let renamed = admin.send(Method::PUT, &path, Some(&read)).await;
    assert_eq!(renamed.body["name"], "Zoë Gómez", "{}", renamed.body);
    let mut both = renamed.body;
    both["names"][0]["text"] = json!("One");
    both["name"] = json!("Other");
    let refused = admin.send(Method::PUT, &path, Some(&both)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(
        refused.body["errors"]["name"].is_string(),
        "{}",
        refused.body
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_invalid_part_is_named(database: PgPool) {
    let admin = Call::as_admin(&database);
    for (field, value, error) in [
        ("names", json!([]), "names"),
        (
            "names",
            json!([{ "use": "OFFICIAL", "text": "A" }, { "use": "OFFICIAL", "text": "B" }]),
            "names",
        ),
        (
            "names",
            json!([{ "use": "OFFICIAL", "text": "x".repeat(101) }]),
            "names[0].text",
        ),
        (
            "names",
            json!([{ "use": "NICK", "text": "A" }]),
            "names[0].use",
        ),
        (
            "emails",
            json!([{ "address": "nobody" }]),
            "emails[0].address",
        ),
        (
            "phones",
            json!([{ "number": "call me" }]),
            "phones[0].number",
        ),
        (
            "addresses",
            json!([{ "country": "USA", "text": "here" }]),
            "addresses[0].country",
        ),
        (
            "identifiers",
            json!([{ "system": "a", "value": " " }]),
            "identifiers[0].value",
        ),
        (
            "identifiers",
            json!([{ "system": "a", "value": "1" }, { "system": "a", "value": "1" }]),
            "identifiers",
        ),
        (
            "birthDate",
            json!({ "value": "1983-13" }),
            "birthDate.value",
        ),
        ("language", json!("german!"), "language"),
        ("sex", json!("F"), "sex"),
        ("deceasedDate", json!("1980-01-01"), "deceasedDate"),
        ("contacts", json!([{ "name": "" }]), "contacts[0].name"),
        (
            "phones",
            json!(vec![json!({ "number": "12345" }); 21]),
            "phones",
        ),
    ] {
        let refused = admin.create(&with(milo(), field, value)).await;
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "{field}: {}",
            refused.body
        );
        assert!(
            refused.body["errors"][error].is_string(),
            "{error}: {}",
            refused.body
        );
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_identifier_belongs_to_one_patient_also_while_they_are_deleted(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&milo()).await;
    let refused = admin.create(&milo()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.body["existingPatientId"], id, "{}", refused.body);
    let other = with(milo(), "identifiers", json!([]));
    let other = format!("/api/patients/{}", admin.created(&other).await);
    let refused = admin.send(Method::PUT, &other, Some(&milo())).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    admin
        .send(Method::DELETE, &format!("/api/patients/{id}"), None)
        .await;
    assert_eq!(admin.create(&milo()).await.status, StatusCode::CONFLICT);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_refusal_names_the_other_patient_only_to_whom_may_see_them(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    assert_eq!(admin.create(&zoe()).await.body["existingPatientId"], id);
    sqlx::query("UPDATE patients.patient SET restricted = true")
        .execute(&database)
        .await
        .unwrap();
    let receptionist = Call {
        role: identity::Role::Receptionist,
        ..admin
    };
    let refused = receptionist.create(&zoe()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.body["existingPatientId"], Value::Null);
    assert_eq!(admin.create(&zoe()).await.body["existingPatientId"], id);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_clinic_may_let_families_share_a_mailbox(database: PgPool) {
    let unique = Call::as_admin(&database);
    let shared = Call {
        emails: EmailRule::Shared,
        ..unique
    };
    unique.created(&zoe()).await;
    shared.created(&zoe()).await;
    shared
        .created(&json!({ "name": "Child", "dateOfBirth": "2020-01-01" }))
        .await;
    // Those who share one count for those who may not.
    assert_eq!(unique.create(&zoe()).await.status, StatusCode::CONFLICT);
    let refused = unique
        .create(&json!({ "name": "Child", "dateOfBirth": "2020-01-01" }))
        .await;
    assert_eq!(refused.body["errors"]["email"], "Email is required");
    unique
        .created(&json!({ "name": "Child", "dateOfBirth": "2020-01-01", "emails": [] }))
        .await;
}

/// As a page does that sends back what it has read, with a field that somebody has emptied.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_official_name_cannot_be_taken_away(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&milo()).await;
    let path = format!("/api/patients/{id}");
    let read = admin.send(Method::GET, &path, None).await.body;
    for blank in [json!(""), json!(" "), Value::Null] {
        let refused = with(read.clone(), "name", blank);
        let refused = admin.send(Method::PUT, &path, Some(&refused)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.body["errors"]["name"], "Name is required");
    }
    assert_eq!(admin.send(Method::GET, &path, None).await.body, read);
    let refused = with(milo(), "name", Value::Null);
    assert_eq!(admin.create(&refused).await.status, StatusCode::BAD_REQUEST);
}

/// A page of a hundred has to fit into what a function can answer with.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_record_is_no_longer_than_a_page_can_show(database: PgPool) {
    let admin = Call::as_admin(&database);
    let addresses = |letter: &str| {
        let address = json!({ "text": letter.repeat(300) });
        with(milo(), "addresses", json!(vec![address; 20]))
    };
    let long = admin.create(&addresses("x")).await;
    assert_eq!(long.status, StatusCode::CREATED, "{}", long.body);
    let too_long = admin.create(&addresses("\u{8033}")).await;
    assert_eq!(
        too_long.status,
        StatusCode::BAD_REQUEST,
        "{}",
        too_long.body
    );
    let said = too_long.body["detail"].as_str().unwrap();
    assert!(said.ends_with("they cannot exceed 16 KiB"), "{said}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_an_empty_list_removes_a_mailbox_or_an_address(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    let read = admin.send(Method::GET, &path, None).await.body;
    for (field, list, error) in [
        ("email", "emails", "Email is required"),
        ("address", "addresses", "Address is required"),
    ] {
        let mut without_list = read.clone();
        without_list.as_object_mut().unwrap().remove(list);
        for from in [&read, &without_list] {
            for blank in [json!(""), json!(" "), Value::Null] {
                let refused = with(from.clone(), field, blank);
                let refused = admin.send(Method::PUT, &path, Some(&refused)).await;
                assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
                assert_eq!(refused.body["errors"][field], error);
            }
        }
    }
    let without = with(with(read, "email", Value::Null), "emails", json!([]));
    let without = admin.send(Method::PUT, &path, Some(&without)).await;
    assert_eq!(without.status, StatusCode::OK, "{}", without.body);
    assert_eq!(without.body["emails"], json!([]));
    // And what was read of somebody without can be sent back.
    let again = admin.send(Method::PUT, &path, Some(&without.body)).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_shares_a_mailbox_can_be_changed_when_nobody_may_share_any_more(database: PgPool) {
    let unique = Call::as_admin(&database);
    let shared = Call {
        emails: EmailRule::Shared,
        ..unique
    };
    let alone = with(zoe(), "email", "alone@clinic.example");
    let alone = unique.created(&alone).await;
    let ids = [unique.created(&zoe()).await, shared.created(&zoe()).await];
    for id in &ids {
        let path = format!("/api/patients/{id}");
        let moved = with(zoe(), "address", "2 Main St");
        let changed = unique.send(Method::PUT, &path, Some(&moved)).await;
        assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    }
    // Nobody else gets the mailbox, and who was deleted does not get it back.
    let path = format!("/api/patients/{alone}");
    let refused = unique.send(Method::PUT, &path, Some(&zoe())).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let path = format!("/api/patients/{}", ids[1]);
    unique.send(Method::DELETE, &path, None).await;
    let restored = unique
        .send(Method::POST, &format!("{path}/restore"), None)
        .await;
    assert_eq!(restored.status, StatusCode::CONFLICT, "{}", restored.body);
}

/// Rows from before there was a record.
#[sqlx::test(migrations = false)]
async fn patients_of_before_get_a_record_and_a_history_and_are_found(database: PgPool) {
    let all = schemas::Service::Patients.migrations();
    let before = all.iter().filter(|migration| migration.version < 13);
    let before = Migrator::with_migrations(before.cloned().collect());
    before.run(&database).await.unwrap();
    let [first, second] = [(); 2].map(|()| Uuid::now_v7());
    sqlx::raw_sql(AssertSqlSafe(format!(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, registered_date, created_at, updated_at)
         VALUES ('{second}', 3, 'Łukasz Nowak', 'l@clinic.example', 'here', '2000-02-29', '2024-01-10',
                 '2024-01-10T09:00Z', '2024-02-10T09:00Z'),
                ('{first}', 1, 'Zoë Feil', 'z@clinic.example', '1 Main St', '1983-11-14', '2024-01-10',
                 '2024-01-10T09:00:00.123456Z', '2024-01-10T09:00:00.123456Z')"
    )))
    .execute(&database)
    .await
    .unwrap();
    crate::SCHEMAS.run(&database).await.unwrap();
    relay(&database, &delivery()).await;

    let admin = Call::as_admin(&database);
    let path = format!("/api/patients/{first}");
    let read = admin.send(Method::GET, &path, None).await.body;
    assert_eq!(read["recordNumber"], "100001");
    assert_eq!(read["names"][0]["text"], "Zoë Feil");
    let version = admin
        .send(Method::GET, &format!("{path}/versions/1"), None)
        .await;
    assert_eq!(version.body, read);
    let found = admin
        .send(Method::GET, "/api/patients?q=lukasz", None)
        .await
        .body;
    assert_eq!(found["patients"][0]["id"], second.to_string());
    assert_eq!(found["patients"][0]["recordNumber"], "100002");
    let path = format!("/api/patients/{second}");
    let read = admin.send(Method::GET, &path, None).await.body;
    let moved = with(read, "address", "there");
    admin.send(Method::PUT, &path, Some(&moved)).await;
    let path = format!("/api/patients/{second}/history");
    let history = admin.send(Method::GET, &path, None).await.body;
    let changed = history["versions"][1]["changes"].as_array().unwrap();
    let changed: Vec<_> = changed.iter().map(|change| &change["field"]).collect();
    assert_eq!(changed, ["address", "addresses"], "{history}");
    assert_eq!(history["versions"][0]["version"], 3);
    assert_eq!(history["versions"][0]["kind"], "UPDATE");
    let next = admin.create(&zoe()).await.body;
    assert_eq!(next["recordNumber"], "100003");
}
