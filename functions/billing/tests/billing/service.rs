//! Opening, closing and reading accounts.

use std::collections::HashSet;

use contracts::billing::v1::{
    BillingAccountStatus, CloseBillingAccountRequest, CreateBillingAccountRequest,
    GetBillingAccountRequest,
};
use futures::future::join_all;
use schemas::Service;
use sqlx::PgPool;
use tonic::{Code, Request};
use uuid::Uuid;

use crate::running::{
    Running, close, create, get, hold, nowhere, until_a_call_waits, with_token, within,
};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_call_without_the_token_is_rejected(database: PgPool) {
    let mut billing = Running::start(&database).await.generated_client();
    let patient = Uuid::now_v7();

    let bare = Request::new(create(patient));
    let refusal = billing.create_billing_account(bare).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unauthenticated);

    for authorization in ["Bearer another-token-of-the-tests", "Bearer ", "Basic abc"] {
        let mut wrong = Request::new(get(patient));
        wrong
            .metadata_mut()
            .insert("authorization", authorization.parse().unwrap());
        let refusal = billing.get_billing_account(wrong).await.unwrap_err();
        assert_eq!(refusal.code(), Code::Unauthenticated, "{authorization}");
        let mut wrong = Request::new(close(patient));
        wrong
            .metadata_mut()
            .insert("authorization", authorization.parse().unwrap());
        let refusal = billing.close_billing_account(wrong).await.unwrap_err();
        assert_eq!(refusal.code(), Code::Unauthenticated, "{authorization}");
    }
    assert_eq!(accounts(&database).await, 0);
}

/// The service may be running before the deployment is complete, and no call may be lost because of
/// that.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn without_grants_a_call_is_unavailable_and_may_be_repeated(database: PgPool) {
    // A role without any grants here.
    let options = database.connect_options().as_ref().clone();
    let early = PgPool::connect_lazy_with(options.options([("role", "pg_monitor")]));
    let mut billing = Running::start(&early).await.generated_client();
    let refusal = billing
        .create_billing_account(with_token(create(Uuid::now_v7())))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_account_is_opened_once_and_found_again(database: PgPool) {
    let mut billing = Running::start(&database).await.generated_client();
    let patient = Uuid::now_v7();

    let answer = billing
        .create_billing_account(with_token(create(patient)))
        .await
        .unwrap();
    let opened = answer.into_inner().account.unwrap();
    assert_eq!(opened.patient_id, patient.to_string());
    assert_eq!(opened.status(), BillingAccountStatus::Active);
    assert!(opened.created_at.is_some());

    let again = CreateBillingAccountRequest {
        name: "Another Name".to_owned(),
        ..create(patient)
    };
    let answer = billing
        .create_billing_account(with_token(again))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().account, Some(opened.clone()));

    let answer = billing
        .get_billing_account(with_token(get(patient)))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().account, Some(opened));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn concurrent_calls_get_the_same_account(database: PgPool) {
    let running = Running::start(&database).await;
    let patient = Uuid::now_v7();

    let calls = (0..20).map(|_| {
        let mut billing = running.generated_client();
        async move {
            let answer = billing
                .create_billing_account(with_token(create(patient)))
                .await
                .unwrap();
            answer.into_inner().account.unwrap().account_id
        }
    });
    let ids: HashSet<String> = within(join_all(calls)).await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(accounts(&database).await, 1);
}

/// The database decides: a call that meets another one in progress waits for its end, then returns
/// that one's account, or opens its own.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_call_waits_for_one_in_progress(database: PgPool) {
    let running = Running::start(&database).await;
    for committed in [true, false] {
        let patient = Uuid::now_v7();
        let half_way = hold(&database, patient).await;
        let mut billing = running.generated_client();
        let call = tokio::spawn(async move {
            billing
                .create_billing_account(with_token(create(patient)))
                .await
        });
        until_a_call_waits(&database).await;
        if committed {
            half_way.commit().await.unwrap();
        } else {
            half_way.rollback().await.unwrap();
        }
        let answer = within(call).await.unwrap().unwrap().into_inner();
        assert_eq!(answer.account.unwrap().patient_id, patient.to_string());
        let name: String =
            sqlx::query_scalar("SELECT name FROM billing.account WHERE patient_id = $1")
                .bind(patient)
                .fetch_one(&database)
                .await
                .unwrap();
        assert_eq!(name == "Held", committed);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn invalid_input_is_rejected_with_the_reason(database: PgPool) {
    let mut billing = Running::start(&database).await.generated_client();
    let good = || create(Uuid::now_v7());
    let bad = [
        (
            CreateBillingAccountRequest {
                patient_id: "42".to_owned(),
                ..good()
            },
            "patient_id must be a UUID",
        ),
        (
            CreateBillingAccountRequest {
                name: "  ".to_owned(),
                ..good()
            },
            "name must not be blank",
        ),
        (
            CreateBillingAccountRequest {
                name: "é".repeat(101),
                ..good()
            },
            "name must not be longer than 100 characters",
        ),
        (
            CreateBillingAccountRequest {
                email: "nobody".to_owned(),
                ..good()
            },
            "email must be an e-mail address",
        ),
    ];
    for (request, reason) in bad {
        let refusal = billing
            .create_billing_account(with_token(request))
            .await
            .unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument, "{reason}");
        assert_eq!(refusal.message(), reason);
    }

    let nobody = GetBillingAccountRequest {
        patient_id: String::new(),
    };
    let refusal = billing
        .get_billing_account(with_token(nobody))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let nobody = CloseBillingAccountRequest {
        patient_id: "42".to_owned(),
    };
    let refusal = billing
        .close_billing_account(with_token(nobody))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(accounts(&database).await, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn messages_larger_than_16_kib_are_rejected(database: PgPool) {
    let mut billing = Running::start(&database).await.generated_client();
    let huge = CreateBillingAccountRequest {
        name: "x".repeat(20 * 1024),
        ..create(Uuid::now_v7())
    };
    let refusal = billing
        .create_billing_account(with_token(huge))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::OutOfRange, "{refusal}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_without_an_account_is_not_found(database: PgPool) {
    let mut billing = Running::start(&database).await.generated_client();
    let refusal = billing
        .get_billing_account(with_token(get(Uuid::now_v7())))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
}

#[tokio::test]
async fn without_its_database_the_service_is_unavailable() {
    let mut billing = Running::start(&nowhere()).await.generated_client();
    let refusal = billing
        .create_billing_account(with_token(create(Uuid::now_v7())))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
    let refusal = billing
        .get_billing_account(with_token(get(Uuid::now_v7())))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
}

#[sqlx::test(migrations = false)]
async fn before_its_schema_exists_the_service_is_unavailable(database: PgPool) {
    let mut billing = Running::start(&database).await.generated_client();
    let patient = Uuid::now_v7();
    let refusal = billing
        .create_billing_account(with_token(create(patient)))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");

    Service::Billing.migrations().run(&database).await.unwrap();
    billing
        .create_billing_account(with_token(create(patient)))
        .await
        .unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn callers_do_not_notice_a_column_that_changes_its_type(database: PgPool) {
    let options = database.connect_options().as_ref().clone();
    let mut billing = Running::start(&store::pool_of(options))
        .await
        .generated_client();
    let patient = Uuid::now_v7();
    for migration in [
        "SELECT 1",
        "ALTER TABLE billing.account ALTER COLUMN status TYPE varchar(40)",
        "ALTER TABLE billing.account ALTER COLUMN status TYPE text",
    ] {
        sqlx::query(migration).execute(&database).await.unwrap();
        // An existing account, and a new one.
        for patient in [patient, Uuid::now_v7()] {
            let opened = billing.create_billing_account(with_token(create(patient)));
            opened.await.unwrap();
            let request = GetBillingAccountRequest {
                patient_id: patient.to_string(),
            };
            let read = billing.get_billing_account(with_token(request));
            read.await.unwrap();
        }
    }
}

async fn accounts(database: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM billing.account")
        .fetch_one(database)
        .await
        .unwrap()
}
