//! `GET /api/patients/{id}/billing-account` with the service running.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
};
use billing::get_billing_account::routes;
use billing_client::{BilledTo, BillingClient};
use http_body_util::BodyExt as _;
use identity::{Role, testing::as_caller};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::running::{Running, nowhere};

fn request(patient: &str) -> Request<Body> {
    Request::get(format!("/api/patients/{patient}/billing-account"))
        .body(Body::empty())
        .unwrap()
}

async fn answer(database: &PgPool, billing: BillingClient, request: Request<Body>) -> Response {
    api::around(
        "get-billing-account",
        api::AllowedOrigins::default(),
        routes(database.clone(), billing),
    )
    .oneshot(request)
    .await
    .unwrap()
}

async fn json(response: Response) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_billing_account_is_shown_to_those_who_may_see_it(database: PgPool) {
    let billing = Running::start(&database).await.client();
    let patient = Uuid::now_v7();
    let account = billing
        .create_account(patient, &BilledTo::of("Zoë", "zoe@clinic.example"))
        .await
        .unwrap();

    for &role in Role::ALL {
        let request = as_caller(request(&patient.to_string()), role);
        let response = answer(&database, billing.clone(), request).await;
        if role == Role::Clinician {
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            continue;
        }
        assert_eq!(response.status(), StatusCode::OK, "{role}");
        assert_eq!(
            json(response).await,
            json!({
                "accountId": account.id,
                "patientId": patient,
                "status": "ACTIVE",
                "createdAt": account.created_at,
            })
        );
    }

    let response = answer(&database, billing.clone(), request(&patient.to_string())).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);

    // A deleted patient's account is closed, and visible to the same roles.
    billing.close_account(patient).await.unwrap();
    for &role in Role::ALL {
        let request = as_caller(request(&patient.to_string()), role);
        let response = answer(&database, billing.clone(), request).await;
        if role == Role::Clinician {
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            continue;
        }
        assert_eq!(response.status(), StatusCode::OK, "{role}");
        assert_eq!(json(response).await["status"], "CLOSED");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_account_of_a_record_that_was_merged_is_the_survivors(database: PgPool) {
    let billing = Running::start(&database).await.client();
    let [survivor, duplicate] = [Uuid::now_v7(), Uuid::now_v7()];
    for (patient, email) in [
        (survivor, "zoe@clinic.example"),
        (duplicate, "zo@clinic.example"),
    ] {
        billing
            .create_account(patient, &BilledTo::of("Zoë", email))
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO patients.patient
                 (id, version, name, email, address, date_of_birth, registered_date)
             VALUES ($1, 1, 'Zoë', $2, 'here', '1983-11-14', now())",
        )
        .bind(patient)
        .bind(email)
        .execute(&database)
        .await
        .unwrap();
    }
    sqlx::query("UPDATE patients.patient SET merged_into = $1, active = false WHERE id = $2")
        .bind(survivor)
        .bind(duplicate)
        .execute(&database)
        .await
        .unwrap();

    let accounts = [survivor, duplicate].map(async |patient| {
        let request = as_caller(request(&patient.to_string()), Role::Admin);
        let response = answer(&database, billing.clone(), request).await;
        assert_eq!(response.status(), StatusCode::OK);
        json(response).await
    });
    let [own, merged] = accounts;
    let own = own.await;
    assert_eq!(own["patientId"], json!(survivor));
    assert_eq!(merged.await, own);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_audit_record_names_the_billing_account(database: PgPool) {
    let billing = Running::start(&database).await.client();
    let patient = Uuid::now_v7();
    let account = billing
        .create_account(patient, &BilledTo::of("Zoë", "zoe@clinic.example"))
        .await
        .unwrap();
    let request = as_caller(request(&patient.to_string()), Role::Admin);
    let response = answer(&database, billing, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let recorded: Vec<(String, Vec<Uuid>, String, Uuid)> =
        sqlx::query_as("SELECT action, patient_ids, resource_type, resource_id FROM audit.record")
            .fetch_all(&database)
            .await
            .unwrap();
    let action = "READ_BILLING_ACCOUNT".to_owned();
    let kind = "BILLING_ACCOUNT".to_owned();
    assert_eq!(recorded, [(action, vec![patient], kind, account.id)]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_without_a_billing_account_is_404(database: PgPool) {
    let billing = Running::start(&database).await.client();
    let request = as_caller(request(&Uuid::now_v7().to_string()), Role::Admin);
    let response = answer(&database, billing, request).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(json(response).await["detail"], "Billing account not found");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_patient_id_is_rejected(database: PgPool) {
    let billing = Running::start(&database).await.client();
    let id = Uuid::now_v7();
    for other in [
        "42".to_owned(),
        format!("urn:uuid:{id}"),
        format!("%7B{id}%7D"),
        id.simple().to_string(),
    ] {
        let request = as_caller(request(&other), Role::Admin);
        let response = answer(&database, billing.clone(), request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{other}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_billing_service_that_cannot_respond_is_503(database: PgPool) {
    let stopped = Running::start(&database).await;
    let gone = stopped.client();
    stopped.stop().await;
    let without_database = Running::start(&nowhere()).await.client();

    for billing in [gone, without_database] {
        let request = as_caller(request(&Uuid::now_v7().to_string()), Role::Admin);
        let response = answer(&database, billing, request).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_wrong_token_is_a_500_that_tells_clients_nothing(database: PgPool) {
    let running = Running::start(&database).await;
    let billing = BillingClient::new(&running.url(), "another-token-of-the-tests").unwrap();
    let request = as_caller(request(&Uuid::now_v7().to_string()), Role::Admin);
    let response = answer(&database, billing, request).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!json(response).await.to_string().contains("TOKEN"));
}
