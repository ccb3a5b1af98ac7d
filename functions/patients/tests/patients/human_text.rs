//! Text that people type is normalized, and must be readable.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

/// Invisible, or nothing but dots: spaces and fillers of all kinds.
const NOTHING: [&str; 7] = [
    "\u{200b}", "\u{2060}", "\u{3164}", "\u{2800}", "\u{ffa0}", "\u{1f}", ".",
];

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn text_without_visible_content_is_rejected(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let emergency = format!("/api/patients/{id}/emergency-access");
    let other = with(zoe(), "email", "other@clinic.example");
    for nothing in NOTHING {
        let text = nothing.repeat(10);
        for field in ["name", "address"] {
            let refused = admin
                .create(&with(other.clone(), field, text.clone()))
                .await;
            assert_eq!(
                refused.status,
                StatusCode::BAD_REQUEST,
                "{field} {nothing:?}"
            );
            assert!(
                refused.body["errors"][field].is_string(),
                "{}",
                refused.body
            );
        }
        let reason = json!({ "reason": text });
        let clinician = Call {
            role: identity::Role::Clinician,
            ..admin
        };
        let refused = clinician
            .send(Method::POST, &emergency, Some(&reason))
            .await;
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "reason {nothing:?}"
        );
        assert!(
            refused.body["errors"]["reason"].is_string(),
            "{}",
            refused.body
        );
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn text_that_displays_as_something_else_is_rejected(database: PgPool) {
    let admin = Call::as_admin(&database);
    for character in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}', '\u{fffd}'] {
        for field in ["name", "address"] {
            let text = format!("Zoë {character}ageM");
            let refused = admin.create(&with(zoe(), field, text)).await;
            assert_eq!(
                refused.status,
                StatusCode::BAD_REQUEST,
                "{field} {character:?}"
            );
            assert!(
                refused.body["errors"][field].is_string(),
                "{}",
                refused.body
            );
        }
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn equivalent_text_is_stored_in_the_same_form(database: PgPool) {
    let admin = Call::as_admin(&database);
    for (number, (field, typed, stored)) in [
        (
            "name",
            "Zoe\u{308}  \u{a0}Mega\u{200b}\u{feff} ",
            "Zoë Mega",
        ),
        ("name", "Zoë\tMega\nJr.", "Zoë Mega Jr."),
        ("name", "نیلوفر می\u{200c}شاد", "نیلوفر می\u{200c}شاد"),
        ("name", "ක්\u{200d}රිස්ටීනා", "ක්\u{200d}රිස්ටීනා"),
        (
            "address",
            "1\tMain  St\r\n\r\n \u{2028}Boston\r",
            "1 Main St\nBoston",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let patient = with(zoe(), "email", format!("zoe{number}@clinic.example"));
        let created = admin.create(&with(patient, field, typed)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
        assert_eq!(created.body[field], Value::from(stored), "{typed:?}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_byte_order_mark_before_a_body_is_ignored(database: PgPool) {
    let body = format!("\u{feff}{}", zoe());
    let json = [("Content-Type", "application/json")];
    let admin = Call::as_admin(&database);
    let created = admin
        .send_as_is(Method::POST, "/api/patients", &json, body)
        .await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
}
