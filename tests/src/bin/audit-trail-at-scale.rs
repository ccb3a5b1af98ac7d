//! `audit-trail-at-scale`: creates an audit trail of many records in a database of its own, and
//! measures what its size could affect: disk space, the time for verifying everything and a day,
//! and every filter of `GET /api/audit`.
//!
//! Run it with `local-stack exec`, which sets the database's URL. The database is dropped
//! afterwards.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use audit::verify_audit_trail::{Verification, Verified, verify_audit_trail};
use axum::body::Body;
use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use console::Term;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use identity::{Role, testing::as_caller};
use schemas::{Service, together};
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tower::ServiceExt as _;
use uuid::Uuid;

/// The number of chains.
const CHAINS: i64 = 16;

/// Fills a chain as `audit.append` would, without looking for a free one each time. Over six years,
/// 500 people do what the staff of a clinic do: seven of ten records are reads of one of 200,000
/// patients or of the billing account of one; one in eight is a list of twenty patients, half of these the first twenty; one in
/// fifty is a rejection without an actor.
const FILL: &str = "
CREATE FUNCTION fill(number smallint, many bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    head     bytea := decode(repeat('00', 32), 'hex');
    row      audit.record%ROWTYPE;
    kind     integer;
    first    integer;
BEGIN
    PERFORM setseed((number + 1) / 20.0);
    row.hash_version := 2;
    row.chain := number;
    row.source := '203.0.113.7';
    FOR n IN 1..many LOOP
        kind := floor(random() * 100);
        row.sequence := n;
        row.id := gen_random_uuid();
        row.occurred_at := timestamptz '2026-01-01' + (interval '6 years' * n / many)
            + number * interval '1 millisecond';
        row.actor_id := lpad(to_hex(floor(random() ^ 2 * 500)::integer), 32, '0')::uuid;
        row.actor_role := 'CLINICIAN';
        row.outcome := 'SUCCEEDED';
        row.problem := NULL;
        row.account_id := NULL;
        row.resource_type := NULL;
        row.resource_id := NULL;
        row.request_id := row.id::text;
        row.patient_ids := ARRAY[lpad(to_hex(floor(random() * 200000)::integer), 32, '0')::uuid];
        IF kind < 68 THEN
            row.action := 'READ_PATIENT';
        ELSIF kind < 70 THEN
            row.action := 'READ_BILLING_ACCOUNT';
            row.resource_type := 'BILLING_ACCOUNT';
            -- Each patient has one.
            row.resource_id := row.patient_ids[1];
        ELSIF kind < 82 THEN
            row.action := 'LIST_PATIENTS';
            first := CASE WHEN random() < 0.5 THEN 0 ELSE floor(random() * 199980)::integer END;
            row.patient_ids := ARRAY(
                SELECT lpad(to_hex(first + i), 32, '0')::uuid FROM generate_series(0, 19) AS i);
        ELSIF kind < 90 THEN
            row.action := 'UPDATE_PATIENT';
        ELSIF kind < 92 THEN
            row.action := 'READ_ACCOUNTS';
            row.actor_id := NULL;
            row.actor_role := NULL;
            row.outcome := 'REFUSED';
            row.problem := 'unauthorized';
            row.patient_ids := '{}';
        ELSIF kind < 98 THEN
            row.action := 'LOG_IN';
            row.patient_ids := '{}';
            row.account_id := row.actor_id;
        ELSIF random() < 0.02 THEN
            row.action := 'DELETE_PATIENT';
            row.outcome := 'FAILED';
            row.problem := 'not-found';
        ELSE
            row.action := 'CREATE_PATIENT';
        END IF;
        head := sha256(head || convert_to(
            audit.field(row.chain::text) || audit.field(row.sequence::text)
            || audit.field(row.id::text)
            || audit.field((extract(epoch FROM row.occurred_at) * 1000000)::bigint::text)
            || audit.field(row.actor_id::text) || audit.field(row.actor_role)
            || audit.field(row.action) || audit.field(row.outcome) || audit.field(row.problem)
            || audit.field(array_to_string(row.patient_ids, ','))
            || audit.field(row.account_id::text) || audit.field(row.reason)
            || audit.field(row.source) || audit.field(row.request_id)
            || audit.field(row.resource_type) || audit.field(row.resource_id::text)
            || audit.field(row.hash_version::text), 'UTF8'));
        row.hash := head;
        INSERT INTO audit.record VALUES (row.*);
    END LOOP;
    UPDATE audit.chain SET sequence = many, hash = head WHERE chain.number = fill.number;
END
$$";

/// Measure what the size of the audit trail makes slow
#[derive(Parser)]
#[command(name = "audit-trail-at-scale", version)]
struct Arguments {
    /// The number of records
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(i64).range(16..))]
    records: i64,
    /// The database server, with a role that may create databases
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: PgConnectOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let name = format!("audit_at_scale_{}", Uuid::now_v7().simple());
    let mut server = PgConnection::connect_with(&arguments.database).await?;
    execute(&mut server, format!("CREATE DATABASE {name}")).await?;
    let database = arguments.database.clone().database(&name);
    let measured = measure(database, arguments.records).await;
    execute(&mut server, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    measured
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(sql);
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

async fn measure(options: PgConnectOptions, records: i64) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(4);
    let database = pool.connect_with(options).await?;
    // The list looks up names, too.
    let schemas = together([Service::Audit, Service::Auth]);
    schemas.run(&database).await?;
    let begun = Instant::now();
    fill(&database, records).await?;
    say(&format!(
        "{records} records created in {:.0} s",
        begun.elapsed().as_secs_f64()
    ))?;
    say(&room(&database).await?)?;

    let mut table = table(["verification", "records", "s", "records/s"]);
    let mut verify = async |what: &str, full: bool| -> anyhow::Result<Verified> {
        let verification = if full {
            Verification::of_everything()
        } else {
            Verification::default()
        };
        let begun = Instant::now();
        // The time that a run of the function has.
        let until = begun + Duration::from_secs(870);
        let verified = verify_audit_trail(&database, verification, until).await?;
        ensure!(verified.faults.is_empty(), "{:?}", verified.faults);
        let seconds = begun.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = verified.records as f64 / seconds;
        table.add_row([
            what.to_owned(),
            verified.records.to_string(),
            format!("{seconds:.2}"),
            format!("{rate:.0}"),
        ]);
        Ok(verified)
    };
    verify("everything", true).await?;
    verify("nothing new", false).await?;
    let day = records / (6 * 365);
    append(&database, day).await?;
    verify("a day", false).await?;
    say(&table.to_string())?;

    sqlx::query("VACUUM ANALYZE audit.record")
        .execute(&database)
        .await?;
    say(&lists(&database).await?)?;
    Ok(())
}

/// Creates the records, then the indexes.
async fn fill(database: &PgPool, records: i64) -> anyhow::Result<()> {
    let mut indexes: Vec<(String, String)> = sqlx::query_as(
        "SELECT indexname::text, indexdef FROM pg_indexes
         WHERE schemaname = 'audit' AND tablename = 'record'
           AND indexname NOT IN ('record_pkey', 'record_once')",
    )
    .fetch_all(database)
    .await?;
    for (name, _) in &indexes {
        let drop = AssertSqlSafe(format!("DROP INDEX audit.{name}"));
        sqlx::query(drop).execute(database).await?;
    }
    sqlx::raw_sql(FILL).execute(database).await?;
    stream::iter(0..CHAINS)
        .map(|chain| {
            let fill = sqlx::query("SELECT fill($1::smallint, $2)");
            let fill = fill.bind(i16::try_from(chain).unwrap_or_default());
            fill.bind(records / CHAINS).execute(database)
        })
        .buffer_unordered(4)
        .try_collect::<Vec<_>>()
        .await?;
    for (_, definition) in indexes.drain(..) {
        sqlx::query(AssertSqlSafe(definition))
            .execute(database)
            .await?;
    }
    Ok(())
}

/// Appends records the way the services do.
async fn append(database: &PgPool, many: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT audit.append(gen_random_uuid(), lpad('7', 32, '0')::uuid, 'CLINICIAN', 'READ_PATIENT',
             'SUCCEEDED', NULL, ARRAY[lpad(to_hex(n), 32, '0')::uuid], NULL, NULL, '203.0.113.7', 'r')
         FROM generate_series(1, $1::integer) AS n",
    )
    .bind(i32::try_from(many).unwrap_or(i32::MAX))
    .execute(database)
    .await?;
    Ok(())
}

async fn room(database: &PgPool) -> anyhow::Result<String> {
    let rooms: Vec<(String, i64)> = sqlx::query_as(
        "SELECT 'table' AS what, pg_table_size('audit.record')
         UNION ALL
         SELECT indexname::text, pg_relation_size(('audit.' || indexname)::regclass)
         FROM pg_indexes WHERE schemaname = 'audit' AND tablename = 'record'
         UNION ALL
         SELECT 'all', pg_total_relation_size('audit.record')
         ORDER BY 2",
    )
    .fetch_all(database)
    .await?;
    let records: i64 = sqlx::query_scalar("SELECT sum(sequence)::bigint FROM audit.chain")
        .fetch_one(database)
        .await?;
    let mut table = table(["room", "MB", "bytes a record"]);
    for (what, bytes) in rooms {
        table.add_row([
            what,
            (bytes / 1_000_000).to_string(),
            (bytes / records).to_string(),
        ]);
    }
    Ok(table.to_string())
}

/// Every filter, alone and combined with others, for frequent and rare values.
async fn lists(database: &PgPool) -> anyhow::Result<String> {
    let id = |number: u128| Uuid::from_u128(number).to_string();
    let filters = [
        ("patientId", vec![id(0), id(4711)]),
        ("actorId", vec![id(0), id(499), id(501)]),
        ("accountId", vec![id(1)]),
        ("resourceType=BILLING_ACCOUNT&resourceId", vec![id(4711)]),
        (
            "action",
            ["READ_PATIENT", "DELETE_PATIENT", "READ_ACCOUNTS", "LOG_OUT"]
                .map(str::to_owned)
                .into(),
        ),
        (
            "outcome",
            ["SUCCEEDED", "REFUSED", "FAILED"].map(str::to_owned).into(),
        ),
        ("from", vec!["2028-01-01".to_owned()]),
        ("to", vec!["2030-01-01".to_owned()]),
    ];
    let mut queries = vec![String::new()];
    for (name, values) in filters {
        let longer = queries.iter().flat_map(|query| {
            let longer = values
                .iter()
                .map(move |value| format!("{query}&{name}={value}"));
            longer.collect::<Vec<_>>()
        });
        queries.extend(longer.collect::<Vec<_>>());
    }
    let routes = audit::list_audit_records::routes(database.clone());
    let routes = api::around("list-audit-records", api::AllowedOrigins::default(), routes);
    let mut times = Vec::new();
    for query in &queries {
        let request = axum::http::Request::get(format!("/api/audit?limit=20{query}"));
        let request = as_caller(request.body(Body::empty())?, Role::Auditor);
        let begun = Instant::now();
        let response = routes.clone().oneshot(request).await?;
        let time = begun.elapsed();
        ensure!(
            response.status().is_success(),
            "{query}: {}",
            response.status()
        );
        times.push((time, query));
    }
    times.sort_unstable();
    let middle = times.get(times.len() / 2).context("there are queries")?.0;
    let mut table = table(["slowest filters", "ms"]);
    for (time, query) in times.iter().rev().take(10) {
        table.add_row([
            query.trim_start_matches('&').to_owned(),
            milliseconds(*time),
        ]);
    }
    table.add_row([format!("median of {}", queries.len()), milliseconds(middle)]);
    Ok(table.to_string())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(Term::stdout(), "{text}\n")
}
