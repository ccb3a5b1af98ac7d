//! Who is related to whom, and who lives together.

use axum::http::{Method, StatusCode};
use identity::Role;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixtures::{Answer, Call, with, zoe};

async fn person(database: &PgPool, name: &str) -> String {
    let email = format!("{}@clinic.example", name.to_lowercase());
    let person = with(with(zoe(), "email", email), "name", name);
    Call::as_admin(database).created(&person).await
}

async fn relate(call: Call<'_>, patient: &str, other: &str, role: &str) -> Answer {
    let body = json!({ "patientId": other, "role": role });
    let path = format!("/api/patients/{patient}/relationships");
    call.send(Method::POST, &path, Some(&body)).await
}

async fn family(call: Call<'_>, patient: &str) -> Value {
    let path = format!("/api/patients/{patient}/family");
    let answer = call.send(Method::GET, &path, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

/// Everybody in the family with their role, in the order of the answer.
fn members(family: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let members = family["members"].as_array().unwrap().iter();
    let mut members: Vec<_> = members
        .map(|member| (text(&member["patient"]["name"]), text(&member["role"])))
        .collect();
    members.sort();
    members
}

fn pair(name: &str, role: &str) -> (String, String) {
    (name.to_owned(), role.to_owned())
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn each_of_the_two_sees_the_relationship_from_their_side(database: PgPool) {
    let call = Call::as_admin(&database);
    let (ada, ben) = (
        person(&database, "Ada").await,
        person(&database, "Ben").await,
    );
    for (child, parent) in [(&ada, &ben), (&ben, &ada)] {
        let answer = relate(call, child, parent, "PARENT").await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let id = answer.body["id"].as_str().unwrap();
        assert_eq!(answer.location, Some(format!("relationships/{id}")));
        let of_child = family(call, child).await;
        assert_eq!(members(&of_child)[0].1, "PARENT");
        assert_eq!(of_child["members"][0]["relationshipId"], id);
        assert_eq!(members(&family(call, parent).await)[0].1, "CHILD");

        // Deleted from either side, it is gone from both.
        let path = format!("/api/patients/{parent}/relationships/{id}");
        let deleted = call.send(Method::DELETE, &path, None).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
        let again = call.send(Method::DELETE, &path, None).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND);
        assert!(members(&family(call, child).await).is_empty());
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nobody_is_related_to_themselves_or_twice_in_the_same_way(database: PgPool) {
    let call = Call::as_admin(&database);
    let (ada, ben) = (
        person(&database, "Ada").await,
        person(&database, "Ben").await,
    );
    let own = relate(call, &ada, &ada, "SIBLING").await;
    assert_eq!(own.status, StatusCode::BAD_REQUEST);
    for (patient, other, role, status) in [
        (&ada, &ben, "PARENT", StatusCode::CREATED),
        (&ada, &ben, "PARENT", StatusCode::CONFLICT),
        (&ben, &ada, "CHILD", StatusCode::CONFLICT),
        // The other way round.
        (&ben, &ada, "PARENT", StatusCode::CONFLICT),
        (&ada, &ben, "GUARDIAN", StatusCode::CREATED),
        (&ada, &ben, "UNCLE", StatusCode::BAD_REQUEST),
    ] {
        let answer = relate(call, patient, other, role).await;
        assert_eq!(answer.status, status, "{role} {}", answer.body);
    }
    let unknown = uuid::Uuid::now_v7().to_string();
    let nobody = relate(call, &ada, &unknown, "PARENT").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_relationship_that_is_over_leaves_room_for_a_new_one(database: PgPool) {
    let call = Call::as_admin(&database);
    let (ada, ben) = (
        person(&database, "Ada").await,
        person(&database, "Ben").await,
    );
    let path = format!("/api/patients/{ada}/relationships");
    for (from, to, status) in [
        (
            json!("1990-05-01"),
            json!("2001-01-31"),
            StatusCode::CREATED,
        ),
        (json!("2001-01-31"), Value::Null, StatusCode::CONFLICT),
        (
            json!("2010-01-01"),
            json!("2009-01-01"),
            StatusCode::BAD_REQUEST,
        ),
        (json!("2010-01-01"), Value::Null, StatusCode::CREATED),
        (Value::Null, Value::Null, StatusCode::CONFLICT),
    ] {
        let body = json!({ "patientId": ben, "role": "SPOUSE", "from": from, "to": to });
        let answer = call.send(Method::POST, &path, Some(&body)).await;
        assert_eq!(answer.status, status, "{body} {}", answer.body);
    }
    // Only the one that is not over is a part of the family.
    let family = family(call, &ben).await;
    assert_eq!(members(&family), [pair("Ada", "SPOUSE")]);
    assert_eq!(family["members"][0]["from"], "2010-01-01");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_lives_together_has_a_head_and_an_address(database: PgPool) {
    let call = Call::as_admin(&database);
    let (ada, ben) = (
        person(&database, "Ada").await,
        person(&database, "Ben").await,
    );
    let cleo = person(&database, "Cleo").await;
    relate(call, &ada, &ben, "CHILD").await;
    let put = async |patient: &str, body: Value, tag| {
        let call = Call {
            if_match: tag,
            ..call
        };
        let path = format!("/api/patients/{patient}/family");
        call.send(Method::PUT, &path, Some(&body)).await
    };
    let body = json!({ "headId": ada, "address": "1 Main St", "memberIds": [ben, cleo] });
    let answer = put(&ada, body.clone(), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.etag.as_deref(), Some("\"1\""));
    let seen = family(call, &ben).await;
    assert_eq!(
        members(&seen),
        [pair("Ada", "PARENT"), pair("Cleo", "HOUSEHOLD_MEMBER")]
    );
    assert_eq!(seen["headId"], ada.as_str());
    assert_eq!(seen["address"], "1 Main St");

    // Cleo moves out, into a family of her own; somebody else's change is not overwritten.
    let own = put(&cleo, json!({ "headId": cleo, "memberIds": [] }), None).await;
    assert_eq!(own.body["headId"], cleo.as_str());
    assert_eq!(members(&family(call, &ada).await), [pair("Ben", "CHILD")]);
    let stale = put(&ada, body, Some("\"1\"")).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let stranger = put(&ada, json!({ "headId": cleo, "memberIds": [ben] }), None).await;
    assert_eq!(stranger.status, StatusCode::BAD_REQUEST);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_family_that_was_read_can_be_written_back(database: PgPool) {
    let call = Call::as_admin(&database);
    let (ada, ben) = (
        person(&database, "Ada").await,
        person(&database, "Ben").await,
    );
    let cleo = person(&database, "Cleo").await;
    // Ben is her child, and lives elsewhere.
    relate(call, &ada, &ben, "CHILD").await;
    let path = format!("/api/patients/{ada}/family");
    let body = json!({ "headId": ada, "address": "1 Main St", "memberIds": [cleo] });
    call.send(Method::PUT, &path, Some(&body)).await;
    let read = family(call, &ada).await;
    assert_eq!(read["memberIds"], json!([cleo]));
    let moved = with(read.clone(), "address", "2 Main St");
    let written = call.send(Method::PUT, &path, Some(&moved)).await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.body);
    assert_eq!(written.body["address"], "2 Main St");
    for same in ["id", "headId", "memberIds", "members"] {
        assert_eq!(written.body[same], read[same], "{same}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn restricted_relatives_are_closed_to_most_of_the_staff(database: PgPool) {
    let admin = Call::as_admin(&database);
    let (ada, ben) = (
        person(&database, "Ada").await,
        person(&database, "Ben").await,
    );
    relate(admin, &ada, &ben, "PARENT").await;
    let body = json!({ "headId": ben, "memberIds": [ben] });
    let path = format!("/api/patients/{ada}/family");
    admin.send(Method::PUT, &path, Some(&body)).await;
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE name = 'Ben'")
        .execute(&database)
        .await
        .unwrap();
    let receptionist = Call {
        role: Role::Receptionist,
        ..admin
    };
    let seen = family(receptionist, &ada).await;
    assert!(members(&seen).is_empty(), "{seen}");
    assert_eq!(seen["headId"], Value::Null);
    let of_ben = format!("/api/patients/{ben}/family");
    let closed = receptionist.send(Method::GET, &of_ben, None).await;
    assert_eq!(closed.status, StatusCode::FORBIDDEN);
    let related = relate(receptionist, &ada, &ben, "SIBLING").await;
    assert_eq!(related.status, StatusCode::FORBIDDEN);
    // Whom they cannot see, they cannot put out of the family either.
    let alone = json!({ "memberIds": [] });
    receptionist.send(Method::PUT, &path, Some(&alone)).await;
    assert_eq!(members(&family(admin, &ada).await), [pair("Ben", "PARENT")]);
    let both: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT patient_id FROM patients.family_member")
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(both.len(), 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_head_whom_the_caller_may_not_see_remains_the_head(database: PgPool) {
    let admin = Call::as_admin(&database);
    let (ada, ben) = (
        person(&database, "Ada").await,
        person(&database, "Ben").await,
    );
    let path = format!("/api/patients/{ada}/family");
    let home = json!({ "headId": ben, "memberIds": [ben] });
    admin.send(Method::PUT, &path, Some(&home)).await;
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE name = 'Ben'")
        .execute(&database)
        .await
        .unwrap();
    let receptionist = Call {
        role: Role::Receptionist,
        ..admin
    };
    let moved = json!({ "address": "2 Main St", "memberIds": [] });
    let answer = receptionist.send(Method::PUT, &path, Some(&moved)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let seen = family(admin, &ada).await;
    assert_eq!(seen["headId"], ben.as_str());
    assert_eq!(seen["address"], "2 Main St");
    // There is one head: another one takes the place.
    let own = json!({ "headId": ada, "memberIds": [] });
    receptionist.send(Method::PUT, &path, Some(&own)).await;
    assert_eq!(family(admin, &ada).await["headId"], ada.as_str());
}
