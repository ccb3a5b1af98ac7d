//! Whatever is done to the trail by somebody who owns the database shows.

use std::time::{Duration, Instant};

use audit::verify_audit_trail::{End, Fault, Verification, Verified, What, verify_audit_trail};
use audit_trail::{Outcome, Record, Resource, Subject};
use schemas::Service;
use sqlx::{AssertSqlSafe, Executor as _, PgPool, migrate::Migrator};
use uuid::Uuid;

use crate::{SCHEMAS, append, record};

async fn verify(database: &PgPool) -> Verified {
    verify_again(database, Verification::default()).await
}

async fn verify_again(database: &PgPool, verification: Verification) -> Verified {
    let until = Instant::now() + Duration::from_mins(1);
    verify_audit_trail(database, verification, until)
        .await
        .unwrap()
}

/// As the owner may, who does not shrink from taking the lock off.
async fn tamper(database: &PgPool, statement: &'static str) {
    database
        .execute("ALTER TABLE audit.record DISABLE TRIGGER ALL")
        .await
        .unwrap();
    let done = database.execute(statement).await.unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
}

/// Five records, one after the other, so that they are in one chain.
async fn five(database: &PgPool) {
    for number in 0..5 {
        append(database, record(Uuid::from_u128(number))).await;
    }
}

fn fault(sequence: i64, what: What) -> Fault {
    Fault {
        chain: 0,
        sequence,
        what,
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_appended_is_intact(database: PgPool) {
    assert!(verify(&database).await.intact);
    five(&database).await;
    let (odd, patients) = ("Zoë Ωmega 🩺\n\"5:\"; -", [Uuid::nil(), Uuid::max()]);
    let all = Record {
        subject: Subject::Patients(&patients),
        reason: Some(odd),
        problem: Some("forbidden"),
        outcome: Outcome::Refused,
        ..record(Uuid::nil())
    };
    append(&database, all).await;
    let nothing = Record {
        actor: None,
        subject: Subject::Nobody,
        reason: Some(""),
        source: None,
        request_id: None,
        ..record(Uuid::nil())
    };
    append(&database, nothing).await;
    append(
        &database,
        Record {
            subject: Subject::Account(Uuid::max()),
            ..record(Uuid::nil())
        },
    )
    .await;
    let resource = Resource::billing_account(Uuid::max());
    for subject in [
        Subject::Resource(resource),
        Subject::ResourceOfPatient(resource, Uuid::nil()),
    ] {
        let about_resource = Record {
            subject,
            ..record(Uuid::nil())
        };
        append(&database, about_resource).await;
    }

    let verified = verify(&database).await;
    assert!(verified.intact, "{:?}", verified.faults);
    assert_eq!(verified.records, 10);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_changed_record_shows(database: PgPool) {
    five(&database).await;
    let statement =
        "UPDATE audit.record SET actor_id = gen_random_uuid() WHERE sequence = 3 AND chain = 0";
    tamper(&database, statement).await;
    let verified = verify(&database).await;
    assert!(!verified.intact);
    assert_eq!(verified.faults, [fault(3, What::Changed)]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_record_that_was_removed_shows(database: PgPool) {
    five(&database).await;
    tamper(&database, "DELETE FROM audit.record WHERE sequence = 2").await;
    let verified = verify(&database).await;
    assert_eq!(verified.faults, [fault(2, What::Missing)]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_end_that_was_cut_off_shows(database: PgPool) {
    five(&database).await;
    tamper(&database, "DELETE FROM audit.record WHERE sequence > 3").await;
    let verified = verify(&database).await;
    assert_eq!(verified.faults, [fault(5, What::Missing)]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_record_that_was_slipped_in_shows(database: PgPool) {
    five(&database).await;
    let statement = "INSERT INTO audit.record
         SELECT chain, sequence + 1, gen_random_uuid(), occurred_at, actor_id, actor_role, action,
                outcome, problem, patient_ids, account_id, reason, source, request_id, hash,
                resource_type, resource_id, hash_version
         FROM audit.record WHERE sequence = 5";
    tamper(&database, statement).await;
    let verified = verify(&database).await;
    assert_eq!(
        verified.faults,
        [fault(6, What::Changed), fault(6, What::NotTheEnd)]
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_chain_that_was_made_anew_shows_against_an_earlier_end(database: PgPool) {
    five(&database).await;
    let ends = verify(&database).await.ends;
    assert_eq!(ends.len(), 16);
    assert_eq!((ends[0].chain, ends[0].sequence), (0, 5));

    tamper(&database, "DELETE FROM audit.record").await;
    let beginning = "UPDATE audit.chain SET sequence = 0, hash = decode(repeat('00', 32), 'hex')";
    tamper(&database, beginning).await;
    tamper(&database, "DELETE FROM audit.verified_end").await;
    five(&database).await;
    assert!(verify(&database).await.intact, "on its own it looks right");
    let against = |ends: Vec<End>| {
        let database = &database;
        async move { verify_again(database, Verification::against(ends)).await }
    };
    let verified = against(ends.clone()).await;
    assert_eq!(verified.faults, [fault(5, What::NotAsFoundEarlier)]);

    // What was added since is nothing wrong.
    let ends = verify(&database).await.ends;
    five(&database).await;
    assert!(against(ends).await.intact);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_verified_is_not_read_again(database: PgPool) {
    five(&database).await;
    assert_eq!(verify(&database).await.records, 5);
    let nothing_new = verify(&database).await;
    assert!(nothing_new.intact);
    assert_eq!((nothing_new.records, nothing_new.ends[0].sequence), (0, 5));
    five(&database).await;
    assert_eq!(verify(&database).await.records, 5);
    assert_eq!(
        verify_again(&database, Verification::of_everything())
            .await
            .records,
        10
    );

    // A record of long ago was changed: that shows where everything is read, and every day what
    // was changed where a verification has ended.
    let long_ago = "UPDATE audit.record SET reason = 'another' WHERE sequence = 2";
    tamper(&database, long_ago).await;
    assert!(verify(&database).await.intact);
    let found = verify_again(&database, Verification::of_everything()).await;
    assert_eq!(found.faults, [fault(2, What::Changed)]);
    let last = "UPDATE audit.record SET hash = sha256('') WHERE sequence = 10";
    tamper(&database, last).await;
    let found = verify(&database).await;
    let expected = [
        fault(10, What::NotAsFoundEarlier),
        fault(10, What::NotTheEnd),
    ];
    assert_eq!(found.faults, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_broken_chain_is_found_again_the_next_day(database: PgPool) {
    five(&database).await;
    tamper(&database, "DELETE FROM audit.record WHERE sequence = 2").await;
    for _ in 0..2 {
        let verified = verify(&database).await;
        assert!(!verified.intact);
        assert_eq!(verified.faults, [fault(2, What::Missing)]);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_end_of_a_verification_is_no_more_than_what_is_there(database: PgPool) {
    five(&database).await;
    let made_up = "SELECT audit.note_verified(0::smallint, sequence, hash) FROM (VALUES
        (5, sha256('')), (6, sha256(''))) AS made_up (sequence, hash)";
    database.execute(made_up).await.unwrap();
    assert_eq!(verify(&database).await.records, 5);
    let back =
        "SELECT audit.note_verified(chain, sequence, hash) FROM audit.record WHERE sequence = 1";
    database.execute(back).await.unwrap();
    assert_eq!(verify(&database).await.records, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_verification_that_is_longer_than_a_run_goes_on(database: PgPool) {
    five(&database).await;
    tamper(&database, "DELETE FROM audit.record WHERE sequence = 2").await;
    for verification in [Verification::default(), Verification::of_everything()] {
        let first = verify_audit_trail(&database, verification, Instant::now()).await;
        let first = first.unwrap();
        assert!(first.unfinished && !first.intact);
        assert_eq!(first.records, 0);
        let told = serde_json::to_string(&first.rest.unwrap()).unwrap();
        let last = verify_again(&database, serde_json::from_str(&told).unwrap()).await;
        assert!(!last.unfinished && last.rest.is_none());
        assert_eq!(last.records, 4);
        assert_eq!(last.faults, [fault(2, What::Missing)]);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_record_is_final_and_written_once(database: PgPool) {
    let once = record(Uuid::nil());
    append(&database, once).await;
    append(&database, once).await;
    assert_eq!(verify(&database).await.records, 1);
    for statement in [
        "UPDATE audit.record SET outcome = 'FAILED'",
        "DELETE FROM audit.record",
        "TRUNCATE audit.record",
    ] {
        let refused = database.execute(statement).await.unwrap_err();
        assert!(refused.to_string().contains("final"), "{refused}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_undone_leaves_no_gap(database: PgPool) {
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let database = database.clone();
            tokio::spawn(async move {
                let mut transaction = database.begin().await.unwrap();
                let record = record(Uuid::from_u128(number));
                record.append(&mut *transaction).await.unwrap();
                tokio::task::yield_now().await;
                if number % 3 == 0 {
                    transaction.rollback().await.unwrap();
                } else {
                    transaction.commit().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let verified = verify(&database).await;
    assert!(verified.intact, "{:?}", verified.faults);
    assert_eq!(verified.records, 40);
    let chains = verified.ends.iter().filter(|end| end.sequence > 0).count();
    assert!(chains > 1, "all waited for one chain");
}

/// The migration that gave records a resource, and their hashes a version.
const RESOURCES: i64 = 6;

/// The schema as it was before that.
fn before_resources() -> Migrator {
    let mut migrations = Service::Audit
        .migrations()
        .iter()
        .cloned()
        .collect::<Vec<_>>();
    migrations.retain(|migration| migration.version < RESOURCES);
    Migrator::with_migrations(migrations)
}

async fn versions(database: &PgPool) -> Vec<i16> {
    sqlx::query_scalar("SELECT hash_version FROM audit.record ORDER BY sequence")
        .fetch_all(database)
        .await
        .unwrap()
}

/// Two records of the first version, and behind them one of a billing account and one that a
/// function deployed before the migration has written.
async fn of_both_versions(database: &PgPool) {
    before_resources().run(database).await.unwrap();
    for number in 0..2 {
        // What is deployed now has to do with the schema of before, too.
        append(database, record(Uuid::from_u128(number))).await;
    }
    SCHEMAS.run(database).await.unwrap();
    let resource = Resource::billing_account(Uuid::from_u128(7));
    let about_resource = Record {
        subject: Subject::ResourceOfPatient(resource, Uuid::nil()),
        ..record(Uuid::nil())
    };
    append(database, about_resource).await;
    let as_before = "SELECT audit.append(gen_random_uuid(), NULL, NULL, 'LOG_IN', 'REFUSED',
        'unauthorized', '{}', NULL, NULL, '127.0.0.1', 'a request')";
    database.execute(as_before).await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn records_of_both_versions_are_intact(database: PgPool) {
    of_both_versions(&database).await;
    assert_eq!(versions(&database).await, [1, 1, 2, 2]);
    let verified = verify(&database).await;
    assert!(verified.intact, "{:?}", verified.faults);
    assert_eq!(verified.records, 4);
}

#[sqlx::test(migrations = false)]
async fn a_changed_resource_or_version_shows(database: PgPool) {
    of_both_versions(&database).await;
    let trigger = "ALTER TABLE audit.record DISABLE TRIGGER ALL";
    database.execute(trigger).await.unwrap();
    for (sequence, change) in [
        (1, "hash_version = 2"),
        (1, "hash_version = 3"),
        (1, "resource_type = 'BILLING_ACCOUNT'"),
        (1, "resource_id = gen_random_uuid()"),
        (
            2,
            "resource_type = 'BILLING_ACCOUNT', resource_id = gen_random_uuid()",
        ),
        (
            2,
            "hash_version = 2, resource_type = 'INVOICE', resource_id = gen_random_uuid()",
        ),
        (3, "hash_version = 1"),
        (
            3,
            "hash_version = 1, resource_type = NULL, resource_id = NULL",
        ),
        (3, "hash_version = 0"),
        (3, "resource_type = 'INVOICE'"),
        (3, "resource_id = gen_random_uuid()"),
        (3, "resource_type = NULL, resource_id = NULL"),
        (4, "hash_version = 1"),
        (
            4,
            "resource_type = 'BILLING_ACCOUNT', resource_id = gen_random_uuid()",
        ),
    ] {
        let mut transaction = database.begin().await.unwrap();
        let was: (i16, Option<String>, Option<Uuid>) = sqlx::query_as(
            "SELECT hash_version, resource_type, resource_id FROM audit.record WHERE sequence = $1",
        )
        .bind(sequence)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        let update = format!("UPDATE audit.record SET {change} WHERE sequence = {sequence}");
        transaction.execute(AssertSqlSafe(update)).await.unwrap();
        transaction.commit().await.unwrap();
        let found = verify_again(&database, Verification::of_everything()).await;
        assert_eq!(found.faults, [fault(sequence, What::Changed)], "{change}");

        sqlx::query(
            "UPDATE audit.record SET hash_version = $2, resource_type = $3, resource_id = $4
             WHERE sequence = $1",
        )
        .bind(sequence)
        .bind(was.0)
        .bind(was.1)
        .bind(was.2)
        .execute(&database)
        .await
        .unwrap();
    }
    let found = verify_again(&database, Verification::of_everything()).await;
    assert!(found.intact, "as it was: {:?}", found.faults);
}

#[sqlx::test(migrations = false)]
async fn what_is_being_written_during_the_migration_stays_intact(database: PgPool) {
    before_resources().run(&database).await.unwrap();
    append(&database, record(Uuid::nil())).await;
    let mut migrating = database.begin().await.unwrap();
    let migrations = Service::Audit.migrations();
    let resources = migrations.iter().find(|one| one.version == RESOURCES);
    let statements = resources.unwrap().sql.clone();
    migrating.execute(sqlx::raw_sql(statements)).await.unwrap();
    let append = {
        let database = database.clone();
        tokio::spawn(async move { append(&database, record(Uuid::nil())).await })
    };
    while !is_somebody_waiting(&database).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    migrating.commit().await.unwrap();
    append.await.unwrap();
    self::append(&database, record(Uuid::nil())).await;
    assert_eq!(versions(&database).await, [1, 1, 2]);
    let verified = verify(&database).await;
    assert!(verified.intact, "{:?}", verified.faults);
}

async fn is_somebody_waiting(database: &PgPool) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock')",
    )
    .fetch_one(database)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn half_a_resource_is_no_resource(database: PgPool) {
    for half in [
        "'BILLING_ACCOUNT', NULL",
        "NULL, gen_random_uuid()",
        "'a bill', gen_random_uuid()",
    ] {
        let statement = format!(
            "SELECT audit.append(gen_random_uuid(), NULL, NULL, 'LOG_IN', 'REFUSED', NULL, '{{}}',
                 NULL, NULL, NULL, NULL, {half})"
        );
        let refused = database
            .execute(AssertSqlSafe(statement))
            .await
            .unwrap_err();
        let refusal = refused.as_database_error().unwrap();
        assert!(refusal.is_check_violation(), "{refused}");
    }
}
