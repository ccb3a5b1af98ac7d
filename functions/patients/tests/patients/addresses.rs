//! A mailbox has one spelling in the database, however its address was written and whenever it was
//! stored.

use axum::http::{Method, StatusCode};
use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn addresses_are_stored_in_a_deliverable_form(database: PgPool) {
    let admin = Call::as_admin(&database);
    for (typed, forms, stored) in [
        (
            "I@bücher.example",
            ["i@xn--bcher-kva.example", "i@bu\u{308}cher.EXAMPLE"],
            "I@xn--bcher-kva.example",
        ),
        (
            "\"z\"@x.example",
            ["z@x.example", "Z@X.example"],
            "z@x.example",
        ),
        (
            "i@ΟΔΟΣ.example",
            ["i@οδοσ.example", "i@xn--pxavbq.example"],
            "i@xn--pxavbq.example",
        ),
    ] {
        let created = admin.create(&with(zoe(), "email", typed)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
        assert_eq!(created.body["email"], stored);
        let path = format!("/api/patients/{}", created.body["id"].as_str().unwrap());
        for same in forms.into_iter().chain([typed]) {
            let same = with(zoe(), "email", same);
            let refused = admin.create(&same).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{same}");
            // A patient's own address is not a conflict.
            let updated = admin.send(Method::PUT, &path, Some(&same)).await;
            assert_eq!(updated.status, StatusCode::OK, "{same}: {}", updated.body);
        }
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_undeliverable_address_is_rejected_on_registration_and_update(database: PgPool) {
    let admin = Call::as_admin(&database);
    let path = format!("/api/patients/{}", admin.created(&zoe()).await);
    for (address, said) in [
        ("用户@例子.广告", "cannot deliver"),
        ("a@1.2.3.4", "should be valid"),
        ("a@[127.0.0.1]", "should be valid"),
        ("a@x.example?subject=x", "should be valid"),
        ("\"a b\"@x.example", "should be valid"),
    ] {
        let patient = with(zoe(), "email", address);
        for (method, path) in [(Method::POST, "/api/patients"), (Method::PUT, &path)] {
            let refused = admin.send(method, path, Some(&patient)).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{address}");
            let error = refused.body["errors"]["email"].as_str().unwrap();
            assert!(error.contains(said), "{address}: {error}");
        }
    }
}

/// The migration can be run again, so it is tested on rows in the old form.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_migration_converts_addresses_that_were_stored_earlier(database: PgPool) {
    let admin = Call::as_admin(&database);
    let mut ids = Vec::new();
    let stored = [
        ("I@bücher.example", "I@xn--bcher-kva.example"),
        (
            "i@BÜCHER-läden.Straße.example",
            "i@xn--bcher-lden-w5a5z.xn--strae-oqa.example",
        ),
        ("i@例子.广告", "i@xn--fsqu00a.xn--4rr70v"),
        (
            "i@ليهمابتكلموشعربي؟.example",
            "i@xn--egbpdaj6bu4bxfgehfvwxn.example",
        ),
        ("用户@x.example", "用户@x.example"),
        ("\"q\"@x.example", "q@x.example"),
        ("\"q r\"@x.example", "\"q r\"@x.example"),
        // Already another patient's.
        ("taken@xn--bcher-kva.example", "taken@xn--bcher-kva.example"),
        ("taken@bücher.example", "taken@bücher.example"),
    ];
    for (number, (before, _)) in stored.iter().enumerate() {
        let new = with(zoe(), "email", format!("zoe{number}@clinic.example"));
        let id = admin.created(&new).await;
        sqlx::query("UPDATE patients.patient SET email = $2 WHERE id = $1::uuid")
            .bind(&id)
            .bind(before)
            .execute(&database)
            .await
            .unwrap();
        ids.push(id);
    }
    sqlx::raw_sql(include_str!("../../migrations/0008_email_form.sql"))
        .execute(&database)
        .await
        .unwrap();
    for (id, (before, after)) in ids.iter().zip(stored) {
        let read = admin
            .send(Method::GET, &format!("/api/patients/{id}"), None)
            .await;
        assert_eq!(read.body["email"], after, "{before}");
        assert_eq!(read.body["version"], 1);
    }
    let again = admin
        .create(&with(zoe(), "email", "i@bücher.example"))
        .await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.body);
}
