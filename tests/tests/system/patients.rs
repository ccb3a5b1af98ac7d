//! The routes for patients.

use std::collections::BTreeMap;

use chrono::Utc;
use futures::future::join_all;
use identity::Role;
use serde::Deserialize;
use serde_json::{Value, json};
use system_tests::{Clinic, NewPatient, Patient, Visitor};
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Page {
    patients: Vec<Listed>,
    next_cursor: Option<String>,
    total: Option<u64>,
    removed: Vec<Value>,
}

/// Anybody's patient: one from a file may have no e-mail address.
#[derive(Deserialize)]
struct Listed {
    id: Uuid,
}

async fn page(visitor: &Visitor, limit: usize, cursor: Option<&str>) -> Page {
    let cursor = cursor
        .map(|cursor| format!("&cursor={cursor}"))
        .unwrap_or_default();
    let path = format!("/api/patients?limit={limit}{cursor}");
    visitor.get(&path).answers(200).await.read()
}

/// A valid patient with one invalid field.
fn with(field: &str, value: Value) -> Value {
    let mut patient = serde_json::to_value(NewPatient::unique()).unwrap();
    patient[field] = value;
    patient
}

#[tokio::test]
async fn a_patient_is_registered_read_updated_and_deleted() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let new = NewPatient {
        registered_date: Some("2024-01-10".to_owned()),
        ..NewPatient::unique()
    };
    let answer = visitor.post("/api/patients").json(&new).answers(201).await;
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let created: Patient = answer.read();
    let location = answer.header("location").unwrap();
    let here = format!("{}/api/patients", clinic.stack().api_url);
    let there = reqwest::Url::parse(&here).unwrap().join(location).unwrap();
    assert_eq!(there.as_str(), format!("{here}/{}", created.id));
    assert_eq!((&created.name, &created.email), (&new.name, &new.email));
    assert_eq!(created.address, new.address);
    assert_eq!(created.date_of_birth.to_string(), new.date_of_birth);
    assert_eq!(created.registered_date.to_string(), "2024-01-10");
    assert_eq!(created.version, 1);

    let answer = visitor.get(&created.path()).answers(200).await;
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.read::<Patient>(), created);

    let moved = NewPatient {
        address: "7 Zoëstraße, Boston".to_owned(),
        registered_date: None,
        ..new
    };
    let answer = visitor.put(&created.path()).json(&moved).answers(200).await;
    assert_eq!(answer.header("etag"), Some("\"2\""));
    let changed: Patient = answer.read();
    assert_eq!(changed.address, moved.address);
    assert_eq!(changed.registered_date, created.registered_date);
    assert_eq!(changed.created_at, created.created_at);
    assert!(changed.updated_at > created.updated_at);
    let read: Patient = visitor.get(&created.path()).answers(200).await.read();
    assert_eq!(read, changed);

    let gone = visitor.delete(&created.path()).answers(204).await;
    assert!(gone.body.is_empty());
    for method in ["GET", "DELETE"] {
        let problem = visitor
            .call(method, &created.path())
            .answers(404)
            .await
            .problem();
        assert_eq!(problem.detail, "Patient not found");
    }
    let again = visitor.put(&created.path()).json(&moved).answers(404).await;
    assert_eq!(again.problem().name(), "deleted");
    // The e-mail address can be used again.
    visitor.register(&moved).await;
}

#[tokio::test]
async fn the_registration_date_defaults_to_today() {
    let clinic = Clinic::open();
    let before = Utc::now().date_naive();
    let patient = clinic.administrator().await.register_somebody().await;
    let after = Utc::now().date_naive();
    assert!((before..=after).contains(&patient.registered_date));
}

#[tokio::test]
async fn all_missing_fields_of_a_patient_are_named_at_once() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    let blank = json!({ "name": " ", "email": "", "address": "\n", "dateOfBirth": "" });
    let nothing = json!({ "name": null, "email": null, "address": null, "dateOfBirth": null });
    let expected: BTreeMap<_, _> = [
        ("name", "Name is required"),
        ("email", "Email is required"),
        ("address", "Address is required"),
        ("dateOfBirth", "Date of birth is required"),
    ]
    .map(|(field, message)| (field.to_owned(), message.to_owned()))
    .into();
    for body in [json!({}), blank, nothing] {
        for call in [visitor.post("/api/patients"), visitor.put(&patient.path())] {
            let problem = call.json(&body).answers(400).await.problem();
            assert_eq!(problem.errors, expected, "{body}");
            assert_eq!(problem.name(), "invalid-input");
        }
    }
}

#[tokio::test]
async fn an_invalid_field_of_a_patient_is_named_with_the_reason() {
    let clinic = Clinic::open();
    let visitor = clinic.log_in(Role::Receptionist).await;
    let patient = visitor.register_somebody().await;
    let long_address = "é".repeat(301);
    let long_email = format!("{}@clinic.example", "x".repeat(254));
    let tomorrow_and_after = (Utc::now() + chrono::Days::new(2)).date_naive().to_string();
    let cases = [
        (
            "name",
            json!("é".repeat(101)),
            "Name cannot exceed 100 characters",
        ),
        (
            "name",
            json!("Zoë\u{0}"),
            "Name cannot contain control characters",
        ),
        ("name", json!(42), "Must be a string"),
        ("name", json!({ "first": "Zoë" }), "Must be a string"),
        ("email", json!("zoe"), "Email should be valid"),
        ("email", json!("zoe@localhost"), "Email should be valid"),
        (
            "email",
            json!("a@b@clinic.example"),
            "Email should be valid",
        ),
        (
            "email",
            json!("Zoë <zoe@clinic.example>"),
            "Email should be valid",
        ),
        (
            "email",
            json!(long_email),
            "Email cannot exceed 254 characters",
        ),
        ("email", json!(["zoe@clinic.example"]), "Must be a string"),
        (
            "address",
            json!(long_address),
            "Address cannot exceed 300 characters",
        ),
        ("address", json!(true), "Must be a string"),
        (
            "dateOfBirth",
            json!("12.03.1987"),
            "Date of birth should be a date in the form YYYY-MM-DD",
        ),
        (
            "dateOfBirth",
            json!("2001-02-29"),
            "Date of birth should be a date in the form YYYY-MM-DD",
        ),
        (
            "dateOfBirth",
            json!("1987-03-12T00:00:00Z"),
            "Date of birth should be a date in the form YYYY-MM-DD",
        ),
        (
            "dateOfBirth",
            json!(tomorrow_and_after),
            "Date of birth cannot be in the future",
        ),
        (
            "dateOfBirth",
            json!("1899-12-31"),
            "Date of birth cannot be before 1900",
        ),
        ("dateOfBirth", json!(19_870_312), "Must be a string"),
        (
            "registeredDate",
            json!("yesterday"),
            "Registered date should be a date in the form YYYY-MM-DD",
        ),
        (
            "registeredDate",
            json!(tomorrow_and_after),
            "Registered date cannot be in the future",
        ),
    ];
    for (field, value, message) in cases {
        let body = with(field, value);
        for call in [visitor.post("/api/patients"), visitor.put(&patient.path())] {
            let problem = call.json(&body).answers(400).await.problem();
            assert_eq!(problem.error(field), Some(message), "{body}");
            assert_eq!(problem.errors.len(), 1, "{body}: {problem:?}");
        }
    }
    let unchanged: Patient = visitor.get(&patient.path()).answers(200).await.read();
    assert_eq!(unchanged, patient);
}

#[tokio::test]
async fn a_malformed_body_is_rejected() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    let bodies: [&[u8]; 8] = [
        b"",
        b"null",
        b"[]",
        b"42",
        b"{\"name\":\"Zo",
        b"{} {}",
        br#"{"name":"\ud800"}"#,
        b"{\"name\":\"\xff\xfe\"}",
    ];
    for body in bodies {
        for call in [visitor.post("/api/patients"), visitor.put(&patient.path())] {
            let answer = call.body("application/json", body.to_vec()).answer().await;
            assert_eq!(answer.status, 400, "{}: {answer:?}", body.escape_ascii());
            assert_eq!(answer.problem().name(), "invalid-input");
        }
    }
    let text = serde_json::to_vec(&NewPatient::unique()).unwrap();
    for call in [visitor.post("/api/patients"), visitor.put(&patient.path())] {
        let problem = call
            .body("text/plain", text.clone())
            .answers(415)
            .await
            .problem();
        assert_eq!(problem.name(), "unsupported-media-type");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_rejected() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    for characters in [64 * 1024, 1024 * 1024] {
        let body = with("address", json!("x".repeat(characters)));
        for call in [visitor.post("/api/patients"), visitor.put(&patient.path())] {
            let problem = call.json(&body).answers(413).await.problem();
            assert_eq!(problem.name(), "body-too-large");
        }
    }
}

#[tokio::test]
async fn names_in_any_script_are_stored_unchanged() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    for name in [
        "José Eduardo Gómez",
        "Nguyễn Thị Minh Khai",
        "محمد بن عبد الله",
        "שרה כהן",
        "王小明",
        "𠮷野家 🩺👩\u{200d}⚕\u{fe0f}",
        "O'Brien; DROP TABLE patients.patient; --",
        "<script>alert(1)</script>",
        "${jndi:ldap://x} {{7*7}} %s %n \\",
        "null",
        &"𠮷".repeat(100),
    ] {
        let new = NewPatient {
            name: name.to_owned(),
            ..NewPatient::unique()
        };
        let created = visitor.register(&new).await;
        let read: Patient = visitor.get(&created.path()).answers(200).await.read();
        assert_eq!(read.name, name);
    }
}

#[tokio::test]
async fn equivalent_characters_and_white_space_in_a_name_are_normalised() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    for (typed, kept) in [
        ("Zoe\u{308}", "Zoë"),
        (" Zoë\u{a0}\t Citizen ", "Zoë Citizen"),
        (
            "Zoë\r\nBcc: all@clinic.example",
            "Zoë Bcc: all@clinic.example",
        ),
    ] {
        let new = NewPatient {
            name: typed.to_owned(),
            ..NewPatient::unique()
        };
        assert_eq!(visitor.register(&new).await.name, kept);
    }
}

#[tokio::test]
async fn a_malformed_id_is_rejected_and_an_unknown_one_is_not_found() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let body = NewPatient::unique();
    let routes = [
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("GET", "/billing-account"),
    ];
    for (method, rest) in routes {
        for id in [
            "42",
            "not-an-id",
            "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1a",
            "%00",
            "%F0%9F%A9%BA",
        ] {
            let call = visitor.call(method, &format!("/api/patients/{id}{rest}"));
            let problem = call.json(&body).answers(400).await.problem();
            assert_eq!(
                problem.error("id"),
                Some("The id must be a UUID"),
                "{method} {id}"
            );
        }
        for id in [Uuid::now_v7(), Uuid::nil(), Uuid::max()] {
            let call = visitor.call(method, &format!("/api/patients/{id}{rest}"));
            let problem = call.json(&body).answers(404).await.problem();
            assert_eq!(problem.name(), "not-found", "{method} {id}");
        }
    }
}

#[tokio::test]
async fn a_change_based_on_an_outdated_version_is_rejected() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let first = visitor.register_somebody().await;
    let change = NewPatient::unique();
    let put = |etag: &str| {
        visitor
            .put(&first.path())
            .header("If-Match", etag)
            .json(&change)
    };

    let second: Patient = put(&first.etag()).answers(200).await.read();
    assert_eq!(second.version, 2);
    let late = put(&first.etag()).answers(412).await.problem();
    assert_eq!(late.name(), "precondition-failed");
    for etag in ["\"3\"", "W/\"1\"", "\"abc\""] {
        put(etag).answers(412).await;
    }
    put("2").answers(400).await;
    put("\"1\", \"2\"").answers(200).await;
    // In the form that compressing proxies produce.
    put("W/\"3\"").answers(200).await;
    put("*").answers(200).await;

    let delete = |etag: &str| visitor.delete(&first.path()).header("If-Match", etag);
    delete("\"2\"").answers(412).await;
    visitor.get(&first.path()).answers(200).await;
    delete("\"5\"").answers(204).await;
    delete("*").answers(404).await;
}

#[tokio::test]
async fn of_concurrent_changes_to_the_same_version_one_succeeds() {
    const EDITORS: usize = 8;
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    let edits = (0..EDITORS).map(|_| {
        let call = visitor
            .put(&patient.path())
            .header("If-Match", &patient.etag());
        call.json(&NewPatient::unique()).answer()
    });
    let mut statuses: Vec<_> = join_all(edits)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    statuses.sort_unstable();
    let mut expected = vec![412; EDITORS];
    expected[0] = 200;
    assert_eq!(statuses, expected);
    let now: Patient = visitor.get(&patient.path()).answers(200).await.read();
    assert_eq!(now.version, 2);
}

#[tokio::test]
async fn of_twenty_concurrent_registrations_with_one_address_one_succeeds() {
    const CLIENTS: usize = 20;
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let new = NewPatient::unique();
    let calls = (0..CLIENTS).map(|client| {
        let email = if client % 2 == 0 {
            new.email.to_uppercase()
        } else {
            new.email.clone()
        };
        let new = NewPatient {
            email,
            ..NewPatient::unique()
        };
        visitor.post("/api/patients").json(&new).answer()
    });
    let answers = join_all(calls).await;
    let (created, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(created.len(), 1, "{answers:?}");
    for answer in refused {
        assert_eq!(answer.status, 409, "{answer:?}");
        let problem = answer.problem();
        assert_eq!(problem.name(), "conflict");
        assert_eq!(problem.error("email"), Some("Email address already exists"));
    }
}

#[tokio::test]
async fn an_email_address_belongs_to_one_patient_however_it_is_written() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let (one, other) = (NewPatient::unique(), NewPatient::unique());
    visitor.register(&one).await;
    let second = visitor.register(&other).await;
    for email in [
        one.email.clone(),
        one.email.to_uppercase(),
        format!(" {} ", one.email),
    ] {
        let same = NewPatient {
            email,
            ..NewPatient::unique()
        };
        for call in [visitor.post("/api/patients"), visitor.put(&second.path())] {
            let problem = call.json(&same).answers(409).await.problem();
            assert_eq!(problem.detail, "Email address already exists");
            assert!(!problem.detail.contains(&one.email));
        }
    }
    // A patient's own address is not a conflict, in upper or lower case.
    let shouted = NewPatient {
        email: other.email.to_uppercase(),
        ..other
    };
    visitor
        .put(&second.path())
        .json(&shouted)
        .answers(200)
        .await;
}

#[tokio::test]
async fn every_patient_is_on_exactly_one_page() {
    const LIMIT: usize = 100;
    let clinic = Clinic::open();
    let visitor = clinic.log_in(Role::Receptionist).await;
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(visitor.register_somebody().await.id);
    }

    let mut ids = Vec::new();
    let mut cursor: Option<String> = None;
    // The cursor of the page that has the first of mine.
    let mut close = None;
    loop {
        let page = page(&visitor, LIMIT, cursor.as_deref()).await;
        if page.patients.iter().any(|patient| patient.id == mine[0]) {
            close = Some(cursor.clone());
        }
        ids.extend(page.patients.iter().map(|patient| patient.id));
        let Some(next) = page.next_cursor else { break };
        assert_eq!(
            page.patients.len(),
            LIMIT,
            "only the last page may have fewer"
        );
        cursor = Some(next);
    }
    assert!(ids.is_sorted(), "oldest first");
    let mut distinct = ids.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len(), "somebody is on two pages");
    let found: Vec<_> = ids.into_iter().filter(|id| mine.contains(id)).collect();
    assert_eq!(found, mine);

    let mut cursor = close.expect("the page with the first of mine");
    let mut found = Vec::new();
    while found.len() < mine.len() {
        let page = page(&visitor, 2, cursor.as_deref()).await;
        assert!(page.patients.len() <= 2);
        let ids = page.patients.iter().map(|patient| patient.id);
        found.extend(ids.filter(|id| mine.contains(id)));
        let Some(next) = page.next_cursor else { break };
        cursor = Some(next);
    }
    assert_eq!(found, mine);
}

#[tokio::test]
async fn the_page_size_is_limited_and_invalid_queries_are_rejected() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    visitor.register_somebody().await;
    let page = page(&visitor, 1, None).await;
    assert_eq!(page.patients.len(), 1);
    // Null if they are too many to be counted.
    assert!(page.total.is_none_or(|total| total >= 1));
    assert!(page.removed.is_empty());
    let default: Page = visitor.get("/api/patients").answers(200).await.read();
    assert!(default.patients.len() <= 20);
    for absent in ["limit=", "cursor="] {
        let path = format!("/api/patients?{absent}");
        let page: Page = visitor.get(&path).answers(200).await.read();
        assert!(page.patients.len() <= 20);
    }
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=ten",
        "limit=1e1",
        "cursor=made-up",
        "cursor=e30",
        "cursor=%F0%9F%A9%BA",
    ] {
        let answer = visitor
            .get(&format!("/api/patients?{query}"))
            .answer()
            .await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert_eq!(answer.problem().name(), "invalid-input");
    }
}

/// API Gateway's event contains each header twice anyway: single and as a list.
#[tokio::test]
async fn a_header_that_must_be_sent_once_is_named_if_repeated() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    let new = NewPatient::unique();
    let change = || visitor.put(&patient.path()).json(&new);
    for (name, call) in [
        ("If-Match", change()),
        ("If-Match", visitor.delete(&patient.path())),
        ("Idempotency-Key", change()),
        ("Idempotency-Key", visitor.post("/api/patients").json(&new)),
        ("Idempotency-Key", visitor.delete(&patient.path())),
    ] {
        let call = call.header(name, "\"1\"").header(name, "\"2\"");
        let problem = call.answers(400).await.problem();
        let said = format!("{name} must be sent once");
        assert_eq!(problem.error(name), Some(&*said));
    }
    let read: Patient = visitor.get(&patient.path()).answers(200).await.read();
    assert_eq!(read, patient);
}
