//! Provisioning against a real PostgreSQL and a real Kafka, as two deployments at the
//! same time would do it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end here"
)]

mod audit_trail;
mod migrations;
mod service_roles;
mod signing_key;

use kafka::Cluster;
use platform::provision::{Patience, TopicShape, provide_topic, run_migrations};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

async fn tables(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT schemaname || '.' || tablename FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrations = false)]
async fn the_schemas_are_made_once_by_four_at_the_same_time(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let runs = tokio::join!(
        run_migrations(&database, Patience::default()),
        run_migrations(&database, Patience::default()),
        run_migrations(&database, Patience::default()),
        run_migrations(&database, Patience::default()),
    );
    let first = runs.0.unwrap();
    for other in [runs.1, runs.2, runs.3] {
        assert_eq!(other.unwrap(), first);
    }

    let pool = PgPool::connect_with(database.clone()).await.unwrap();
    let made = tables(&pool).await;
    for (service, migrations) in &first {
        assert!(*migrations > 0, "{service} has no migration");
        let record = format!("{service}._sqlx_migrations");
        assert!(made.contains(&record), "{record} is not in {made:?}");
        let own = made.iter().any(|table| {
            table.starts_with(&format!("{service}.")) && !table.ends_with("_sqlx_migrations")
        });
        assert!(own, "{service} has no table in {made:?}");
    }

    assert_eq!(
        run_migrations(&database, Patience::default())
            .await
            .unwrap(),
        first
    );
    assert_eq!(tables(&pool).await, made);
    pool.close().await;
}

#[sqlx::test(migrations = false)]
async fn a_migration_that_was_changed_after_the_fact_is_named(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    run_migrations(&database, Patience::default())
        .await
        .unwrap();
    let pool = PgPool::connect_with(database.clone()).await.unwrap();
    sqlx::query("UPDATE patients._sqlx_migrations SET checksum = ''")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;

    let refused = run_migrations(&database, Patience::default())
        .await
        .unwrap_err();
    let reason = format!("{refused:#}");
    assert!(reason.contains("patients"), "{reason}");
    assert!(reason.contains("modified"), "{reason}");
}

/// The broker's topics may be there already: they are those of the running stack.
#[tokio::test]
async fn each_topic_is_made_once_by_two_at_the_same_time() {
    let cluster = Cluster::from_env().expect("the settings of a stack");
    let shape = TopicShape {
        partitions: 6,
        replication: 1,
    };
    for topic in contracts::TOPICS {
        let (one, other) = tokio::join!(
            provide_topic(&cluster, topic, shape),
            provide_topic(&cluster, topic, shape)
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(!(one.created && other.created), "both made it");
        assert_eq!(one.partitions, other.partitions);

        let again = provide_topic(&cluster, topic, shape).await.unwrap();
        assert!(!again.created);
        assert_eq!((again.name, again.partitions), (topic, one.partitions));
    }
}
