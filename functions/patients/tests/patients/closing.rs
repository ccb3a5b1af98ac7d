//! A deleted patient's billing account is closed.

use axum::http::{Method, StatusCode};
use billing_client::{AccountStatus, BillingClient};
use patients::outbox::{Delivery, Receivers};
use sqlx::{AssertSqlSafe, PgPool, migrate::Migrator};
use uuid::Uuid;

use crate::{
    fixtures::{Call, delivery, outbox_kinds},
    relay::{cluster, register, relay},
};

async fn delete(database: &PgPool, patient: Uuid) {
    let path = format!("/api/patients/{patient}");
    let answer = Call::as_admin(database)
        .send(Method::DELETE, &path, None)
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn deleting_a_patient_closes_the_account_after_it_was_opened(database: PgPool) {
    let [stays, goes] = register(&database, 2).await[..] else {
        panic!("two patients")
    };
    delete(&database, goes).await;
    let opening = ["BILLING_ACCOUNT", "PATIENT_EVENT"];
    let closing = ["BILLING_CLOSURE", "PATIENT_EVENT"];
    let waiting = [opening, opening, closing].concat();
    assert_eq!(outbox_kinds(&database).await, waiting);
    relay(&database, &delivery()).await;
    assert_eq!(outbox_kinds(&database).await, waiting);

    let billing = BillingClient::from_env().unwrap();
    let delivery = Delivery::new(Receivers::new(billing.clone(), cluster()));
    assert_eq!(relay(&database, &delivery).await.backlog, 0);
    for (patient, status) in [
        (stays, AccountStatus::Active),
        (goes, AccountStatus::Closed),
    ] {
        let account = billing.get_account(patient).await.unwrap().unwrap();
        assert_eq!(account.status, status);
    }
}

/// Rows from before deletions closed the account.
#[sqlx::test(migrations = false)]
async fn the_migration_closes_the_accounts_of_patients_deleted_earlier(database: PgPool) {
    let all = schemas::Service::Patients.migrations();
    let before = all.iter().filter(|migration| migration.version < 7);
    let before = Migrator::with_migrations(before.cloned().collect());
    before.run(&database).await.unwrap();
    let execute = async |sql: &str| {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&database).await.unwrap();
    };
    execute(include_str!("../../../billing/migrations/0001_account.sql")).await;
    let [there, gone, gone_before_it_was_opened] = [(); 3].map(|()| Uuid::now_v7());
    let account = |patient: Uuid| {
        format!(
            "INSERT INTO billing.account (id, patient_id, name, email)
             VALUES ('{}', '{patient}', 'Zoë', 'zoe@clinic.example');",
            Uuid::now_v7()
        )
    };
    execute(&account(there)).await;
    execute(&account(gone)).await;
    execute(&format!(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, registered_date)
         VALUES ('{there}', 1, 'Zoë', 'zoe@clinic.example', '1 Main St', '2000-02-29', '2024-01-10');
         INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
         VALUES ('{there}', '{there}', 'BILLING_ACCOUNT', '', ''),
                ('{gone_before_it_was_opened}', '{gone}', 'BILLING_ACCOUNT', '', '')"
    ))
    .await;

    all.run(&database).await.unwrap();
    let mut closed: Vec<Uuid> =
        sqlx::query_scalar("SELECT patient_id FROM patients.outbox WHERE kind = 'BILLING_CLOSURE'")
            .fetch_all(&database)
            .await
            .unwrap();
    closed.sort();
    assert_eq!(closed, [gone, gone_before_it_was_opened]);
}
