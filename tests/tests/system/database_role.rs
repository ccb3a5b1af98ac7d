//! What the deployed functions may do in the database, and what nobody may.

use std::env;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};
use system_tests::{Clinic, eventually};

fn database(setting: &str) -> PgConnectOptions {
    let url = env::var(setting).unwrap_or_else(|_| panic!("{setting} is not set"));
    url.parse().unwrap()
}

async fn connect(setting: &str) -> PgConnection {
    database(setting).connect().await.unwrap()
}

#[tokio::test]
async fn functions_and_the_billing_service_log_in_as_the_application() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    visitor.get(&patient.path()).answers(200).await;

    let application = database("APPLICATION_DATABASE_URL");
    let owner = database("DATABASE_URL");
    assert_ne!(application.get_username(), owner.get_username());
    let mut observer = owner.connect().await.unwrap();
    for service in ["login", "create-patient", "get-patient", "billing-service"] {
        let roles: Vec<String> = eventually(service, async || {
            let roles: Vec<String> = sqlx::query_scalar(
                "SELECT DISTINCT usename::text FROM pg_stat_activity
                 WHERE application_name = $1 AND datname = current_database()",
            )
            .bind(service)
            .fetch_all(&mut observer)
            .await
            .unwrap();
            (!roles.is_empty()).then_some(roles)
        })
        .await;
        assert_eq!(roles, [application.get_username()], "{service}");
    }
    observer.close().await.unwrap();
}

#[tokio::test]
async fn no_record_of_the_audit_trail_can_be_changed_by_the_application() {
    const APPEND: &str = "SELECT audit.append(gen_random_uuid(), NULL, NULL, 'LOG_IN', 'FAILED',
        NULL, '{}', NULL, NULL, NULL, NULL)";
    let mut application = connect("APPLICATION_DATABASE_URL").await;
    for statement in [
        "INSERT INTO audit.record SELECT * FROM audit.record",
        "UPDATE audit.record SET actor_id = NULL",
        "DELETE FROM audit.record",
        "TRUNCATE audit.record",
        "UPDATE audit.chain SET sequence = 0",
        "DELETE FROM audit.chain",
        "ALTER TABLE audit.record DISABLE TRIGGER ALL",
        "DROP TRIGGER record_is_final ON audit.record",
        "DROP TABLE audit.record",
        "DROP SCHEMA audit CASCADE",
        "ALTER FUNCTION audit.append SECURITY INVOKER",
        "CREATE TABLE audit.mine ()",
        "CREATE TABLE patients.mine ()",
        "CREATE TABLE public.mine ()",
        "SET session_replication_role = 'replica'",
        "SELECT FROM audit._sqlx_migrations",
    ] {
        let mut transaction = application.begin().await.unwrap();
        sqlx::raw_sql(APPEND)
            .execute(&mut *transaction)
            .await
            .unwrap();
        let refused = sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await
            .expect_err(statement);
        let code = refused.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "42501", "{statement}");
        transaction.rollback().await.unwrap();
    }
    application.close().await.unwrap();
}

/// Nor by mistake by whoever owns it.
#[tokio::test]
async fn a_record_of_the_audit_trail_is_final() {
    let mut owner = connect("DATABASE_URL").await;
    for statement in [
        "UPDATE audit.record SET actor_id = NULL",
        "DELETE FROM audit.record",
        "TRUNCATE audit.record",
    ] {
        let mut transaction = owner.begin().await.unwrap();
        let refused = sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await
            .expect_err(statement);
        assert!(refused.to_string().contains("final"), "{refused}");
        transaction.rollback().await.unwrap();
    }
    owner.close().await.unwrap();
}
