//! What the deployed functions may do in the database, and what nobody may.

use std::env;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
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
async fn functions_and_the_billing_service_log_in_with_the_role_of_their_service() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    visitor.get(&patient.path()).answers(200).await;
    let notifications = format!("/api/notifications?patientId={}", patient.id);
    visitor.get(&notifications).answers(200).await;
    visitor.get("/api/audit").answers(200).await;

    let mut observer = connect("DATABASE_URL").await;
    for (function, service) in [
        ("login", "AUTH"),
        ("create-patient", "PATIENTS"),
        ("get-patient", "PATIENTS"),
        ("billing-service", "BILLING"),
        ("list-notifications", "NOTIFICATIONS"),
        ("list-audit-records", "AUDIT"),
    ] {
        let roles: Vec<String> = eventually(function, async || {
            let roles: Vec<String> = sqlx::query_scalar(
                "SELECT DISTINCT usename::text FROM pg_stat_activity
                 WHERE application_name = $1 AND datname = current_database()",
            )
            .bind(function)
            .fetch_all(&mut observer)
            .await
            .unwrap();
            (!roles.is_empty()).then_some(roles)
        })
        .await;
        let role = database(&format!("{service}_DATABASE_URL"));
        assert_eq!(roles, [role.get_username()], "{function}");
    }
    observer.close().await.unwrap();
}

async fn is_refused(connection: &mut PgConnection, statement: &str) {
    let mut transaction = connection.begin().await.unwrap();
    let refused = sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut *transaction)
        .await
        .expect_err(statement);
    let code = refused.as_database_error().unwrap().code().unwrap();
    assert_eq!(code, "42501", "{statement}");
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn no_service_touches_what_belongs_to_another() {
    for (service, statements) in [
        (
            "NOTIFICATIONS",
            &[
                "UPDATE auth.user_account SET role = 'ADMIN'",
                "SELECT FROM auth.user_account",
                "SELECT auth.role_now(gen_random_uuid())",
                "SELECT FROM patients.patient",
                "SELECT FROM billing.account",
                "SELECT FROM audit.record",
            ][..],
        ),
        (
            "PATIENTS",
            &[
                "SELECT FROM auth.user_account",
                "SELECT auth.names_of('{}')",
                "SELECT FROM billing.account",
                "SELECT FROM audit.record",
            ],
        ),
        (
            "AUTH",
            &["SELECT FROM patients.patient", "SELECT FROM audit.record"],
        ),
        (
            "BILLING",
            &["SELECT FROM patients.patient", "SELECT FROM audit.record"],
        ),
        (
            "AUDIT",
            &[
                "SELECT FROM auth.user_account",
                "SELECT FROM patients.patient",
            ],
        ),
        (
            "PLATFORM",
            &["SELECT FROM patients.patient", "SELECT FROM audit.record"],
        ),
    ] {
        let mut connection = connect(&format!("{service}_DATABASE_URL")).await;
        for statement in statements {
            is_refused(&mut connection, statement).await;
        }
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn no_record_of_the_audit_trail_can_be_changed_by_a_service() {
    const APPEND: &str = "SELECT audit.append(gen_random_uuid(), NULL, NULL, 'LOG_IN', 'FAILED',
        NULL, '{}', NULL, NULL, NULL, NULL)";
    for service in ["PATIENTS", "AUDIT"] {
        let mut connection = connect(&format!("{service}_DATABASE_URL")).await;
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
            "ALTER FUNCTION audit.append(uuid, uuid, text, text, text, text, uuid[], uuid, text, text, text)
             SECURITY INVOKER",
            "CREATE TABLE audit.mine ()",
            "CREATE TABLE patients.mine ()",
            "CREATE TABLE public.mine ()",
            "SET session_replication_role = 'replica'",
            "SELECT FROM audit._sqlx_migrations",
        ] {
            let mut transaction = connection.begin().await.unwrap();
            sqlx::raw_sql(APPEND)
                .execute(&mut *transaction)
                .await
                .unwrap();
            is_refused(&mut transaction, statement).await;
            transaction.rollback().await.unwrap();
        }
        connection.close().await.unwrap();
    }
}

/// Unless it is a server of the user's own, whose URL says what it likes.
#[tokio::test]
async fn connections_are_encrypted_to_a_server_that_proves_who_it_is() {
    let another_authority =
        include_bytes!("../../../shared/store/tests/certificates/authority.pem");
    for setting in ["DATABASE_URL", "PATIENTS_DATABASE_URL"] {
        if !env::var(setting).unwrap().contains("sslrootcert=") {
            return;
        }
        let options = database(setting);
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
        let mut connection = options.connect().await.unwrap();
        let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let encrypted = sqlx::query_scalar(encrypted)
            .fetch_one(&mut connection)
            .await;
        assert!(encrypted.unwrap_or(false), "{setting}");
        connection.close().await.unwrap();

        let plain = options.clone().ssl_mode(PgSslMode::Disable).connect().await;
        let refused = plain.unwrap_err().to_string();
        assert!(refused.contains("no encryption"), "{refused}");
        let deceived = options.ssl_root_cert_from_pem(another_authority.to_vec());
        let refused = deceived.connect().await.unwrap_err().to_string();
        assert!(refused.contains("certificate"), "{refused}");
    }
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
