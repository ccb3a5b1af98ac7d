//! What `audit.append` does for a service, many at a time.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres,
    Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::service_roles::Stage;

const CHAINS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

async fn append(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT audit.append($1, $2, 'CLINICIAN', 'READ_PATIENT', 'SUCCEEDED', NULL, $3, NULL,
             $4, '192.0.2.1', 'a request')",
    )
    .bind(id)
    .bind(Uuid::new_v4())
    .bind([Uuid::new_v4(), Uuid::new_v4()])
    .bind("ein Grund – 理由")
    .execute(connection)
    .await?;
    Ok(())
}

async fn ids(database: &PgPool) -> BTreeSet<Uuid> {
    let ids = sqlx::query_scalar("SELECT id FROM audit.record");
    ids.fetch_all(database).await.unwrap().into_iter().collect()
}

/// Every record is at the place that it has, with the hash of all before it, and each
/// chain ends where it says.
async fn assert_chained(database: &PgPool) {
    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*)
         FROM (
             SELECT *,
                 row_number() OVER chained AS place,
                 lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER chained AS before
             FROM audit.record
             WINDOW chained AS (PARTITION BY chain ORDER BY sequence)
         ) AS record,
         LATERAL (
             SELECT string_agg(coalesce(octet_length(value) || ':' || value, '-'), '' ORDER BY number)
             FROM unnest(ARRAY[
                 chain::text, sequence::text, id::text,
                 (extract(epoch FROM occurred_at) * 1000000)::bigint::text,
                 actor_id::text, actor_role, action, outcome, problem,
                 array_to_string(patient_ids, ','), account_id::text, reason, source, request_id,
                 resource_type, resource_id::text, hash_version::text
             ]) WITH ORDINALITY AS field (value, number)
         ) AS content (fields)
         WHERE sequence <> place OR hash <> sha256(before || convert_to(fields, 'UTF8'))",
    )
    .fetch_one(database)
    .await
    .unwrap();
    assert_eq!(
        wrong, 0,
        "records that do not follow from those before them"
    );

    let heads: Vec<(i64, i64, bool)> = sqlx::query_as(
        "SELECT chain.sequence, count(record.id),
             chain.hash = coalesce((array_agg(record.hash ORDER BY record.sequence DESC))[1],
                 decode(repeat('00', 32), 'hex'))
         FROM audit.chain LEFT JOIN audit.record ON record.chain = chain.number
         GROUP BY chain.number",
    )
    .fetch_all(database)
    .await
    .unwrap();
    assert_eq!(heads.len(), CHAINS);
    for (sequence, records, is_last) in heads {
        assert!(sequence == records && is_last, "{sequence} of {records}");
    }
}

/// Until so many sessions of the role wait for somebody else's transaction.
async fn waiting(database: &PgPool, role: &str, sessions: i64) {
    let all_wait = async {
        loop {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE usename = $1 AND wait_event_type = 'Lock'",
            )
            .bind(role)
            .fetch_one(database)
            .await
            .unwrap();
            if waiting == sessions {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_wait).await.expect("they wait");
}

async fn pool(stage: &Stage, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .connect_with(stage.options())
        .await
        .unwrap()
}

/// As many transactions as there are chains are open, as many wait for one of them, and
/// half of all are rolled back.
#[sqlx::test(migrations = false)]
async fn chains_have_no_gaps_whoever_waits_or_gives_up(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let observer = PgPool::connect_with(stage.owner.clone()).await.unwrap();
    let service = pool(&stage, 32).await;
    let mut kept = BTreeSet::new();

    for round in 0..3 {
        let mut open: Vec<([Uuid; 2], Transaction<'_, Postgres>)> = Vec::new();
        for _ in 0..CHAINS {
            let mut transaction = service.begin().await.unwrap();
            let ids = [Uuid::new_v4(), Uuid::new_v4()];
            // The second stays on the chain of the first, and leaves others to others.
            for id in ids {
                append(&mut transaction, id).await.unwrap();
            }
            open.push((ids, transaction));
        }
        let late = join_all((0..CHAINS).map(|place| {
            let service = &service;
            async move {
                let mut transaction = service.begin().await.unwrap();
                let ids = [Uuid::new_v4(), Uuid::new_v4()];
                for id in ids {
                    append(&mut transaction, id).await.unwrap();
                }
                if place % 2 == 0 {
                    transaction.commit().await.unwrap();
                    ids.to_vec()
                } else {
                    transaction.rollback().await.unwrap();
                    Vec::new()
                }
            }
        }));
        let settle = async {
            waiting(&observer, &stage.role, i64::try_from(CHAINS).unwrap()).await;
            let mut kept = Vec::new();
            for (place, (ids, transaction)) in open.into_iter().enumerate() {
                if (place + round) % 2 == 0 {
                    transaction.commit().await.unwrap();
                    kept.extend(ids);
                } else {
                    transaction.rollback().await.unwrap();
                }
            }
            kept
        };
        let (late, settled) = timeout(PATIENCE, async { tokio::join!(late, settle) })
            .await
            .expect("nobody waits for ever");
        kept.extend(late.into_iter().flatten().chain(settled));
    }

    assert_eq!(ids(&observer).await, kept);
    assert_chained(&observer).await;
    service.close().await;
    observer.close().await;
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn a_record_is_written_once_by_two_at_the_same_time(
    _: PgPoolOptions,
    owner: PgConnectOptions,
) {
    let stage = Stage::provisioned(owner).await;
    let observer = PgPool::connect_with(stage.owner.clone()).await.unwrap();
    let service = pool(&stage, 2).await;
    let mut written = BTreeSet::new();
    for first_gives_up in [false, true] {
        let id = Uuid::new_v4();
        let mut first = service.begin().await.unwrap();
        append(&mut first, id).await.unwrap();
        let second = async {
            let mut second = service.begin().await.unwrap();
            append(&mut second, id).await.unwrap();
            second.commit().await.unwrap();
        };
        let first = async {
            waiting(&observer, &stage.role, 1).await;
            if first_gives_up {
                first.rollback().await.unwrap();
            } else {
                first.commit().await.unwrap();
            }
        };
        tokio::join!(first, second);
        written.insert(id);
        assert_eq!(ids(&observer).await, written);
    }
    let mut again = service.acquire().await.unwrap();
    for id in &written {
        append(&mut again, *id).await.unwrap();
    }
    drop(again);
    assert_eq!(ids(&observer).await, written);
    assert_chained(&observer).await;
    service.close().await;
    observer.close().await;
    stage.leave().await;
}

/// The function runs as the owner: whatever types its caller has made must not matter.
#[sqlx::test(migrations = false)]
async fn nothing_of_the_callers_runs_as_the_owner(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let database = stage.owner.get_database().unwrap();
    // As PostgreSQL would have it.
    stage
        .as_owner(&format!(
            "GRANT TEMPORARY ON DATABASE \"{database}\" TO PUBLIC"
        ))
        .await;
    let mut session = stage.log_in().await;
    for (name, of) in [
        ("text", "text"),
        ("timestamptz", "timestamptz"),
        ("uuid", "uuid"),
        ("bytea", "bytea"),
    ] {
        let statement = format!(
            "CREATE FUNCTION pg_temp.note(value pg_catalog.{of}) RETURNS boolean
                 LANGUAGE plpgsql AS $$ BEGIN
                     PERFORM pg_catalog.set_config('test.ran_as', CURRENT_USER, false);
                     RETURN true;
                 END $$;
             CREATE DOMAIN pg_temp.{name} AS pg_catalog.{of} CHECK (pg_temp.note(VALUE));"
        );
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut session)
            .await
            .unwrap();
    }
    for table in ["chain", "record"] {
        let statement = format!("CREATE TEMPORARY TABLE {table} (number smallint)");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut session)
            .await
            .unwrap();
    }
    append(&mut session, Uuid::new_v4()).await.unwrap();
    let ran_as: Option<String> = sqlx::query_scalar("SELECT current_setting('test.ran_as', true)")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(ran_as, None);
    session.close().await.unwrap();
    stage.leave().await;
}

#[sqlx::test(migrations = false)]
async fn what_the_hash_cannot_tell_apart_is_refused(_: PgPoolOptions, owner: PgConnectOptions) {
    let stage = Stage::provisioned(owner).await;
    let mut session = stage.options().connect().await.unwrap();
    let id = Uuid::nil();
    for patients in [
        "{NULL}".to_owned(),
        format!("{{{id},NULL}}"),
        format!("{{{{{id}}},{{{id}}}}}"),
    ] {
        let statement = format!(
            "SELECT audit.append(gen_random_uuid(), NULL, NULL, 'LIST_PATIENTS', 'SUCCEEDED', NULL,
                 '{patients}', NULL, NULL, NULL, NULL)"
        );
        let outcome = sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut session)
            .await;
        assert!(outcome.is_err(), "{patients}");
    }
    session.close().await.unwrap();
    stage.leave().await;
}
