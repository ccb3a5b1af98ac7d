//! Patients are found by what people know of them, and by what they type.

use axum::http::{Method, StatusCode};
use identity::Role;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    fixtures::{Call, delivery, eventually, log_in_the_caller, with, zoe},
    relay::relay,
};

async fn register(database: &PgPool, name: &str, more: Value) -> String {
    let mut patient = json!({
        "name": name, "dateOfBirth": "1983-11-14", "registeredDate": "2024-01-10", "emails": [],
    });
    for (field, value) in more.as_object().unwrap() {
        patient[field] = value.clone();
    }
    Call::as_admin(database).created(&patient).await
}

async fn found(database: &PgPool, body: Value) -> Vec<String> {
    let answer = Call::as_admin(database)
        .send(Method::POST, "/api/patients/search", Some(&body))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let names = answer.body["patients"].as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|patient| patient["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(answer.body["total"], names.len(), "{body}");
    names
}

async fn by(database: &PgPool, q: &str) -> Vec<String> {
    found(database, json!({ "q": q })).await
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn names_are_found_however_they_are_typed(database: PgPool) {
    for name in [
        "José Gómez",
        "Łukasz Nowak",
        "Anna van der Berg",
        "John Smith",
        "Jörg Müller",
        "王芳",
        "Иван Петров",
        "Sean O'Brien",
    ] {
        register(&database, name, json!({})).await;
    }
    for (q, name) in [
        ("Gomez", "José Gómez"),
        ("gómez jose", "José Gómez"),
        ("Lukasz", "Łukasz Nowak"),
        ("berg van der", "Anna van der Berg"),
        ("ber ann", "Anna van der Berg"),
        ("smtih", "John Smith"),
        ("smyth", "John Smith"),
        ("jhon smth", "John Smith"),
        ("mueller", "Jörg Müller"),
        ("muller", "Jörg Müller"),
        ("MÜLLER", "Jörg Müller"),
        ("王芳", "王芳"),
        ("петров", "Иван Петров"),
        ("petrov", "Иван Петров"),
        ("obrien", "Sean O'Brien"),
        ("o’brien", "Sean O'Brien"),
    ] {
        assert_eq!(by(&database, q).await, [name], "{q}");
    }
    for q in ["smith karl", "xyzzy", "–", "smi joh gomez"] {
        assert!(by(&database, q).await.is_empty(), "{q}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_former_name_a_number_and_a_birth_date_find_a_patient(database: PgPool) {
    let id = register(&database, "Milo Feil", json!({
        "names": [{ "use": "OFFICIAL", "text": "Milo Feil" }, { "use": "FORMER", "text": "Milo Hansen" }],
        "phones": [{ "number": "+44 20 7946 0958" }, { "number": "0171 123456" }],
        "emails": [{ "address": "milo@clinic.example" }],
        "identifiers": [{ "system": "insurance", "value": "M-4711" }],
    })).await;
    register(
        &database,
        "Somebody Else",
        json!({ "dateOfBirth": "1990-01-01" }),
    )
    .await;
    let record = Call::as_admin(&database)
        .send(Method::GET, &format!("/api/patients/{id}"), None)
        .await
        .body["recordNumber"]
        .as_str()
        .unwrap()
        .to_owned();
    for q in [
        "hansen",
        "+442079460958",
        "020 7946 0958",
        "(020) 79460958",
        "0044 20 7946-0958",
        "460958",
        "0171123456",
        "milo@clinic.example",
        "MILO@clinic.example",
        "m-4711",
        &record,
        "1983-11-14",
        "14.11.1983",
        "11/14/1983",
        "1983",
        "feil 14.11.1983",
        "1983 hansen",
        "feil 460958",
    ] {
        assert_eq!(by(&database, q).await, ["Milo Feil"], "{q}");
    }
    for body in [
        json!({ "identifier": "M-4711" }),
        json!({ "identifier": record }),
        json!({ "phone": "7946 0958" }),
        json!({ "email": "Milo@Clinic.example", "dateOfBirth": "1983-11" }),
        json!({ "q": "feil", "identifier": "M-4711", "phone": "+44 20 7946 0958" }),
    ] {
        assert_eq!(
            found(&database, body.clone()).await,
            ["Milo Feil"],
            "{body}"
        );
    }
    assert!(
        found(&database, json!({ "q": "else", "identifier": "M-4711" }))
            .await
            .is_empty()
    );
    let admin = Call::as_admin(&database);
    for body in [
        json!({}),
        json!({ "q": " " }),
        json!({ "phone": "12" }),
        json!({ "dateOfBirth": "tomorrow" }),
        json!({ "q": "x".repeat(201) }),
    ] {
        let refused = admin
            .send(Method::POST, "/api/patients/search", Some(&body))
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn better_hits_come_first_and_pages_have_each_hit_once(database: PgPool) {
    for name in [
        "Ann Smithson",
        "Bob Smyth",
        "Carl Smith",
        "Dora Smit",
        "Smith Smithers",
        "Eve Smithe",
    ] {
        register(&database, name, json!({})).await;
    }
    let all = by(&database, "smith").await;
    assert_eq!(
        all[..2],
        ["Smith Smithers", "Carl Smith"]
            .map(str::to_owned)
            .into_iter()
            .rev()
            .collect::<Vec<_>>()[..]
    );
    assert_eq!(all.len(), 6, "{all:?}");
    assert!(
        all.iter().position(|name| name == "Ann Smithson")
            < all.iter().position(|name| name == "Dora Smit")
    );
    let mut paged = Vec::new();
    let mut path = "/api/patients?q=smith&limit=1".to_owned();
    loop {
        let page = Call::as_admin(&database)
            .send(Method::GET, &path, None)
            .await
            .body;
        paged.extend(
            page["patients"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["name"].as_str().unwrap().to_owned()),
        );
        assert_eq!(page["total"], 6);
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/api/patients?q=smith&limit=1&cursor={cursor}");
    }
    assert_eq!(paged, all);

    // The cursor contains a name, so it may be in the body, too.
    let search = "/api/patients/search?limit=1";
    let mut body = json!({ "q": "smith" });
    let mut paged = Vec::new();
    loop {
        let call = Call::as_admin(&database);
        let page = call.send(Method::POST, search, Some(&body)).await.body;
        let name = page["patients"][0]["name"].as_str().unwrap();
        paged.push(name.to_owned());
        if page["nextCursor"].is_null() {
            break;
        }
        body["cursor"] = page["nextCursor"].clone();
    }
    assert_eq!(paged, all);
    body["cursor"] = json!("made-up");
    let call = Call::as_admin(&database);
    let refused = call.send(Method::POST, search, Some(&body)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn restricted_patients_do_not_show_in_a_search(database: PgPool) {
    log_in_the_caller(&database).await;
    let admin = Call::as_admin(&database);
    let id = register(
        &database,
        "Famous Person",
        json!({ "identifiers": [{ "system": "a", "value": "F-1" }] }),
    )
    .await;
    register(&database, "Other Person", json!({})).await;
    let path = format!("/api/patients/{id}/restriction");
    let restricted = admin
        .send(Method::PUT, &path, Some(&json!({ "restricted": true })))
        .await;
    assert_eq!(restricted.status, StatusCode::OK);
    let receptionist = Call {
        role: Role::Receptionist,
        ..admin
    };
    for (q, hits) in [
        ("person", 1),
        ("famous", 0),
        ("famuos", 0),
        ("F-1", 0),
        ("100001", 0),
    ] {
        let list = receptionist
            .send(Method::GET, &format!("/api/patients?q={q}&limit=1"), None)
            .await
            .body;
        assert_eq!(
            (list["total"].as_i64(), &list["nextCursor"]),
            (Some(hits), &Value::Null),
            "{q}"
        );
        let body = json!({ "q": q });
        let all = admin
            .send(Method::POST, "/api/patients/search", Some(&body))
            .await
            .body;
        assert!(all["total"].as_i64() > Some(hits), "{q}");
    }
    for sort in [
        "sort=name",
        "sort=newest",
        "changedSince=2020-01-01T00:00:00Z",
    ] {
        let list = receptionist
            .send(Method::GET, &format!("/api/patients?{sort}"), None)
            .await
            .body;
        assert_eq!(list["total"], 1, "{sort}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_list_has_an_order_and_says_who_changed_or_is_gone(database: PgPool) {
    let admin = Call::as_admin(&database);
    let mut ids = Vec::new();
    for name in ["Zoë Berg", "Anna Ärger", "Łukasz Zimmer"] {
        ids.push(register(&database, name, json!({})).await);
    }
    let names = async |query: &str| -> Vec<String> {
        let mut names = Vec::new();
        let mut path = format!("/api/patients?limit=2&{query}");
        loop {
            let page = admin.send(Method::GET, &path, None).await.body;
            names.extend(
                page["patients"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it["name"].as_str().unwrap().to_owned()),
            );
            let Some(cursor) = page["nextCursor"].as_str() else {
                return names;
            };
            path = format!("/api/patients?limit=2&{query}&cursor={cursor}");
        }
    };
    assert_eq!(
        names("sort=newest").await,
        ["Łukasz Zimmer", "Anna Ärger", "Zoë Berg"]
    );
    assert_eq!(
        names("sort=name").await,
        ["Anna Ärger", "Zoë Berg", "Łukasz Zimmer"]
    );
    let path = format!("/api/patients/{}", ids[0]);
    admin.send(Method::DELETE, &path, None).await;
    let changed = admin
        .send(
            Method::GET,
            "/api/patients?changedSince=2020-01-01T00:00:00Z",
            None,
        )
        .await
        .body;
    assert_eq!(changed["removed"][0]["id"], ids[0], "{changed}");
    assert_eq!(changed["patients"].as_array().unwrap().len(), 2);
    assert_eq!(changed["total"], 3);

    // Whoever keeps a copy learns of an erasure, too.
    let reason = json!({ "reason": "They have asked for it" });
    let erase = format!("{path}/erase");
    let erased = admin.send(Method::POST, &erase, Some(&reason)).await;
    assert_eq!(erased.status, StatusCode::NO_CONTENT);
    let after = admin
        .send(
            Method::GET,
            "/api/patients?changedSince=2020-01-01T00:00:00Z",
            None,
        )
        .await
        .body;
    assert_eq!(after["removed"][0]["id"], ids[0], "{after}");
    assert!(after["removed"][0]["at"].as_str() > changed["removed"][0]["at"].as_str());
    assert_eq!(after["total"], 3);
    let later = admin
        .send(
            Method::GET,
            "/api/patients?changedSince=2999-01-01T00:00:00Z",
            None,
        )
        .await
        .body;
    assert_eq!(later["patients"], json!([]));
    for query in [
        "sort=age",
        "changedSince=yesterday",
        "q=a&sort=name",
        "sort=name&cursor=IjEi",
    ] {
        let refused = admin
            .send(Method::GET, &format!("/api/patients?{query}"), None)
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

/// What was asked for is nobody's business; who was found is.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_search_leaves_ids_on_record_and_no_words(database: PgPool) {
    let id = register(&database, "Famous Person", json!({})).await;
    by(&database, "famous").await;
    let (action, patients, row): (String, Vec<uuid::Uuid>, String) = sqlx::query_as(
        "SELECT action, patient_ids, record::text FROM audit.record AS record ORDER BY id DESC LIMIT 1",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(
        (&*action, patients),
        ("SEARCH_PATIENTS", vec![id.parse().unwrap()])
    );
    assert!(!row.to_lowercase().contains("famous"), "{row}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_a_patient_is_found_by_follows_every_change(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    let renamed = with(zoe(), "name", "Ada Lovelace");
    admin.send(Method::PUT, &path, Some(&renamed)).await;
    assert!(by(&database, "omega").await.is_empty());
    assert_eq!(by(&database, "lovelace").await, ["Ada Lovelace"]);
}

/// Words that no compression makes shorter.
fn long_names(many: usize, characters: usize) -> Vec<Value> {
    let mut state = 4_711_u64;
    let mut letter = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
    };
    (0..many)
        .map(|place| {
            let word = |_| (0..characters / 4).map(|_| letter()).collect::<String>();
            let text: Vec<String> = (0..4).map(word).collect();
            let r#use = if place == 0 { "OFFICIAL" } else { "FORMER" };
            json!({ "use": r#use, "text": text.join(" "), "given": [] })
        })
        .collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn names_are_too_long_only_for_a_search_that_could_not_find_them(database: PgPool) {
    let admin = Call::as_admin(&database);
    let patient = json!({ "dateOfBirth": "1983-11-14", "emails": [], "addresses": [] });
    let refused = admin
        .create(&with(patient.clone(), "names", long_names(20, 96)))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert!(
        refused.body["errors"]["names"].is_string(),
        "{}",
        refused.body
    );
    let names = long_names(18, 96);
    let last = names[17]["text"].clone();
    let created = admin.create(&with(patient, "names", names)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert_eq!(by(&database, last.as_str().unwrap()).await.len(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_with_too_many_words_does_not_keep_others_from_being_found(database: PgPool) {
    let odd = register(&database, "Odd Many", json!({})).await;
    register(&database, "Zoë Feil", json!({})).await;
    let record = json!({ "names": long_names(40, 96) }).to_string();
    let name = long_names(1, 96)[0]["text"].as_str().unwrap().to_owned();
    sqlx::query("UPDATE patients.patient SET record = $1::jsonb, name = $2 WHERE id = $3::uuid")
        .bind(record)
        .bind(&name)
        .bind(odd)
        .execute(&database)
        .await
        .unwrap();
    sqlx::raw_sql("UPDATE patients.patient SET indexed_with = 0; DELETE FROM patients.search_term")
        .execute(&database)
        .await
        .unwrap();
    relay(&database, &delivery()).await;
    assert_eq!(by(&database, "zoe feil").await, ["Zoë Feil"]);
    let first = name.split(' ').next().unwrap();
    assert_eq!(by(&database, first).await, [name.as_str()]);
}

/// They would wait for each other: whoever has learned a word keeps it until the end.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_catches_up_holds_on_to_no_words(database: PgPool) {
    register(&database, "Zzzzz", json!({})).await;
    register(&database, "Aaaaa", json!({})).await;
    sqlx::raw_sql(
        "UPDATE patients.patient SET indexed_with = 0;
         DELETE FROM patients.search_term;
         DELETE FROM patients.vocabulary",
    )
    .execute(&database)
    .await
    .unwrap();
    let mut registration = database.begin().await.unwrap();
    sqlx::query("INSERT INTO patients.vocabulary (term) VALUES ('aaaaa')")
        .execute(&mut *registration)
        .await
        .unwrap();
    let everyone_else = async {
        eventually(
            &database,
            "SELECT EXISTS (SELECT FROM patients.vocabulary WHERE term = 'zzzzz')",
        )
        .await;
        registration.rollback().await.unwrap();
    };
    let delivery = delivery();
    tokio::join!(relay(&database, &delivery), everyone_else);
    assert_eq!(by(&database, "aaaaa").await, ["Aaaaa"]);
}
