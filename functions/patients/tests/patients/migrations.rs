//! Migrations while functions are running: their prepared statements become invalid, and no client
//! notices.

use axum::http::{Method, StatusCode};
use identity::Role;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::{
    fixtures::{Answer, Call, delivery, log_in_the_caller, with, zoe},
    relay::relay,
};

/// Every route, with every statement that it has, for a new patient; or for this one if nobody can
/// be registered.
async fn every_route(pool: &PgPool, somebody_else: &str) -> Vec<(&'static str, Answer)> {
    let admin = Call::as_admin(pool);
    let somebody = || {
        let email = format!("{}@clinic.example", Uuid::now_v7());
        with(zoe(), "email", email)
    };
    let key = Uuid::now_v7().to_string();
    let with_key = Call {
        key: Some(&key),
        ..admin
    };
    let mut answers = Vec::new();
    let patient = somebody();
    let create = Some(&patient);
    let created = with_key.send(Method::POST, "/api/patients", create).await;
    let id = created.body["id"]
        .as_str()
        .unwrap_or(somebody_else)
        .to_owned();
    answers.push(("create", created));
    let again = with_key.send(Method::POST, "/api/patients", create).await;
    answers.push(("create, again", again));
    let path = format!("/api/patients/{id}");
    let restriction = format!("{path}/restriction");
    let emergency = format!("{path}/emergency-access");
    let reason = json!({ "reason": "Unconscious in the emergency room" });
    let clinician = Call {
        role: Role::Clinician,
        ..admin
    };
    let requests: [(&str, Call<'_>, Method, &str, Option<Value>); 6] = [
        ("read", admin, Method::GET, &path, None),
        (
            "list",
            clinician,
            Method::GET,
            "/api/patients?limit=3",
            None,
        ),
        ("update", admin, Method::PUT, &path, Some(somebody())),
        (
            "restrict",
            admin,
            Method::PUT,
            &restriction,
            Some(json!({ "restricted": true })),
        ),
        ("open", clinician, Method::POST, &emergency, Some(reason)),
        ("delete", admin, Method::DELETE, &path, None),
    ];
    for (name, call, method, path, body) in requests {
        answers.push((name, call.send(method, path, body.as_ref()).await));
    }
    answers
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn clients_do_not_notice_a_column_that_changes_its_type(database: PgPool) {
    log_in_the_caller(&database).await;
    let options: PgConnectOptions = database.connect_options().as_ref().clone();
    let pool = store::pool_of(options);
    let id = Call::as_admin(&pool).created(&zoe()).await;
    for migration in [
        "SELECT 1",
        "ALTER TABLE patients.patient ALTER COLUMN name TYPE varchar(200)",
        "ALTER TABLE patients.patient ALTER COLUMN email TYPE varchar(300),
                                      ALTER COLUMN address TYPE varchar(600)",
        "ALTER TABLE patients.patient ALTER COLUMN name TYPE text",
        "ALTER TABLE patients.idempotency_key ALTER COLUMN entity_tag TYPE varchar(100)",
        "ALTER TABLE patients.outbox ALTER COLUMN kind TYPE varchar(100)",
    ] {
        sqlx::query(migration).execute(&database).await.unwrap();
        for (route, answer) in every_route(&pool, &id).await {
            assert!(
                answer.status.is_success(),
                "{route} after {migration}: {}",
                answer.body
            );
        }
    }
}

/// As after a failover, when a connection still leads to the former primary.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_standby_is_503_and_its_connections_are_dropped(database: PgPool) {
    log_in_the_caller(&database).await;
    let name = database
        .connect_options()
        .get_database()
        .unwrap()
        .to_owned();
    let alter = async |setting: &str| {
        let statement =
            format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = {setting}");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&database)
            .await
            .unwrap();
    };
    let options: PgConnectOptions = database.connect_options().as_ref().clone();
    let id = Call::as_admin(&database).created(&zoe()).await;
    let pool = store::pool_of(options);
    alter("on").await;
    for (route, answer) in every_route(&pool, &id).await {
        let unavailable = answer.status == StatusCode::SERVICE_UNAVAILABLE;
        assert!(unavailable, "{route}: {}", answer.body);
        assert!(answer.headers.contains_key("retry-after"), "{route}");
    }
    // No connection outlives the time as a standby: the next request gets a new one.
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "ALTER DATABASE \"{name}\" RESET default_transaction_read_only"
    )))
    .execute(&mut *writable(&database).await)
    .await
    .unwrap();
    for (route, answer) in every_route(&pool, &id).await {
        assert!(answer.status.is_success(), "{route}: {}", answer.body);
    }
}

async fn writable(database: &PgPool) -> sqlx::pool::PoolConnection<sqlx::Postgres> {
    let mut connection = database.acquire().await.unwrap();
    sqlx::query("SET default_transaction_read_only = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    connection
}

/// Between a migration and the deployment, functions of before go on.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn functions_of_before_leave_nothing_behind(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&with(zoe(), "name", "Before Marriage")).await;
    sqlx::query(
        "UPDATE patients.patient SET version = 2, name = 'After Wedding' WHERE id = $1::uuid",
    )
    .bind(&id)
    .execute(&database)
    .await
    .unwrap();
    relay(&database, &delivery()).await;
    for (q, total) in [("wedding", 1), ("marriage", 0)] {
        let path = format!("/api/patients?q={q}");
        let found = admin.send(Method::GET, &path, None).await.body;
        assert_eq!(found["total"], total, "{q}");
    }
    sqlx::query("DELETE FROM patients.patient WHERE id = $1::uuid")
        .bind(&id)
        .execute(&database)
        .await
        .unwrap();
    let versions: i64 = sqlx::query_scalar("SELECT count(*) FROM patients.patient_version")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(versions, 0);
}
