//! `patient-search-at-scale`: creates few and many patients, each in a database of its own, and
//! measures how long each kind of search and list takes with both.
//!
//! A query may take at most twice as long with many patients as with few, and 20 ms more, at the 95th
//! percentile; and no table may be read from one end to the other.
//!
//! Run it with `local-stack exec`, which sets the database's URL. The databases are dropped
//! afterwards.

use std::{io::Write as _, time::Instant};

use anyhow::{Context as _, ensure};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, header},
};
use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use console::Term;
use identity::{Role, testing::as_caller};
use patients::search::{phonetic, vocabulary};
use schemas::{Service, together};
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use system_tests::{GIVEN_NAMES, SURNAMES, invented_names};
use tower::ServiceExt as _;
use uuid::Uuid;

/// Measure searches and lists of few and many patients
#[derive(Parser)]
#[command(name = "patient-search-at-scale", version)]
struct Arguments {
    /// The number of patients of the large database
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1_000..))]
    patients: i64,
    /// How often each query is repeated
    #[arg(long, default_value_t = 50)]
    repeats: usize,
    /// The database server, with a role that may create databases
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: PgConnectOptions,
}

/// The patients, as the service would store them: names by frequency (the most frequent surname has
/// one in 40), every tenth with a telephone number and an e-mail address, one in 500 restricted.
const FILL: &str = "
CREATE TEMPORARY TABLE person AS
SELECT n, (58400 * power(random(), 3))::integer % 58400 AS s,
       (3000 * power(random(), 2))::integer % 3000 AS g,
       date '1930-01-01' + (random() * 33000)::integer AS born
FROM generate_series(1, $patients) AS n;

INSERT INTO patients.patient
    (id, version, name, email, address, date_of_birth, registered_date, sort_key, indexed_with,
     restricted, updated_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, 1, initcap(given.name) || ' ' || initcap(surname.name),
       'p' || n || '@clinic.example', '422 Farrell Path', born, '2025-01-10',
       surname.name || ' ' || given.name, 1, n % 500 = 0,
       timestamptz '2025-01-10' + n * interval '1 second'
FROM person JOIN surname ON surname.place = s JOIN given ON given.place = g;

INSERT INTO patients.search_term (patient_id, term, sort_key, beside, restricted, gone)
SELECT lpad(to_hex(person.n), 32, '0')::uuid, term, surname.name || ' ' || given.name,
       CASE WHEN kind = 1 THEN ' ' || least(surname.name, given.name) || ' '
                               || greatest(surname.name, given.name) || ' '
            WHEN kind = 2 THEN surname.codes || ltrim(given.codes)
            ELSE '' END,
       person.n % 500 = 0, false
FROM person JOIN surname ON surname.place = s JOIN given ON given.place = g
CROSS JOIN LATERAL (
    SELECT 1 AS kind, surname.name AS term
    UNION SELECT 1, given.name
    UNION SELECT 2, code FROM unnest(string_to_array(btrim(surname.codes || ltrim(given.codes)), ' ')) AS code
          WHERE code <> ''
    UNION SELECT 3, '@' || born
    UNION SELECT 3, '-' || reverse('4420' || (70000000 + person.n)) WHERE person.n % 10 = 0
    UNION SELECT 3, '=p' || person.n || '@clinic.example' WHERE person.n % 10 = 0
) AS terms;
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut server = PgConnection::connect_with(&arguments.database).await?;
    let mut measured = Vec::new();
    for patients in [1_000, arguments.patients] {
        let name = format!("search_at_scale_{}", Uuid::now_v7().simple());
        execute(&mut server, format!("CREATE DATABASE {name}")).await?;
        let database = arguments.database.clone().database(&name);
        let result = measure(database, patients, arguments.repeats).await;
        execute(&mut server, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        measured.push(result?);
    }
    let [(few, _), (many, read)] = &measured[..] else {
        anyhow::bail!("two databases are measured")
    };
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "query".to_owned(),
        "hits".to_owned(),
        "1,000: p95, ms".to_owned(),
        format!("{}: p95, ms", arguments.patients),
    ]);
    let mut slow = Vec::new();
    for (one, other) in few.iter().zip(many) {
        if other.p95 > 2.0 * one.p95 + 20.0 {
            slow.push(one.what);
        }
        table.add_row([
            one.what.to_owned(),
            other.total.clone(),
            format!("{:.1}", one.p95),
            format!("{:.1}", other.p95),
        ]);
    }
    say(&table.to_string())?;
    ensure!(slow.is_empty(), "too slow with many patients: {slow:?}");
    ensure!(
        read.is_empty(),
        "tables were read from end to end: {read:?}"
    );
    Ok(())
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(sql);
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

/// How long a query took.
struct Measured {
    what: &'static str,
    total: String,
    p95: f64,
}

/// How long the queries took, and which tables they read from end to end.
async fn measure(
    options: PgConnectOptions,
    patients: i64,
    repeats: usize,
) -> anyhow::Result<(Vec<Measured>, Vec<String>)> {
    // One connection, so that its own counts say which tables were read from end to end.
    let pool = PgPoolOptions::new().max_connections(1);
    let database = pool.connect_with(options).await?;
    together([Service::Patients, Service::Audit, Service::Auth])
        .run(&database)
        .await?;
    let begun = Instant::now();
    fill(&database, patients).await?;
    let bytes: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
        .fetch_one(&database)
        .await?;
    say(&format!(
        "{patients} patients created in {:.0} s, {} MB",
        begun.elapsed().as_secs_f64(),
        bytes / 1_000_000
    ))?;
    let routes = Router::new()
        .merge(patients::list_patients::routes(database.clone()))
        .merge(patients::search_patients::routes(database.clone()));
    let routes = api::around("search-at-scale", api::AllowedOrigins::default(), routes);
    let mut measured = Vec::new();
    let mut read = Vec::new();
    let mut before = full_reads(&database).await?;
    for (what, query) in queries() {
        measured.push(time(&routes, what, &query, repeats).await?);
        let after = full_reads(&database).await?;
        for (table, _) in after.iter().filter(|table| !before.contains(table)) {
            read.push(format!("{table} by \"{what}\""));
        }
        before = after;
    }
    // The page that is fifty pages into the hits of one letter.
    let mut deep = json!({ "q": "s" });
    for _ in 0..50 {
        let page = ask(&routes, &deep).await?;
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        deep["cursor"] = json!(cursor);
    }
    measured.push(time(&routes, "page 50 of one letter", &deep, repeats).await?);
    if full_reads(&database).await? != before {
        read.push("one by the pages of one letter".to_owned());
    }
    // Of a small table, that is the fastest way.
    read.retain(|_| patients >= 100_000);
    Ok((measured, read))
}

fn queries() -> Vec<(&'static str, Value)> {
    vec![
        ("record number", json!({ "q": "100500" })),
        ("one letter", json!({ "q": "s" })),
        ("frequent surname", json!({ "q": "smith" })),
        ("frequent given name", json!({ "q": "john" })),
        ("beginning of a surname", json!({ "q": "smi" })),
        ("frequent and frequent", json!({ "q": "john smith" })),
        ("two letters", json!({ "q": "j s" })),
        ("rare and frequent", json!({ "q": "zuwimbrent john" })),
        ("name and birth date", json!({ "q": "smith 1950-03-04" })),
        ("birth date", json!({ "dateOfBirth": "4.3.1950" })),
        ("typo", json!({ "q": "smtih" })),
        ("two typos", json!({ "q": "jhon smtih" })),
        ("by the sound", json!({ "q": "smyth" })),
        ("nobody", json!({ "q": "qqxxzz wwyyvv" })),
        ("telephone number", json!({ "phone": "020 70000500" })),
        ("e-mail address", json!({ "email": "p500@clinic.example" })),
        ("list by name", json!({ "list": "sort=name" })),
        ("list, newest first", json!({ "list": "sort=newest" })),
        (
            "changed since",
            json!({ "list": "changedSince=2025-01-10T00:01:00Z" }),
        ),
    ]
}

async fn time(
    routes: &Router,
    what: &'static str,
    query: &Value,
    repeats: usize,
) -> anyhow::Result<Measured> {
    let mut times = Vec::with_capacity(repeats);
    // Once to warm up.
    let page = ask(routes, query).await.context(what)?;
    for _ in 0..repeats {
        let begun = Instant::now();
        ask(routes, query).await.context(what)?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let p95 = times[(times.len() * 95).div_ceil(100).saturating_sub(1)];
    let total = page["total"].as_i64();
    Ok(Measured {
        what,
        total: total.map_or_else(|| "more".to_owned(), |total| total.to_string()),
        p95,
    })
}

async fn ask(routes: &Router, query: &Value) -> anyhow::Result<Value> {
    let mut query = query.clone();
    let parts = query.as_object_mut().context("a query is an object")?;
    let list = parts.remove("list");
    let cursor = parts.remove("cursor");
    let request = if let Some(list) = list.as_ref().and_then(Value::as_str) {
        Request::builder()
            .uri(format!("/api/patients?{list}"))
            .body(Body::empty())?
    } else {
        let cursor = cursor.as_ref().and_then(Value::as_str);
        let cursor = cursor
            .map(|cursor| format!("?cursor={cursor}"))
            .unwrap_or_default();
        Request::builder()
            .method(Method::POST)
            .uri(format!("/api/patients/search{cursor}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(query.to_string()))?
    };
    let answer = routes
        .clone()
        .oneshot(as_caller(request, Role::Receptionist))
        .await?;
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await?;
    ensure!(
        status.is_success(),
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(serde_json::from_slice(&body)?)
}

/// How often each table of the service was read from end to end.
async fn full_reads(database: &PgPool) -> anyhow::Result<Vec<(String, i64)>> {
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(database)
        .await?;
    sqlx::query("SELECT pg_stat_clear_snapshot()")
        .execute(database)
        .await?;
    let reads = sqlx::query_as(
        "SELECT relname::text, seq_scan FROM pg_stat_user_tables
         WHERE schemaname = 'patients' AND n_live_tup > 1000
         ORDER BY relname",
    );
    Ok(reads.fetch_all(database).await?)
}

/// Creates the patients, then the indexes of the largest table.
async fn fill(database: &PgPool, patients: i64) -> anyhow::Result<()> {
    let index: String =
        sqlx::query_scalar("SELECT pg_get_indexdef('patients.search_term_patient'::regclass)")
            .fetch_one(database)
            .await?;
    sqlx::raw_sql(
        "CREATE TEMPORARY TABLE surname (place integer PRIMARY KEY, name text, codes text);
         CREATE TEMPORARY TABLE given (place integer PRIMARY KEY, name text, codes text);
         ALTER TABLE patients.search_term DROP CONSTRAINT search_term_pkey;
         DROP INDEX patients.search_term_patient;
         SELECT setseed(0.5)",
    )
    .execute(database)
    .await?;
    let surnames = invented_names(
        SURNAMES,
        &[
            (20, "smith"),
            (400, "smyth"),
            (700, "smit"),
            (50_000, "zuwimbrent"),
        ],
    );
    let given = invented_names(GIVEN_NAMES, &[(5, "john"), (300, "jon")]);
    for (table, names) in [("surname", &surnames), ("given", &given)] {
        let codes: Vec<String> = names.iter().map(|name| beside_codes(name)).collect();
        let insert = format!(
            "INSERT INTO {table} SELECT place - 1, name, codes
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS made (name, codes, place)"
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(names)
            .bind(&codes)
            .execute(database)
            .await?;
    }
    let mut words: Vec<String> = surnames.into_iter().chain(given).collect();
    words.sort_unstable();
    words.dedup();
    sqlx::query("INSERT INTO patients.vocabulary SELECT unnest($1::text[])")
        .bind(&words)
        .execute(database)
        .await?;
    for words in words.chunks(10_000) {
        let pairs = words.iter().flat_map(|word| {
            vocabulary::deletions(word)
                .into_iter()
                .map(move |deletion| (deletion, word.clone()))
        });
        let (deletions, terms): (Vec<String>, Vec<String>) = pairs.unzip();
        sqlx::query(
            "INSERT INTO patients.vocabulary_deletion SELECT * FROM unnest($1::text[], $2::text[])",
        )
        .bind(&deletions)
        .bind(&terms)
        .execute(database)
        .await?;
    }
    let fill = FILL.replace("$patients", &patients.to_string());
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(database).await?;
    sqlx::raw_sql(
        "ALTER TABLE patients.search_term
             ADD CONSTRAINT search_term_pkey PRIMARY KEY (term, sort_key, patient_id)
                 INCLUDE (beside, restricted, gone)",
    )
    .execute(database)
    .await?;
    sqlx::raw_sql(AssertSqlSafe(index))
        .execute(database)
        .await?;
    for table in [
        "patient",
        "search_term",
        "vocabulary",
        "vocabulary_deletion",
    ] {
        let vacuum = AssertSqlSafe(format!("VACUUM ANALYZE patients.{table}"));
        sqlx::query(vacuum).execute(database).await?;
    }
    Ok(())
}

fn beside_codes(name: &str) -> String {
    let codes = phonetic::codes(name);
    codes
        .iter()
        .fold(" ".to_owned(), |all, code| format!("{all}~{code} "))
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(Term::stdout(), "{line}\n").context("the terminal is gone")
}
