//! Connections that were lost while nobody used them are no client's business.

use axum::http::{Method, StatusCode};
use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

#[sqlx::test(migrations = "./migrations")]
async fn a_request_after_the_database_was_restarted_is_served(database: PgPool) {
    let pool = store::pool_of(database.connect_options().as_ref().clone());
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
