//! Whatever is asked for, not far more records are read than are answered.

use std::fmt::Write as _;

use audit_trail::Action;
use sqlx::{PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::listing::get;

/// How many records there are: so many that reading them all shows.
const RECORDS: i32 = 60_000;

/// Who was treated long ago: PostgreSQL, which expects them as often in the newest records, finds
/// nobody there.
const PAST_PATIENT: Uuid = Uuid::from_u128(0x2000);

/// Who is on the first page of the list that everybody opens.
const FIRST_PATIENT: Uuid = Uuid::from_u128(0x3000);

/// How many more may be read than are answered.
const FACTOR: i64 = 40;

/// Ten people who read patients all day; the first of them has changed a few as well. A few
/// refusals, most of them of nobody. Who reads, reads the lists, too. Patients are 1,500, and those
/// two. One record in ten is about a resource, and one of these in a hundred about the same one.
const SEED: &str = "
    INSERT INTO audit.record
        (chain, sequence, id, occurred_at, actor_id, actor_role, action, outcome, problem,
         patient_ids, account_id, reason, source, request_id, hash, resource_type, resource_id,
         hash_version)
    SELECT 0, n, gen_random_uuid(), timestamptz '2026-01-01' + n * interval '1 minute',
        CASE WHEN n % 50 <> 0 OR n % 5000 = 0
            THEN lpad(to_hex(n % 10), 32, '0')::uuid END,
        'CLINICIAN',
        CASE WHEN n % 2000 = 0 THEN 'UPDATE_PATIENT'
             WHEN n % 50 = 0 THEN 'READ_ACCOUNTS'
             WHEN n % 4 = 1 THEN 'LIST_PATIENTS' ELSE 'READ_PATIENT' END,
        CASE WHEN n % 50 = 0 AND n % 2000 <> 0 THEN 'REFUSED'
             WHEN n % 3001 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END,
        NULL,
        CASE WHEN n % 50 = 0 THEN ARRAY[]::uuid[]
             WHEN n <= 600 THEN ARRAY[lpad('2000', 32, '0')::uuid]
             WHEN n % 4 = 1 THEN ARRAY[lpad('3000', 32, '0')::uuid,
                 lpad(to_hex(x'1000'::integer + n % 1500), 32, '0')::uuid]
             ELSE ARRAY[lpad(to_hex(x'1000'::integer + n % 1500), 32, '0')::uuid] END,
        CASE WHEN n % 1000 = 0 THEN lpad('c', 32, '0')::uuid END,
        NULL, '203.0.113.7', 'r', '',
        CASE WHEN n % 10 = 3 THEN 'BILLING_ACCOUNT' END,
        CASE WHEN n % 1000 = 3 THEN lpad('b', 32, '0')::uuid
             WHEN n % 10 = 3 THEN gen_random_uuid() END,
        2
    FROM generate_series(1, $1) AS n";

/// How many records were read so far, in whatever way. One connection: what it has not told yet,
/// nobody else knows.
async fn read(database: &PgPool) -> i64 {
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(database)
        .await
        .unwrap();
    sqlx::query_scalar(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
         FROM pg_stat_user_tables
         WHERE relid = 'audit.record'::regclass",
    )
    .fetch_one(database)
    .await
    .unwrap()
}

async fn of_patient(database: &PgPool, patient: Uuid) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM audit.record WHERE patient_ids @> $1")
        .bind([patient])
        .fetch_one(database)
        .await
        .unwrap()
}

/// The records, and one connection to read them.
async fn seeded(database: &PgPool) -> PgPool {
    sqlx::query(SEED)
        .bind(RECORDS)
        .execute(database)
        .await
        .unwrap();
    sqlx::query("UPDATE audit.chain SET sequence = $1 WHERE number = 0")
        .bind(i64::from(RECORDS))
        .execute(database)
        .await
        .unwrap();
    sqlx::query("VACUUM ANALYZE audit.record")
        .execute(database)
        .await
        .unwrap();
    let options = database.connect_options().as_ref().clone();
    let one = PgPoolOptions::new().max_connections(1);
    one.connect_with(options).await.unwrap()
}

/// The queries with each of these filters or without it, with each of its values.
fn combinations(filters: &[(&str, Vec<String>)]) -> Vec<String> {
    let mut queries = vec![String::new()];
    for (name, values) in filters {
        let mut more = Vec::new();
        for query in &queries {
            for value in values {
                let mut longer = query.clone();
                write!(longer, "&{name}={value}").unwrap();
                more.push(longer);
            }
        }
        queries.extend(more);
    }
    queries
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn no_filter_reads_far_more_than_it_answers(database: PgPool) {
    let one = seeded(&database).await;
    let id = |number: u128| Uuid::from_u128(number).to_string();
    let actions = [
        Action::ReadPatient,
        Action::UpdatePatient,
        Action::ReadAccounts,
        Action::LogIn,
    ];
    let action = ("action", actions.map(|action| action.name().into()).into());
    let outcomes = ["SUCCEEDED", "REFUSED", "FAILED"].map(str::to_owned);
    let from = ("from", vec!["2026-01-02".to_owned()]);
    let to = ("to", vec!["2026-02-09".to_owned()]);
    let resource = "resourceType=BILLING_ACCOUNT&resourceId";
    let mut queries = combinations(&[
        ("patientId", vec![PAST_PATIENT.to_string()]),
        ("actorId", vec![id(0), id(1), id(99)]),
        ("accountId", vec![id(12)]),
        action.clone(),
        ("outcome", outcomes.into()),
        from.clone(),
        to.clone(),
    ]);
    // Each request leaves a record of its own, which the following ones read past: not too many.
    let of_resources = combinations(&[(resource, vec![id(11), id(99)]), action, from, to]);
    queries.extend(
        of_resources
            .into_iter()
            .filter(|query| query.contains(resource)),
    );
    let mut too_many = Vec::new();
    for query in &queries {
        let before = read(&one).await;
        let page = get(&one, &format!("?limit=20{query}")).await;
        let answered = i64::try_from(page["records"].as_array().unwrap().len()).unwrap();
        let read = read(&one).await - before;
        // All that there is of one patient may be read, and some of the newest records before that.
        let of_patient = if query.contains("patientId") {
            of_patient(&one, PAST_PATIENT).await + 50 * 21
        } else {
            0
        };
        if read > of_patient + FACTOR * (answered + 5) {
            too_many.push(format!("{query}: {read} for {answered}"));
        }
    }
    assert!(
        too_many.is_empty(),
        "{} of {}: {too_many:#?}",
        too_many.len(),
        queries.len()
    );
}

/// All that there is of such a patient is a part of everything, and would be read for each page.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_page_of_a_frequent_patient_is_among_the_newest_records(database: PgPool) {
    let one = seeded(&database).await;
    let of_patient = of_patient(&one, FIRST_PATIENT).await;
    assert!(of_patient > 10_000, "{of_patient}");
    let before = read(&one).await;
    let page = get(&one, &format!("?limit=20&patientId={FIRST_PATIENT}")).await;
    let next = page["nextCursor"].as_str().unwrap();
    let path = format!("?limit=20&patientId={FIRST_PATIENT}&cursor={next}");
    let next = get(&one, &path).await;
    for page in [&page, &next] {
        assert_eq!(page["records"].as_array().unwrap().len(), 20);
    }
    let read = read(&one).await - before;
    assert!(read < 2 * FACTOR * 25, "{read} for two pages");
}
