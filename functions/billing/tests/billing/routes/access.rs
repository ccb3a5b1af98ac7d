//! Who may call which route, and what about requests that make no sense.

use axum::{
    body::Body,
    http::{Method, Request},
};
use identity::Role;
use sqlx::PgPool;

use super::office::{Office, nothing};

/// All routes but the one about accounts, each with an id that nothing has.
fn requests() -> impl Iterator<Item = (Method, String, identity::Permission)> {
    let rows = billing::ROUTES.iter();
    let rows = rows.filter(|row| row.function != "get-billing-account");
    rows.map(|row| {
        let method = row.method.name().parse().unwrap();
        let path = row.path.replace("{id}", &nothing().to_string());
        (method, path, row.permission.unwrap())
    })
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn each_role_may_call_what_it_has_the_permission_for(database: PgPool) {
    let office = Office::open(database).await;
    for (method, path, permission) in requests() {
        for &role in Role::ALL {
            let answer = office
                .acting_as(role)
                .send(method.clone(), &path, None)
                .await;
            let allowed = answer.status != 403;
            assert_eq!(allowed, role.may(permission), "{role} {method} {path}");
            assert!(
                answer.status.as_u16() < 500,
                "{method} {path}: {}",
                answer.text
            );
        }
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nobody_may_call_anything(database: PgPool) {
    let office = Office::open(database).await;
    for (method, path, _) in requests() {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        office.answer(request).await.is(401);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_does_not_exist_is_not_found(database: PgPool) {
    let office = Office::open(database).await;
    let reason = serde_json::json!({ "reason": "None" });
    let refund = serde_json::json!({ "reason": "None" });
    let id = nothing();
    for kind in ["invoices", "charges", "payments", "refunds"] {
        let answer = office.get(&format!("/api/{kind}/{id}")).await.is(404);
        assert_eq!(answer.problem(), "not-found", "{kind}");
    }
    for path in [
        format!("/api/charges/{id}/cancellation"),
        format!("/api/invoices/{id}/issue"),
        format!("/api/refunds/{id}/approval"),
        format!("/api/refunds/{id}/completion"),
        format!("/api/patients/{id}/invoices"),
    ] {
        let answer = office.post_empty(&path).await.is(404);
        assert_eq!(answer.problem(), "not-found", "{path}");
    }
    for path in [
        format!("/api/invoices/{id}/void"),
        format!("/api/invoices/{id}/write-off"),
        format!("/api/invoices/{id}/write-off-rejection"),
        format!("/api/invoices/{id}/credit-notes"),
        format!("/api/payments/{id}/reversal"),
        format!("/api/refunds/{id}/rejection"),
    ] {
        office.post(&path, reason.clone()).await.is(404);
    }
    office
        .post(&format!("/api/payments/{id}/refunds"), refund)
        .await
        .is(404);
    office.charge(id, "VISIT").await.is(404);
    office.pay(id, 100, &[]).await.is(404);
    office.get("/api/invoices/42").await.is(400);
}
