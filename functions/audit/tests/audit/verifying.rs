//! Whatever is done to the trail by somebody who owns the database shows.

use audit::verify_audit_trail::{End, Fault, Verification, Verified, What, verify_audit_trail};
use audit_trail::{Outcome, Record, Subject};
use sqlx::{Executor as _, PgPool};
use uuid::Uuid;

use crate::{append, record};

async fn verify(database: &PgPool) -> Verified {
    verify_audit_trail(database, &Verification::default())
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

    let verified = verify(&database).await;
    assert!(verified.intact, "{:?}", verified.faults);
    assert_eq!(verified.records, 8);
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
                outcome, problem, patient_ids, account_id, reason, source, request_id, hash
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
    five(&database).await;
    assert!(verify(&database).await.intact, "on its own it looks right");
    let against = |ends: Vec<End>| {
        let database = &database;
        async move {
            let verification = Verification { ends };
            verify_audit_trail(database, &verification).await.unwrap()
        }
    };
    let verified = against(ends.clone()).await;
    assert_eq!(verified.faults, [fault(5, What::NotAsFoundEarlier)]);

    // What was added since is nothing wrong.
    let ends = verify(&database).await.ends;
    five(&database).await;
    assert!(against(ends).await.intact);
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
