//! Random histories of several clients at once, against what has to be true whatever happened.

use contracts::billing::v1::{GetAgingRequest, GetRevenueRequest, GetStatementRequest};
use futures::future::join_all;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    desk::{Desk, charge, payment, units},
    events::assert_events_say_what_the_books_say,
    invoices::{credit, void, write_off},
    payments::{allocate, reverse},
    refunds::{approve, complete, reject, request},
    reports::{balance, export},
    running::Running,
};

/// How many clients act at once, and how often each.
const CLIENTS: u64 = 4;
const STEPS: usize = 60;

/// One client, who does this and that with some patients. Whether the service refuses it or not:
/// nothing but a refusal may come of it.
async fn act(desk: Desk, patients: Vec<Uuid>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut invoices, mut payments, mut refunds) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STEPS {
        let patient = patients[random.usize(..patients.len())];
        let amount = random.i64(1..5000);
        let invoice = random
            .choice(&invoices)
            .cloned()
            .unwrap_or_else(|| Uuid::nil().to_string());
        let paid: String = random
            .choice(&payments)
            .cloned()
            .unwrap_or_else(|| Uuid::nil().to_string());
        let refused = match random.u8(..14) {
            0..3 => desk
                .record_charge(charge(
                    patient,
                    ["A", "B", "C"][random.usize(..3)],
                    random.u32(1..5),
                ))
                .await
                .err(),
            3..5 => {
                let draft = contracts::billing::v1::CreateInvoiceRequest {
                    request_id: crate::desk::new_id(),
                    patient_id: patient.to_string(),
                    ..Default::default()
                };
                match desk.create_invoice(draft).await {
                    Ok(draft) => {
                        let id = draft.invoice.unwrap().invoice_id;
                        invoices.push(id.clone());
                        desk.issue(&id).await.err()
                    }
                    Err(refused) => Some(refused),
                }
            }
            5..8 => {
                let for_invoice = random.bool().then_some(&*invoice);
                let request = payment(patient, amount, for_invoice.as_slice());
                match desk.record_payment(request).await {
                    Ok(recorded) => {
                        payments.push(recorded.payment.unwrap().payment_id);
                        None
                    }
                    Err(refused) => Some(refused),
                }
            }
            8 => {
                let part = random.bool().then_some(amount);
                allocate(&desk, &paid, &[(&invoice, part)]).await.err()
            }
            9 => credit(&desk, &invoice, random.bool().then_some(amount))
                .await
                .err(),
            10 => void(&desk, &invoice).await.err(),
            11 if random.bool() => write_off(&desk, &invoice).await.err(),
            11 => reverse(&desk, &paid).await.err(),
            12 => match request(&desk, &paid, random.bool().then_some(amount)).await {
                Ok(refund) => {
                    refunds.push(refund);
                    None
                }
                Err(refused) => Some(refused),
            },
            _ => match random.choice(&refunds).cloned() {
                None => None,
                Some(refund) => match random.u8(..3) {
                    0 => approve(&desk.colleague(), &refund).await.err(),
                    1 => reject(&desk, &refund).await.err(),
                    _ => complete(&desk, &refund).await.err(),
                },
            },
        };
        if let Some(refused) = refused {
            let allowed = [
                tonic::Code::FailedPrecondition,
                tonic::Code::InvalidArgument,
                tonic::Code::NotFound,
            ];
            assert!(allowed.contains(&refused.code()), "seed {seed}: {refused}");
        }
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_books_balance_whatever_happens(database: PgPool) {
    let running = Running::start(&database).await;
    let desk = Desk::at(&running);
    for (code, amount, tax) in [("A", 1999, 190_000), ("B", 333, 70_000), ("C", 1, 500_000)] {
        desk.price(code, amount, tax).await;
    }
    let mut patients = Vec::new();
    for _ in 0..3 {
        patients.push(desk.patient().await);
    }
    let seed = fastrand::u64(..1_000_000);
    eprintln!("seed {seed}");
    let clients = (0..CLIENTS)
        .map(|client| tokio::spawn(act(desk.colleague(), patients.clone(), seed + client)));
    for client in join_all(clients).await {
        client.unwrap();
    }
    everything_adds_up(&database, &running, &desk, &patients).await;
    assert_events_say_what_the_books_say(&database).await;
}

async fn everything_adds_up(database: &PgPool, running: &Running, desk: &Desk, patients: &[Uuid]) {
    let exported = export(running, desk, true, "").await.unwrap();
    assert!(exported.len() > 100, "hardly anything has happened");
    assert_eq!(
        exported.iter().map(|row| units(&row.amount)).sum::<i64>(),
        0
    );

    let one = async |statement: &'static str| -> i64 {
        sqlx::query_scalar(statement)
            .fetch_one(database)
            .await
            .unwrap()
    };
    // Each balance is the sum of its postings, and each sequence has no hole.
    let wrong = one(
        "SELECT count(*) FROM billing.ledger_account AS account
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(amount), 0) AS sum, count(*) AS count, coalesce(max(sequence), 0) AS last
             FROM billing.posting WHERE ledger_account_id = account.id) AS postings
         WHERE account.account_id IS NOT NULL
             AND (balance <> sum OR last_sequence <> count OR last <> count)",
    )
    .await;
    assert_eq!(wrong, 0);
    // What invoices and payments say is what is booked.
    let wrong = one(
        "SELECT count(*) FROM billing.invoice WHERE due <> coalesce((
             SELECT sum(amount) FROM billing.entry
             JOIN billing.posting ON entry_id = entry.id
             JOIN billing.ledger_account AS account ON account.id = ledger_account_id
             WHERE entry.invoice_id = invoice.id AND account.kind = 'RECEIVABLE'), 0)",
    )
    .await;
    assert_eq!(wrong, 0);
    let (credit, asked) = (
        one("SELECT coalesce(-sum(balance), 0)::bigint FROM billing.ledger_account WHERE kind = 'CREDIT'").await,
        one("SELECT coalesce(sum(amount), 0)::bigint FROM billing.refund WHERE state IN ('REQUESTED', 'APPROVED')").await,
    );
    let left = one("SELECT coalesce(sum(credit), 0)::bigint FROM billing.payment").await;
    assert_eq!(credit, left + asked);
    let gaps = one("SELECT count(*) FROM billing.number_series
         WHERE last_number <> (SELECT count(*) FROM billing.invoice WHERE series = name)
             + (SELECT count(*) FROM billing.credit_note WHERE series = name)")
    .await;
    assert_eq!(gaps, 0);

    let mut owed = 0;
    for patient in patients {
        let [receivable, _, net] = balance(desk, *patient).await;
        owed += receivable;
        let statement = desk.get_statement(GetStatementRequest {
            patient_id: patient.to_string(),
            page_size: 500,
            ..GetStatementRequest::default()
        });
        let statement = statement.await.unwrap();
        let lines: i64 = statement.lines.iter().map(|line| units(&line.amount)).sum();
        assert_eq!(units(&statement.opening) + lines, units(&statement.closing));
        assert_eq!(units(&statement.closing), net);
        let mut before = units(&statement.opening);
        for line in &statement.lines {
            before += units(&line.amount);
            assert_eq!(units(&line.balance), before);
        }
    }
    let aging = desk.get_aging(GetAgingRequest::default()).await.unwrap();
    assert_eq!(units(&aging.total.unwrap().total), owed);
    assert_eq!(
        one("SELECT coalesce(sum(due), 0)::bigint FROM billing.invoice").await,
        owed
    );

    let today = crate::desk::today();
    let revenue = desk.get_revenue(GetRevenueRequest {
        from_date: today.clone(),
        to_date: today,
        ..GetRevenueRequest::default()
    });
    let total = revenue.await.unwrap().total.unwrap();
    let expected = one(
        "SELECT (coalesce((SELECT sum(net) FROM billing.invoice WHERE state IN ('ISSUED', 'WRITTEN_OFF')), 0)
             - coalesce((SELECT sum(net) FROM billing.credit_note), 0))::bigint",
    )
    .await;
    assert_eq!(units(&total.revenue), expected);
}
