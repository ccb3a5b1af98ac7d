//! Two records of one patient become one, and two again.

use axum::http::{Method, StatusCode};
use futures::future::join_all;
use identity::Role;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixtures::{Answer, Call, with, zoe};

fn duplicate() -> Value {
    json!({
        "names": [{ "use": "OFFICIAL", "text": "Zoe Omega" }],
        "emails": [{ "address": "zoe@work.example" }],
        "phones": [{ "number": "+44 20 7946 0958" }],
        "addresses": [],
        "identifiers": [{ "system": "insurance", "value": "M-4711" }],
        "dateOfBirth": "2000-02-29",
        "sex": "FEMALE",
    })
}

async fn merge(call: Call<'_>, survivor: &str, duplicate: &str) -> Answer {
    let body = json!({ "survivorId": survivor, "duplicateId": duplicate });
    call.send(Method::POST, "/api/patients/merges", Some(&body))
        .await
}

async fn undo(call: Call<'_>, merge: &Value) -> Answer {
    let path = format!("/api/patients/merges/{}/undo", merge.as_str().unwrap());
    call.send(Method::POST, &path, None).await
}

async fn read(call: Call<'_>, patient: &str) -> Value {
    let path = format!("/api/patients/{patient}");
    let answer = call.send(Method::GET, &path, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

/// What the patient is, apart from when that was written.
fn content(patient: &Value) -> Value {
    let mut patient = patient.clone();
    for field in ["version", "updatedAt"] {
        patient.as_object_mut().unwrap().remove(field);
    }
    patient
}

async fn changes(database: &PgPool, patient: &str) -> Vec<String> {
    let payloads: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT payload FROM patients.outbox
         WHERE patient_id = $1::uuid AND kind = 'PATIENT_EVENT' ORDER BY sequence",
    )
    .bind(patient)
    .fetch_all(database)
    .await
    .unwrap();
    let events = payloads
        .iter()
        .map(|payload| events::PatientEvent::decode(payload).unwrap());
    events.map(|event| event.change.kind().to_owned()).collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_survivor_gets_what_the_duplicate_has(database: PgPool) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    let before = (read(call, &survivor).await, read(call, &other).await);
    let dry = json!({ "survivorId": survivor, "duplicateId": other, "dryRun": true });
    let preview = call
        .send(Method::POST, "/api/patients/merges", Some(&dry))
        .await;
    assert_eq!(
        (preview.status, &preview.body["id"]),
        (StatusCode::OK, &Value::Null)
    );
    assert_eq!(read(call, &survivor).await, before.0);

    let merged = merge(call, &survivor, &other).await;
    assert_eq!(merged.status, StatusCode::CREATED, "{}", merged.body);
    assert_eq!(
        content(&merged.body["survivor"]),
        content(&preview.body["survivor"])
    );
    let after = read(call, &survivor).await;
    assert_eq!(after, merged.body["survivor"]);
    assert_eq!(after["version"], 2);
    assert_eq!(after["name"], zoe()["name"]);
    assert_eq!(after["sex"], "FEMALE");
    assert_eq!(after["emails"].as_array().unwrap().len(), 2);
    assert_eq!(after["identifiers"], before.1["identifiers"]);
    assert_eq!(after["names"][1]["text"], "Zoe Omega");
    assert_eq!(after["names"][1]["use"], "FORMER");
    let gone = read(call, &other).await;
    assert_eq!(
        (&gone["mergedInto"], &gone["active"]),
        (&json!(survivor), &json!(false))
    );
    assert_eq!(changes(&database, &other).await, ["created", "merged"]);
    assert_eq!(changes(&database, &survivor).await, ["created", "updated"]);

    // Nobody writes to what was merged away.
    let path = format!("/api/patients/{other}");
    let write = call.send(Method::PUT, &path, Some(&duplicate())).await;
    assert_eq!(write.status, StatusCode::CONFLICT);
    let again = merge(call, &survivor, &other).await;
    assert_eq!(again.status, StatusCode::CONFLICT);

    let undone = undo(call, &merged.body["id"]).await;
    assert_eq!(undone.status, StatusCode::OK, "{}", undone.body);
    let restored = (read(call, &survivor).await, read(call, &other).await);
    assert_eq!(content(&restored.0), content(&before.0));
    assert_eq!(content(&restored.1), content(&before.1));
    assert_eq!(
        (&restored.0["version"], &restored.1["version"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(
        changes(&database, &other).await,
        ["created", "merged", "unmerged"]
    );
    let twice = undo(call, &merged.body["id"]).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn fields_are_taken_from_whom_the_caller_says(database: PgPool) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    let body = |fields: Value| {
        json!({ "survivorId": survivor, "duplicateId": other, "fields": fields,
                "survivorVersion": 1, "duplicateVersion": 1 })
    };
    for (fields, status) in [
        (json!({ "sex": "BOTH" }), StatusCode::BAD_REQUEST),
        (json!({ "hat": "SURVIVOR" }), StatusCode::BAD_REQUEST),
        (
            json!({ "name": "DUPLICATE", "emails": "DUPLICATE", "addresses": "SURVIVOR" }),
            StatusCode::CREATED,
        ),
    ] {
        let answer = call
            .send(Method::POST, "/api/patients/merges", Some(&body(fields)))
            .await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let after = read(call, &survivor).await;
    assert_eq!(after["name"], "Zoe Omega");
    assert_eq!(after["email"], "zoe@work.example");
    assert_eq!(after["address"], "1 Main St");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn another_version_than_the_one_that_was_read_is_not_merged(database: PgPool) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    for field in ["survivorVersion", "duplicateVersion"] {
        let body = with(
            json!({ "survivorId": survivor, "duplicateId": other }),
            field,
            2,
        );
        let answer = call
            .send(Method::POST, "/api/patients/merges", Some(&body))
            .await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    }
    let own = merge(call, &survivor, &survivor).await;
    assert_eq!(own.status, StatusCode::BAD_REQUEST);
    let unknown = merge(call, &survivor, &Uuid::now_v7().to_string()).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let receptionist = Call {
        role: Role::Receptionist,
        ..call
    };
    assert_eq!(
        merge(receptionist, &survivor, &other).await.status,
        StatusCode::FORBIDDEN
    );
    let path = format!("/api/patients/{other}");
    call.send(Method::DELETE, &path, None).await;
    assert_eq!(
        merge(call, &survivor, &other).await.status,
        StatusCode::NOT_FOUND
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_merge_is_not_undone_after_a_change(database: PgPool) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    let merged = merge(call, &survivor, &other).await;
    let path = format!("/api/patients/{survivor}");
    let change = with(read(call, &survivor).await, "language", "en");
    let changed = call.send(Method::PUT, &path, Some(&change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let undone = undo(call, &merged.body["id"]).await;
    assert_eq!(undone.status, StatusCode::CONFLICT);
    assert_eq!(read(call, &other).await["mergedInto"], survivor.as_str());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn chains_are_flat_and_unmerge_in_the_reverse_order(database: PgPool) {
    let call = Call::as_admin(&database);
    let person = |n: u32| {
        with(
            with(zoe(), "email", format!("z{n}@clinic.example")),
            "name",
            format!("Zoe {n}"),
        )
    };
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(call.created(&person(n)).await);
    }
    let canonical = async |of: &str| -> String {
        let id: Uuid = sqlx::query_scalar("SELECT patients.canonical($1::uuid)")
            .bind(of)
            .fetch_one(&database)
            .await
            .unwrap();
        id.to_string()
    };
    let mut merges = Vec::new();
    for pair in ids.windows(2) {
        let merged = merge(call, &pair[1], &pair[0]).await;
        assert_eq!(merged.status, StatusCode::CREATED, "{}", merged.body);
        merges.push(merged.body["id"].clone());
        for id in &ids[..=ids.iter().position(|id| *id == pair[1]).unwrap()] {
            assert_eq!(canonical(id).await, pair[1]);
        }
    }
    let all: Vec<Uuid> = sqlx::query_scalar("SELECT unnest(patients.ids_of($1::uuid))")
        .bind(&ids[0])
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(all.len(), 4);
    // Whoever is merged away cannot be a survivor.
    assert_eq!(
        merge(call, &ids[0], &ids[3]).await.status,
        StatusCode::CONFLICT
    );
    assert_eq!(undo(call, &merges[0]).await.status, StatusCode::CONFLICT);
    for (place, id) in merges.iter().enumerate().rev() {
        let undone = undo(call, id).await;
        assert_eq!(undone.status, StatusCode::OK, "{}", undone.body);
        assert_eq!(canonical(&ids[0]).await, ids[place]);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn two_merges_of_the_same_pair_leave_one_survivor(database: PgPool) {
    let call = Call::as_admin(&database);
    for round in 0..5 {
        let person = |n: u32| with(zoe(), "email", format!("z{round}{n}@clinic.example"));
        let (one, other) = (
            call.created(&person(0)).await,
            call.created(&person(1)).await,
        );
        let both = [(&one, &other), (&other, &one)];
        let answers = join_all(both.map(|(one, other)| merge(call, one, other))).await;
        let mut statuses: Vec<u16> = answers
            .iter()
            .map(|answer| answer.status.as_u16())
            .collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        let merged = [read(call, &one).await, read(call, &other).await];
        let away = merged
            .iter()
            .filter(|patient| !patient["mergedInto"].is_null());
        assert_eq!(away.count(), 1);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn if_one_was_restricted_the_survivor_is(database: PgPool) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE id = $1::uuid")
        .bind(&other)
        .execute(&database)
        .await
        .unwrap();
    let merged = merge(call, &survivor, &other).await;
    assert_eq!(merged.body["survivor"]["restricted"], true);
    let receptionist = Call {
        role: Role::Receptionist,
        ..call
    };
    for id in [&survivor, &other] {
        let path = format!("/api/patients/{id}");
        let closed = receptionist.send(Method::GET, &path, None).await;
        assert_eq!(closed.status, StatusCode::FORBIDDEN, "{}", closed.body);
    }
    let undone = undo(call, &merged.body["id"]).await;
    assert_eq!(undone.body["survivor"]["restricted"], false);
    assert_eq!(undone.body["duplicate"]["restricted"], true);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn relationships_family_and_groups_are_the_survivors(database: PgPool) {
    let call = Call::as_admin(&database);
    let person = |n: u32| {
        with(
            with(zoe(), "email", format!("z{n}@clinic.example")),
            "name",
            format!("Zoe {n}"),
        )
    };
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(call.created(&person(n)).await);
    }
    let [survivor, other, child, parent] = &*ids else {
        panic!()
    };
    let relate = async |patient: &str, with: &str, role: &str| {
        let path = format!("/api/patients/{patient}/relationships");
        let body = json!({ "patientId": with, "role": role });
        let answer = call.send(Method::POST, &path, Some(&body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    };
    relate(survivor, child, "CHILD").await;
    relate(other, child, "CHILD").await;
    relate(other, parent, "PARENT").await;
    relate(other, survivor, "SIBLING").await;
    let path = format!("/api/patients/{other}/family");
    let home = json!({ "headId": other, "address": "1 Main St", "memberIds": [child] });
    call.send(Method::PUT, &path, Some(&home)).await;
    let body = json!({ "name": "Ward 4" });
    let group = call
        .send(Method::POST, "/api/groups", Some(&body))
        .await
        .body["id"]
        .clone();
    let group = group.as_str().unwrap();
    let member = format!("/api/groups/{group}/members/{other}");
    call.send(Method::PUT, &member, None).await;

    let belongings = async |patient: &str| {
        let path = format!("/api/patients/{patient}/family");
        let family = call.send(Method::GET, &path, None).await.body;
        let members = family["members"].as_array().unwrap().iter();
        let mut members: Vec<String> = members
            .map(|member| format!("{} {}", member["patient"]["name"], member["role"]))
            .collect();
        members.sort();
        let path = format!("/api/groups?patientId={patient}");
        let groups = call.send(Method::GET, &path, None).await.body;
        (
            members,
            family["headId"].clone(),
            groups["groups"].as_array().unwrap().len(),
        )
    };
    let before = (belongings(survivor).await, belongings(other).await);
    let merged = merge(call, survivor, other).await;
    assert_eq!(merged.status, StatusCode::CREATED, "{}", merged.body);
    let (members, head, groups) = belongings(survivor).await;
    assert_eq!(members, ["\"Zoe 2\" \"CHILD\"", "\"Zoe 3\" \"PARENT\""]);
    assert_eq!((head, groups), (json!(survivor), 1));
    assert_eq!(belongings(child).await.0.len(), 1);
    undo(call, &merged.body["id"]).await;
    assert_eq!(
        (belongings(survivor).await, belongings(other).await),
        before
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_repeated_merge_has_one_effect(database: PgPool) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    let call = Call {
        key: Some("0b9a3e0e-1d53-4d7c-8a52-1f3f4c6f7a01"),
        ..call
    };
    let first = merge(call, &survivor, &other).await;
    let second = merge(call, &survivor, &other).await;
    assert_eq!(
        (first.status, second.status),
        (StatusCode::CREATED, StatusCode::CREATED)
    );
    assert_eq!(first.body, second.body);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_merged_record_is_as_closed_as_the_survivor(database: PgPool) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    merge(call, &survivor, &other).await;
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE id = $1::uuid")
        .bind(&survivor)
        .execute(&database)
        .await
        .unwrap();
    let receptionist = Call {
        role: Role::Receptionist,
        ..call
    };
    let auditor = Call {
        role: Role::Auditor,
        ..call
    };
    let path = format!("/api/patients/{other}");
    for path in [
        path.clone(),
        format!("{path}/history"),
        format!("{path}/versions/1"),
    ] {
        let refused = receptionist.send(Method::GET, &path, None).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    call.send(Method::DELETE, &format!("/api/patients/{survivor}"), None)
        .await;
    let gone = call.send(Method::GET, &path, None).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(gone.body["type"].as_str().unwrap().ends_with(":deleted"));
    let history = auditor
        .send(Method::GET, &format!("{path}/history"), None)
        .await;
    assert_eq!(history.status, StatusCode::OK, "{}", history.body);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_merged_record_is_restricted_opened_closed_and_erased_with_the_survivor(
    database: PgPool,
) {
    crate::fixtures::log_in_the_caller(&database).await;
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    merge(call, &survivor, &other).await;
    let is_restricted = async || -> bool {
        sqlx::query_scalar("SELECT patients.is_restricted($1::uuid)")
            .bind(&other)
            .fetch_one(&database)
            .await
            .unwrap()
    };
    let path = format!("/api/patients/{survivor}");
    for restricted in [true, false, true] {
        let body = json!({ "restricted": restricted });
        let restriction = format!("{path}/restriction");
        let answer = call.send(Method::PUT, &restriction, Some(&body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(is_restricted().await, restricted);
    }
    sqlx::query("DELETE FROM patients.outbox")
        .execute(&database)
        .await
        .unwrap();
    call.send(Method::DELETE, &path, None).await;
    let closed: Vec<Uuid> = sqlx::query_scalar(
        "SELECT patient_id FROM patients.outbox WHERE kind = 'BILLING_CLOSURE' ORDER BY patient_id",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    let mut both: Vec<Uuid> = [&survivor, &other].map(|id| id.parse().unwrap()).into();
    both.sort_unstable();
    assert_eq!(closed, both);
    let reason = json!({ "reason": "They have asked for it" });
    let erase = format!("{path}/erase");
    let erased = call.send(Method::POST, &erase, Some(&reason)).await;
    assert_eq!(erased.status, StatusCode::NO_CONTENT, "{}", erased.body);
    // What is left elsewhere under its id stays closed.
    assert!(is_restricted().await);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nothing_of_a_restricted_record_remains_to_be_read_after_a_merge_is_undone(
    database: PgPool,
) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE id = $1::uuid")
        .bind(&other)
        .execute(&database)
        .await
        .unwrap();
    let merged = merge(call, &survivor, &other).await;
    undo(call, &merged.body["id"]).await;
    let receptionist = Call {
        role: Role::Receptionist,
        ..call
    };
    let path = format!("/api/patients/{survivor}");
    let open = receptionist.send(Method::GET, &path, None).await;
    assert_eq!(open.status, StatusCode::OK);
    let history = format!("{path}/history");
    let seen = receptionist.send(Method::GET, &history, None).await.body;
    assert_eq!(seen["versions"].as_array().unwrap().len(), 3);
    assert!(!seen.to_string().contains("M-4711"), "{seen}");
    let version = format!("{path}/versions/2");
    let refused = receptionist.send(Method::GET, &version, None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    let all = call.send(Method::GET, &history, None).await.body;
    assert!(all.to_string().contains("M-4711"), "{all}");
}

async fn people<const N: usize>(call: Call<'_>) -> [String; N] {
    let mut ids = Vec::new();
    for n in 0..N {
        let person = with(zoe(), "email", format!("z{n}@clinic.example"));
        ids.push(
            call.created(&with(person, "name", format!("Zoe {n}")))
                .await,
        );
    }
    ids.try_into().unwrap()
}

/// Whom a patient is related to.
async fn related(call: Call<'_>, patient: &str) -> Vec<(Value, Value, Value)> {
    let path = format!("/api/patients/{patient}/family");
    let family = call.send(Method::GET, &path, None).await.body;
    let members = family["members"].as_array().unwrap().iter();
    members
        .map(|member| {
            let id = member["patient"]["id"].clone();
            (id, member["role"].clone(), member["to"].clone())
        })
        .collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn merges_of_both_who_are_related_can_be_undone_in_any_order(database: PgPool) {
    let call = Call::as_admin(&database);
    let [one, survivor, other, second] = people(call).await;
    let path = format!("/api/patients/{one}/relationships");
    let body = json!({ "patientId": other, "role": "PARENT" });
    for first_is_undone_first in [true, false] {
        let related_before = call.send(Method::POST, &path, Some(&body)).await;
        let is_new = related_before.status == StatusCode::CREATED;
        assert_eq!(is_new, first_is_undone_first, "{}", related_before.body);
        let first = merge(call, &survivor, &one).await;
        let next = merge(call, &second, &other).await;
        let parent = |id: &str| vec![(json!(id), json!("PARENT"), Value::Null)];
        assert_eq!(related(call, &survivor).await, parent(&second));
        if first_is_undone_first {
            undo(call, &first.body["id"]).await;
            assert_eq!(related(call, &one).await, parent(&second));
            undo(call, &next.body["id"]).await;
        } else {
            undo(call, &next.body["id"]).await;
            assert_eq!(related(call, &survivor).await, parent(&other));
            undo(call, &first.body["id"]).await;
        }
        assert_eq!(related(call, &one).await, parent(&other));
        assert!(related(call, &survivor).await.is_empty());
        assert!(related(call, &second).await.is_empty());
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_both_had_lasts_as_long_as_that_of_either_and_parts_again(database: PgPool) {
    let call = Call::as_admin(&database);
    let [survivor, other] = people(call).await;
    let mut groups = Vec::new();
    for name in ["Diabetes", "Ward 4"] {
        let body = json!({ "name": name });
        let group = call.send(Method::POST, "/api/groups", Some(&body)).await;
        groups.push(group.body["id"].as_str().unwrap().to_owned());
    }
    let member = async |group: &str, patient: &str, days: Value| {
        let path = format!("/api/groups/{group}/members/{patient}");
        let answer = call.send(Method::PUT, &path, Some(&days)).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    };
    let days = async |group: &str, patient: &str| -> (Option<String>, Option<String>) {
        sqlx::query_as(
            "SELECT valid_from::text, valid_to::text FROM patients.group_member
             WHERE group_id = $1::uuid AND patient_id = $2::uuid",
        )
        .bind(group)
        .bind(patient)
        .fetch_one(&database)
        .await
        .unwrap()
    };
    let period = |from: &str, to: Option<&str>| (Some(from.to_owned()), to.map(ToOwned::to_owned));
    for group in &groups {
        let over = json!({ "from": "2020-01-01", "to": "2021-01-01" });
        member(group, &survivor, over).await;
        member(group, &other, json!({ "from": "2022-01-01" })).await;
    }
    let merged = merge(call, &survivor, &other).await;
    for group in &groups {
        assert_eq!(days(group, &survivor).await, period("2020-01-01", None));
    }
    // In one of the groups it ends before the merge is undone: it does not begin again.
    let ended = json!({ "from": "2020-01-01", "to": "2023-05-05" });
    member(&groups[1], &survivor, ended).await;
    undo(call, &merged.body["id"]).await;
    let as_before = period("2020-01-01", Some("2021-01-01"));
    assert_eq!(days(&groups[0], &survivor).await, as_before);
    assert_eq!(days(&groups[0], &other).await, period("2022-01-01", None));
    let ended = period("2020-01-01", Some("2023-05-05"));
    assert_eq!(days(&groups[1], &survivor).await, ended);
    let ended = period("2022-01-01", Some("2023-05-05"));
    assert_eq!(days(&groups[1], &other).await, ended);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_survivor_is_head_of_the_family_in_the_duplicates_place(database: PgPool) {
    let call = Call::as_admin(&database);
    let [survivor, other, child] = people(call).await;
    let path = format!("/api/patients/{child}/family");
    let home = json!({ "headId": other, "memberIds": [survivor, other] });
    let family = call.send(Method::PUT, &path, Some(&home)).await;
    assert_eq!(family.status, StatusCode::OK, "{}", family.body);
    let merged = merge(call, &survivor, &other).await;
    let now = call.send(Method::GET, &path, None).await;
    assert_eq!(now.body["headId"], survivor.as_str());
    // Whoever has read the family before does not replace it as it is now.
    let nobody = json!({ "memberIds": [] });
    let stale = Call {
        if_match: family.etag.as_deref(),
        ..call
    };
    let refused = stale.send(Method::PUT, &path, Some(&nobody)).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    undo(call, &merged.body["id"]).await;
    let again = call.send(Method::GET, &path, None).await;
    assert_eq!(again.body["headId"], other.as_str());
    assert_ne!(again.etag, now.etag);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_undone_merge_is_on_record_with_everybody_whom_it_moved(database: PgPool) {
    let call = Call::as_admin(&database);
    let [survivor, middle, first] = people(call).await;
    merge(call, &middle, &first).await;
    let merged = merge(call, &survivor, &middle).await;
    let keyed = Call {
        key: Some("undo"),
        ..call
    };
    let mut all = vec![survivor, middle, first];
    all.sort();
    // Whoever repeats it sees all of them once more.
    for times in 1..=2 {
        let undone = undo(keyed, &merged.body["id"]).await;
        assert_eq!(undone.status, StatusCode::OK, "{}", undone.body);
        let named: Vec<Vec<String>> = sqlx::query_scalar(
            "SELECT ARRAY(SELECT id::text FROM unnest(patient_ids) AS id ORDER BY id::text)
             FROM audit.record WHERE action = 'UNDO_MERGE'",
        )
        .fetch_all(&database)
        .await
        .unwrap();
        assert_eq!(named, vec![all.clone(); times]);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_erased_patient_leaves_nothing_in_whom_they_were_once_merged_into(database: PgPool) {
    let call = Call::as_admin(&database);
    let (survivor, other) = (call.created(&zoe()).await, call.created(&duplicate()).await);
    let [third] = people(call).await;
    let keyed = |key| Call {
        key: Some(key),
        ..call
    };
    // Into one record, and with that one into another.
    let first = merge(keyed("merge-1"), &survivor, &other).await;
    let next = merge(keyed("merge-2"), &third, &survivor).await;
    for (key, merged) in [("undo-2", &next), ("undo-1", &first)] {
        let undone = undo(keyed(key), &merged.body["id"]).await;
        assert_eq!(undone.status, StatusCode::OK, "{}", undone.body);
    }
    let traces = async || -> i64 {
        sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM patients.patient_version WHERE snapshot::text LIKE '%M-4711%')
                  + (SELECT count(*) FROM patients.merge WHERE merge::text LIKE '%M-4711%')
                  + (SELECT count(*) FROM patients.idempotency_key
                     WHERE position('M-4711' IN convert_from(body, 'UTF8')) > 0)",
        )
        .fetch_one(&database)
        .await
        .unwrap()
    };
    assert!(traces().await > 4);
    let path = format!("/api/patients/{other}");
    call.send(Method::DELETE, &path, None).await;
    let body = json!({ "reason": "The patient asked for it in writing" });
    let erased = call
        .send(Method::POST, &format!("{path}/erase"), Some(&body))
        .await;
    assert_eq!(erased.status, StatusCode::NO_CONTENT, "{}", erased.body);
    assert_eq!(traces().await, 0);
    // Their histories are what they were, apart from that.
    for patient in [&survivor, &third] {
        let path = format!("/api/patients/{patient}/history");
        let history = call.send(Method::GET, &path, None).await.body;
        let versions = history["versions"].as_array().unwrap();
        assert_eq!(versions.first().unwrap()["kind"], "CREATE");
        assert_eq!(versions.last().unwrap()["kind"], "UNMERGE");
        assert!(versions.len() >= 3, "{history}");
    }
}
