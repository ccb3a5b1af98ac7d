//! Connections that were lost while nobody used them are no client's business; a database
//! that does not answer is, and soon.

use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgConnectOptions};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use uuid::Uuid;

use crate::fixtures::{Answer, Call, with, zoe};

/// What a client may be kept waiting for, while the database says nothing. It is the
/// pool's patience and some more.
const SOON: Duration = Duration::from_secs(8);

fn options(database: &PgPool) -> PgConnectOptions {
    database.connect_options().as_ref().clone()
}

async fn soon(answer: impl Future<Output = Answer>) -> Answer {
    let answer = tokio::time::timeout(SOON, answer).await;
    answer.expect("an answer in bounded time")
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    let kind = "urn:patient-management:problem:unavailable";
    assert_eq!(answer.body["type"], kind);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_database_that_is_frozen_keeps_nobody_waiting(database: PgPool) {
    let (address, frozen) = proxy(&options(&database)).await;
    let pool = store::pool_of(options(&database).host("127.0.0.1").port(address));
    let admin = Call::as_admin(&pool);
    let path = format!("/api/patients/{}", admin.created(&zoe()).await);

    frozen.send_replace(true);
    tokio::time::sleep(store::TRUSTED_FOR).await;
    let other = with(zoe(), "email", "other@clinic.example");
    assert_unavailable(&soon(admin.create(&other)).await);
    assert_unavailable(&soon(admin.send(Method::GET, &path, None)).await);

    // Nothing of it is left over.
    frozen.send_replace(false);
    admin.created(&other).await;
}

/// A way to the database, on which nothing moves while it is frozen.
async fn proxy(to: &PgConnectOptions) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (frozen, is_frozen) = watch::channel(false);
    let to = (to.get_host().to_owned(), to.get_port());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (to, mut is_frozen) = (to.clone(), is_frozen.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let frozen = async {
                    let is_frozen = is_frozen.wait_for(|frozen| *frozen).await;
                    is_frozen.is_ok()
                };
                let is_frozen = tokio::select! {
                    biased;
                    is_frozen = frozen => is_frozen,
                    _ = copy_bidirectional(&mut client, &mut server) => false,
                };
                if is_frozen {
                    // The connections stay open, and nothing moves on them any more.
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (port, frozen)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_database_without_free_connections_is_unavailable_for_the_moment(database: PgPool) {
    let role = format!("crowded_{}", Uuid::now_v7().simple());
    let execute = async |sql: String| {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&database).await;
        done.unwrap();
    };
    let password = "PASSWORD 'crowded'";
    execute(format!(
        "CREATE ROLE {role} LOGIN {password} CONNECTION LIMIT 0"
    ))
    .await;
    let pool = store::pool_of(options(&database).username(&role).password("crowded"));
    let path = format!("/api/patients/{}", Uuid::now_v7());
    let answer = soon(Call::as_admin(&pool).send(Method::GET, &path, None)).await;
    execute(format!("DROP ROLE {role}")).await;
    assert_unavailable(&answer);
}

/// A role that is not there yet, or has another password, or may not use a new table yet.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_deployment_that_is_not_complete_is_unavailable_for_the_moment(database: PgPool) {
    let path = format!("/api/patients/{}", Uuid::now_v7());
    for incomplete in [
        options(&database).username("nobody_yet").password("x"),
        options(&database).password("another"),
        // Everybody's role, which has been granted nothing here.
        options(&database).options([("role", "pg_monitor")]),
    ] {
        let pool = store::pool_of(incomplete);
        assert_unavailable(&soon(Call::as_admin(&pool).send(Method::GET, &path, None)).await);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_request_after_the_database_was_restarted_is_served(database: PgPool) {
    let pool = store::pool_of(options(&database));
    let admin = Call::as_admin(&pool);
    let path = format!("/api/patients/{}", admin.created(&zoe()).await);
    for (method, patient) in [(Method::GET, None), (Method::PUT, Some(zoe()))] {
        // As many as the pool has, and all of them idle.
        let first = pool.acquire().await.unwrap();
        let second = pool.acquire().await.unwrap();
        drop((first, second));
        terminate_others(&database).await;
        tokio::time::sleep(store::TRUSTED_FOR).await;

        let answer = admin.send(method.clone(), &path, patient.as_ref()).await;
        assert_eq!(answer.status, StatusCode::OK, "{method}: {}", answer.body);
    }
    let other = with(zoe(), "email", "other@clinic.example");
    terminate_others(&database).await;
    tokio::time::sleep(store::TRUSTED_FOR).await;
    admin.created(&other).await;
}

/// Ends every connection but the one that asks for it, and waits until they are gone.
async fn terminate_others(database: &PgPool) {
    let mut connection = database.acquire().await.unwrap();
    let ended: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert!(ended.into_iter().all(|ended| ended));
}
