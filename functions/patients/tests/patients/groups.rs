//! Groups of patients.

use axum::http::{Method, StatusCode};
use identity::Role;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixtures::{Answer, Call, with, zoe};

async fn group(call: Call<'_>) -> String {
    let body = json!({ "name": "Diabetes", "purpose": "PROGRAMME" });
    let answer = call.send(Method::POST, "/api/groups", Some(&body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let id = answer.body["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.location, Some(format!("groups/{id}")));
    id
}

async fn person(call: Call<'_>, name: &str) -> String {
    let email = format!("{name}@clinic.example");
    call.created(&with(with(zoe(), "email", email), "name", name))
        .await
}

async fn member(call: Call<'_>, method: Method, at: (&str, &str), body: Option<Value>) -> Answer {
    let path = format!("/api/groups/{}/members/{}", at.0, at.1);
    call.send(method, &path, body.as_ref()).await
}

async fn names(call: Call<'_>, path: &str) -> Vec<String> {
    let answer = call.send(Method::GET, path, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let members = answer.body["members"].as_array().unwrap().iter();
    let names: Vec<String> = members
        .map(|member| member["patient"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(answer.body["memberCount"], names.len());
    names
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_is_in_a_group_for_a_time(database: PgPool) {
    let call = Call::as_admin(&database);
    let (group, ada) = (group(call).await, person(call, "Ada").await);
    let ben = person(call, "Ben").await;
    let path = format!("/api/groups/{group}");
    let added = member(call, Method::PUT, (&group, &ada), None).await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.body);
    let days = json!({ "from": "2026-01-01", "to": "2026-01-31" });
    member(call, Method::PUT, (&group, &ben), Some(days)).await;
    assert_eq!(names(call, &path).await, ["Ada"]);
    let january = format!("{path}?on=2026-01-31");
    assert_eq!(names(call, &january).await, ["Ada", "Ben"]);
    let february = format!("{path}?on=2026-02-01");
    assert_eq!(names(call, &february).await, ["Ada"]);

    // To put somebody in again changes the days, and no one is there twice.
    let open = member(call, Method::PUT, (&group, &ben), Some(json!({}))).await;
    assert_eq!(open.body["to"], Value::Null);
    assert_eq!(names(call, &path).await, ["Ada", "Ben"]);
    let of_ben = format!("/api/groups?patientId={ben}");
    let listed = call.send(Method::GET, &of_ben, None).await;
    assert_eq!(listed.body["groups"][0]["id"], group.as_str());
    let out = member(call, Method::DELETE, (&group, &ben), None).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    let again = member(call, Method::DELETE, (&group, &ben), None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(names(call, &path).await, ["Ada"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_members_of_a_group_can_be_searched(database: PgPool) {
    let call = Call::as_admin(&database);
    let (group, ada) = (group(call).await, person(call, "Ada").await);
    person(call, "Ben").await;
    member(call, Method::PUT, (&group, &ada), None).await;
    let search = async |body: Value| {
        let path = "/api/patients/search";
        call.send(Method::POST, path, Some(&body)).await
    };
    let found = search(json!({ "groupId": group })).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.body);
    let found = found.body["patients"].as_array().unwrap().clone();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["id"], ada.as_str());
    let unknown = search(json!({ "groupId": ada })).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn restricted_members_are_neither_listed_nor_counted(database: PgPool) {
    let call = Call::as_admin(&database);
    let (group, ada) = (group(call).await, person(call, "Ada").await);
    let ben = person(call, "Ben").await;
    for patient in [&ada, &ben] {
        member(call, Method::PUT, (&group, patient), None).await;
    }
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE name = 'Ada'")
        .execute(&database)
        .await
        .unwrap();
    let path = format!("/api/groups/{group}");
    let receptionist = Call {
        role: Role::Receptionist,
        ..call
    };
    assert_eq!(names(receptionist, &path).await, ["Ben"]);
    assert_eq!(names(call, &path).await, ["Ada", "Ben"]);
    for method in [Method::PUT, Method::DELETE] {
        let refused = member(receptionist, method, (&group, &ada), None).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    let of_ada = format!("/api/groups?patientId={ada}");
    let refused = receptionist.send(Method::GET, &of_ada, None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    // Whose data was looked at is on record.
    let seen: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT unnest(patient_ids) FROM audit.record
         WHERE action = 'READ_GROUPS' AND actor_role = 'RECEPTIONIST' AND outcome = 'SUCCEEDED'",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    assert_eq!(seen, [ben.parse::<uuid::Uuid>().unwrap()]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_group_that_is_not_in_use_takes_no_new_members(database: PgPool) {
    let call = Call::as_admin(&database);
    let (group, ada) = (group(call).await, person(call, "Ada").await);
    let ben = person(call, "Ben").await;
    member(call, Method::PUT, (&group, &ada), None).await;
    let path = format!("/api/groups/{group}");
    let closed = json!({ "name": "Diabetes 2025", "active": false });
    let closed = call.send(Method::PUT, &path, Some(&closed)).await;
    assert_eq!(closed.body["version"], 2);
    assert_eq!(closed.body["purpose"], Value::Null);
    let refused = member(call, Method::PUT, (&group, &ben), None).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    // Those who are in it can still leave.
    let days = json!({ "to": "2026-01-31" });
    let ended = member(call, Method::PUT, (&group, &ada), Some(days)).await;
    assert_eq!(ended.status, StatusCode::OK);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_group_that_was_read_can_be_written_back(database: PgPool) {
    let call = Call::as_admin(&database);
    let (group, ada) = (group(call).await, person(call, "Ada").await);
    let added = member(call, Method::PUT, (&group, &ada), None).await;
    let path = format!("/api/groups/{group}");
    let read = call.send(Method::GET, &path, None).await.body;
    let renamed = with(read, "name", "Diabetes 2027");
    let written = call.send(Method::PUT, &path, Some(&renamed)).await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.body);
    assert_eq!(written.body["name"], "Diabetes 2027");
    assert_eq!(written.body["purpose"], "PROGRAMME");
    assert_eq!(names(call, &path).await, ["Ada"]);
    // The membership, too: as it was answered, and as the group lists it.
    let listed = call.send(Method::GET, &path, None).await.body["members"][0].clone();
    for membership in [added.body, listed] {
        let ended = with(membership, "to", "2026-01-31");
        let ended = member(call, Method::PUT, (&group, &ada), Some(ended)).await;
        assert_eq!(ended.status, StatusCode::OK, "{}", ended.body);
        assert_eq!(ended.body["to"], "2026-01-31");
    }
    let misspelt = json!({ "name": "Diabetes", "activ": false });
    let refused = call.send(Method::PUT, &path, Some(&misspelt)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_group_is_opened_again_only_if_somebody_says_so(database: PgPool) {
    let call = Call::as_admin(&database);
    let path = format!("/api/groups/{}", group(call).await);
    for (body, active) in [
        (json!({ "name": "Diabetes" }), true),
        (json!({ "name": "Diabetes", "active": false }), false),
        (json!({ "name": "Diabetes 2025" }), false),
        (json!({ "name": "Diabetes 2025", "active": null }), false),
        (json!({ "name": "Diabetes 2025", "active": true }), true),
    ] {
        let changed = call.send(Method::PUT, &path, Some(&body)).await;
        assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
        assert_eq!(changed.body["active"], active, "{body}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_large_group_comes_in_pages(database: PgPool) {
    let call = Call::as_admin(&database);
    let group = group(call).await;
    sqlx::query(
        "WITH new AS (
             INSERT INTO patients.patient (id, version, name, email, address, date_of_birth, registered_date)
             SELECT uuidv7(), 1, 'N' || n, 'n' || n || '@clinic.example', 'A', '2000-01-01', '2020-01-01'
             FROM generate_series(1, 1100) AS n RETURNING id)
         INSERT INTO patients.group_member (group_id, patient_id) SELECT $1::uuid, id FROM new",
    )
    .bind(&group)
    .execute(&database)
    .await
    .unwrap();
    let mut path = format!("/api/groups/{group}?limit=100");
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let page = call.send(Method::GET, &path, None).await.body;
        assert_eq!(
            (&page["memberCount"], &page["moreMembers"]),
            (&json!(1000), &json!(true))
        );
        for member in page["members"].as_array().unwrap() {
            assert!(seen.insert(member["patient"]["id"].to_string()));
        }
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/api/groups/{group}?limit=100&cursor={cursor}");
    }
    assert_eq!(seen.len(), 1100);
}
