//! Balances, statements, aging, revenue, takings and the export.

use contracts::billing::v1::{
    AgingBuckets, ExportLedgerRequest, GetAgingRequest, GetAgingResponse, GetBalanceRequest,
    GetRevenueRequest, GetStatementRequest, GetStatementResponse, GetTakingsRequest, LedgerPosting,
    PaymentMethod, RecordPaymentRequest, StatementLineKind,
    report_service_client::ReportServiceClient,
};
use futures::future::join_all;
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    charges::restrict,
    desk::{Desk, SetClock, assert_refused, fields, payment, units},
    invoices::{credit, void, write_off},
    payments::reverse,
    refunds::{approve, complete, request},
    running::Running,
};

fn statement(patient: Uuid, from: &str, to: &str) -> GetStatementRequest {
    GetStatementRequest {
        patient_id: patient.to_string(),
        from_date: from.to_owned(),
        to_date: to.to_owned(),
        ..GetStatementRequest::default()
    }
}

fn lines(statement: &GetStatementResponse) -> Vec<(StatementLineKind, i64, i64)> {
    let lines = statement.lines.iter();
    lines
        .map(|line| (line.kind(), units(&line.amount), units(&line.balance)))
        .collect()
}

async fn aging(desk: &Desk, as_of: &str) -> GetAgingResponse {
    let aging = desk.get_aging(GetAgingRequest {
        as_of_date: as_of.to_owned(),
        ..GetAgingRequest::default()
    });
    aging.await.unwrap()
}

fn buckets(buckets: &Option<AgingBuckets>) -> [i64; 7] {
    let buckets = buckets.as_ref().unwrap();
    [
        &buckets.not_due,
        &buckets.days_1_to_30,
        &buckets.days_31_to_60,
        &buckets.days_61_to_90,
        &buckets.over_90_days,
        &buckets.total,
        &buckets.credit,
    ]
    .map(units)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_opens_where_the_one_before_closed(database: PgPool) {
    use StatementLineKind::{CreditNote, Invoice, Payment, PaymentReversed, Refund, WriteOff};
    let clock = SetClock::at("2026-01-10T12:00:00Z");
    let desk = Desk::of(&database, clock.clinic()).await;
    let patient = desk.patient().await;
    let first = desk.invoiced(patient, 1000).await.invoice_id;
    clock.set("2026-02-10T12:00:00Z");
    let paid = desk.pay(patient, 1500, &[&first]).await.payment_id;
    credit(&desk, &first, Some(100)).await.unwrap();
    let refund = request(&desk, &paid, Some(600)).await.unwrap();
    approve(&desk, &refund).await.unwrap();
    complete(&desk, &refund).await.unwrap();
    clock.set("2026-03-10T12:00:00Z");
    let second = desk.invoiced(patient, 300).await.invoice_id;
    let bounced = desk.pay(patient, 50, &[&second]).await.payment_id;
    reverse(&desk, &bounced).await.unwrap();
    write_off(&desk, &second).await.unwrap();

    let january = desk
        .get_statement(statement(patient, "2026-01-01", "2026-01-31"))
        .await
        .unwrap();
    assert_eq!(
        (units(&january.opening), units(&january.closing)),
        (0, 1000)
    );
    assert_eq!(lines(&january), [(Invoice, 1000, 1000)]);
    let february = desk
        .get_statement(statement(patient, "2026-02-01", "2026-02-28"))
        .await
        .unwrap();
    assert_eq!(units(&february.opening), 1000);
    let expected = [
        (Payment, -1500, -500),
        (CreditNote, -100, -600),
        (Refund, 600, 0),
    ];
    assert_eq!(lines(&february), expected);
    let march = desk
        .get_statement(statement(patient, "2026-03-01", ""))
        .await
        .unwrap();
    assert_eq!(units(&march.opening), units(&february.closing));
    let expected = [
        (Invoice, 300, 300),
        (Payment, -50, 250),
        (PaymentReversed, 50, 300),
        (WriteOff, -300, 0),
    ];
    assert_eq!(lines(&march), expected);
    assert_eq!(march.to_date, "2026-03-10");

    let mut page = statement(patient, "", "");
    page.page_size = 3;
    let mut all = Vec::new();
    loop {
        let answer = desk.get_statement(page.clone()).await.unwrap();
        assert_eq!((units(&answer.opening), units(&answer.closing)), (0, 0));
        all.extend(lines(&answer));
        if answer.next_page_token.is_empty() {
            break;
        }
        page.page_token = answer.next_page_token;
    }
    let whole = [lines(&january), lines(&february), lines(&march)].concat();
    assert_eq!(all, whole);
    let nobody = desk.get_statement(statement(Uuid::now_v7(), "", "")).await;
    assert_refused(nobody, Code::NotFound, "NO_ACCOUNT");
    let backwards = statement(patient, "2026-02-01", "2026-01-31");
    assert_eq!(
        fields(&desk.get_statement(backwards).await.unwrap_err()),
        ["to"]
    );
}

/// Days with and without anything, corrections among them, one by one and together.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn any_two_neighbouring_periods_meet(database: PgPool) {
    use StatementLineKind::{CreditNote, Invoice, InvoiceVoided, PaymentReversed};

    let clock = SetClock::at("2028-02-27T12:00:00Z");
    let desk = Desk::of(&database, clock.clinic()).await;
    let patient = desk.patient().await;
    let of = async |from: &str, to: &str| {
        let statement = desk.get_statement(statement(patient, from, to)).await;
        statement.unwrap()
    };
    let ends =
        |statement: &GetStatementResponse| (units(&statement.opening), units(&statement.closing));
    // Nothing has ever happened.
    for (from, to) in [
        ("", ""),
        ("2028-02-27", "2028-02-27"),
        ("2030-01-01", "2030-12-31"),
    ] {
        let empty = of(from, to).await;
        assert_eq!(
            (ends(&empty), empty.lines.len()),
            ((0, 0), 0),
            "{from} to {to}"
        );
    }

    let first = desk.invoiced(patient, 1000).await.invoice_id;
    clock.set("2028-02-29T12:00:00Z");
    let paid = desk.pay(patient, 400, &[&first]).await.payment_id;
    clock.set("2028-03-01T12:00:00Z");
    // What was taken back is a line of the day on which it was, and the one before stays.
    reverse(&desk, &paid).await.unwrap();
    void(&desk, &first).await.unwrap();
    let again = desk.draft(patient).await.invoice_id;
    desk.issue(&again).await.unwrap();
    credit(&desk, &again, Some(300)).await.unwrap();

    let days = [
        "2028-02-27",
        "2028-02-28",
        "2028-02-29",
        "2028-03-01",
        "2028-03-02",
    ];
    let one_by_one = join_all(days.map(|day| of(day, day))).await;
    let expected = [(0, 1000), (1000, 1000), (1000, 600), (600, 700), (700, 700)];
    assert_eq!(one_by_one.iter().map(ends).collect::<Vec<_>>(), expected);
    for (first, &from) in days.iter().enumerate() {
        for (last, &to) in days.iter().enumerate().skip(first) {
            let whole = of(from, to).await;
            assert_eq!(
                ends(&whole),
                (expected[first].0, expected[last].1),
                "{from} to {to}"
            );
            let parts: Vec<_> = one_by_one[first..=last].iter().flat_map(lines).collect();
            assert_eq!(lines(&whole), parts, "{from} to {to}");
        }
    }
    let expected = [
        (PaymentReversed, 400, 1000),
        (InvoiceVoided, -1000, 0),
        (Invoice, 1000, 1000),
        (CreditNote, -300, 700),
    ];
    assert_eq!(lines(&one_by_one[3]), expected);
    // What is to come is as it is now, and what has a beginning alone ends today.
    let to_come = of("2029-01-01", "2029-12-31").await;
    assert_eq!((ends(&to_come), to_come.lines.len()), ((700, 700), 0));
    let backwards = desk
        .get_statement(statement(patient, "2028-03-02", ""))
        .await;
    assert_eq!(fields(&backwards.unwrap_err()), ["to"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_day_ends_at_the_clinics_midnight(database: PgPool) {
    let clock = SetClock::at("2026-03-28T22:59:59Z");
    let mut clinic = clock.clinic();
    clinic.zone = zones::Zone::named("Europe/Berlin").unwrap();
    let desk = Desk::of(&database, clinic).await;
    let patient = desk.patient().await;
    desk.pay(patient, 1, &[]).await;
    // The day has 23 hours.
    for (time, amount) in [("2026-03-28T23:00:00Z", 2), ("2026-03-29T21:59:59Z", 4)] {
        clock.set(time);
        desk.pay(patient, amount, &[]).await;
    }
    clock.set("2026-03-29T22:00:00Z");
    desk.pay(patient, 8, &[]).await;
    let mut taken = Vec::new();
    for date in ["2026-03-28", "2026-03-29", "2026-03-30"] {
        let takings = desk.get_takings(GetTakingsRequest {
            date: date.to_owned(),
            ..GetTakingsRequest::default()
        });
        taken.push(units(&takings.await.unwrap().total.unwrap().net));
    }
    assert_eq!(taken, [1, 6, 8]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn aging_is_what_it_was_on_its_day(database: PgPool) {
    let clock = SetClock::at("2026-01-01T12:00:00Z");
    let desk = Desk::of(&database, clock.clinic()).await;
    let (patient, other) = (desk.patient().await, desk.patient().await);
    // Due on 31 January.
    let invoice = desk.invoiced(patient, 1000).await.invoice_id;
    for (today, place) in [
        ("2026-01-31", 0),
        ("2026-02-01", 1),
        ("2026-03-02", 1),
        ("2026-03-03", 2),
        ("2026-04-01", 2),
        ("2026-04-02", 3),
        ("2026-05-01", 3),
        ("2026-05-02", 4),
    ] {
        clock.set(&format!("{today}T23:59:59Z"));
        let mut expected = [0; 7];
        expected[place] = 1000;
        expected[5] = 1000;
        assert_eq!(buckets(&aging(&desk, "").await.total), expected, "{today}");
    }
    desk.pay(other, 77, &[]).await;
    desk.pay(patient, 400, &[&invoice]).await;
    let now = aging(&desk, "").await;
    assert_eq!(buckets(&now.total), [0, 0, 0, 0, 600, 600, 77]);
    assert_eq!(now.patients.len(), 2);
    // A month ago, nobody had paid.
    let before = aging(&desk, "2026-04-01").await;
    assert_eq!(buckets(&before.total), [0, 0, 1000, 0, 0, 1000, 0]);
    assert_eq!(before.patients.len(), 1);
    let future = desk.get_aging(GetAgingRequest {
        as_of_date: "2026-05-03".to_owned(),
        ..GetAgingRequest::default()
    });
    assert_eq!(fields(&future.await.unwrap_err()), ["asOf"]);

    restrict(&database, patient).await;
    let without = aging(&desk, "").await;
    assert_eq!(buckets(&without.total), [0, 0, 0, 0, 0, 0, 77]);
    let whole = desk.get_aging(GetAgingRequest {
        include_restricted: true,
        page_size: 1,
        ..GetAgingRequest::default()
    });
    let whole = whole.await.unwrap();
    assert_eq!(buckets(&whole.total), [0, 0, 0, 0, 600, 600, 77]);
    let next = desk.get_aging(GetAgingRequest {
        include_restricted: true,
        page_token: whole.next_page_token,
        ..GetAgingRequest::default()
    });
    let next = next.await.unwrap();
    assert_eq!((whole.patients.len(), next.patients.len()), (1, 1));
    assert_eq!(next.total, whole.total);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn revenue_is_what_was_issued_less_what_was_taken_back(database: PgPool) {
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    let desk = Desk::of(&database, clock.clinic()).await;
    let patient = desk.patient().await;
    desk.price("A", 1000, 190_000).await;
    desk.price("B", 500, 0).await;
    desk.charge(patient, "A", 1).await;
    desk.charge(patient, "B", 1).await;
    let first = desk.draft(patient).await.invoice_id;
    desk.issue(&first).await.unwrap();
    desk.charge(patient, "B", 2).await;
    let second = desk.draft(patient).await.invoice_id;
    desk.issue(&second).await.unwrap();
    clock.set("2026-02-01T12:00:00Z");
    void(&desk, &second).await.unwrap();
    credit(&desk, &first, None).await.unwrap();

    let revenue = async |from: &str, to: &str| {
        let revenue = desk.get_revenue(GetRevenueRequest {
            from_date: from.to_owned(),
            to_date: to.to_owned(),
            ..GetRevenueRequest::default()
        });
        let revenue = revenue.await.unwrap();
        let total = revenue.total.unwrap();
        let sums = [
            &total.issued,
            &total.voided,
            &total.credited,
            &total.revenue,
            &total.tax,
        ];
        (revenue.codes.len(), sums.map(units))
    };
    assert_eq!(
        revenue("2026-01-01", "2026-01-31").await,
        (2, [2500, 0, 0, 2500, 190])
    );
    assert_eq!(
        revenue("2026-02-01", "2026-02-28").await,
        (2, [0, 1000, 1500, -2500, -190])
    );
    assert_eq!(
        revenue("2026-01-01", "2026-12-31").await,
        (2, [2500, 1000, 1500, 0, 0])
    );
    let too_long = desk.get_revenue(GetRevenueRequest {
        from_date: "2026-01-01".to_owned(),
        to_date: "2027-01-02".to_owned(),
        ..GetRevenueRequest::default()
    });
    assert_eq!(fields(&too_long.await.unwrap_err()), ["to"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn takings_are_what_has_to_be_in_the_till(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let cash = desk.pay(patient, 500, &[]).await.payment_id;
    desk.pay(patient, 50, &[]).await;
    let card = RecordPaymentRequest {
        method: PaymentMethod::Card.into(),
        ..payment(patient, 900, &[])
    };
    let card = desk
        .record_payment(card)
        .await
        .unwrap()
        .payment
        .unwrap()
        .payment_id;
    reverse(&desk, &card).await.unwrap();
    let refund = request(&desk, &cash, Some(120)).await.unwrap();
    approve(&desk, &refund).await.unwrap();
    complete(&desk, &refund).await.unwrap();
    let takings = desk
        .get_takings(GetTakingsRequest::default())
        .await
        .unwrap();
    let rows: Vec<_> = takings
        .methods
        .iter()
        .map(|row| {
            let sums = row.takings.as_ref().unwrap();
            let amounts = [&sums.payments, &sums.reversed, &sums.refunds, &sums.net].map(units);
            (row.method(), amounts, sums.payment_count)
        })
        .collect();
    assert_eq!(
        rows,
        [
            (PaymentMethod::Cash, [550, 0, 120, 430], 2),
            (PaymentMethod::Card, [900, 900, 0, 0], 1),
            (PaymentMethod::Transfer, [0, 0, 0, 0], 0),
        ]
    );
    assert_eq!(units(&takings.total.unwrap().net), 430);
}

pub(crate) async fn balance(desk: &Desk, patient: Uuid) -> [i64; 3] {
    let balance = desk.get_balance(GetBalanceRequest {
        patient_id: patient.to_string(),
        ..GetBalanceRequest::default()
    });
    let balance = balance.await.unwrap();
    [&balance.receivable, &balance.credit, &balance.balance].map(units)
}

pub(crate) async fn export(
    running: &Running,
    desk: &Desk,
    include_restricted: bool,
    after: &str,
) -> Result<Vec<LedgerPosting>, Status> {
    let mut reports = ReportServiceClient::new(running.channel());
    let all = ExportLedgerRequest {
        from_date: "2020-01-01".to_owned(),
        to_date: "2100-01-01".to_owned(),
        include_restricted,
        after_entry_id: after.to_owned(),
    };
    let mut stream = reports.export_ledger(desk.request(all)).await?.into_inner();
    let mut postings = Vec::new();
    while let Some(message) = stream.message().await? {
        postings.extend(message.postings);
    }
    Ok(postings)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_export_is_the_ledger(database: PgPool) {
    let running = Running::start(&database).await;
    let desk = Desk::at(&running);
    let (patient, restricted) = (desk.patient().await, desk.patient().await);
    for amount in 1..=120 {
        desk.pay(patient, amount, &[]).await;
    }
    let invoice = desk.invoiced(restricted, 300).await;
    let exported = export(&running, &desk, true, "").await.unwrap();
    let stored: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT entry_id, amount FROM billing.posting JOIN billing.entry ON id = entry_id
         ORDER BY number, line",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    let rows: Vec<(Uuid, i64)> = exported
        .iter()
        .map(|row| (row.entry_id.parse().unwrap(), units(&row.amount)))
        .collect();
    assert_eq!(rows, stored);
    let rest = export(&running, &desk, true, &exported[149].entry_id)
        .await
        .unwrap();
    assert_eq!(rest, exported[150..]);
    assert_eq!(exported.last().unwrap().document_number, invoice.number);
    assert_eq!(exported.last().unwrap().actor_id, desk.user.to_string());

    restrict(&database, restricted).await;
    let exported = export(&running, &desk, false, "").await.unwrap();
    assert_eq!(exported.len(), 240);
    assert!(
        exported
            .iter()
            .all(|row| row.patient_id == patient.to_string())
    );
    assert_eq!(balance(&desk, restricted).await, [300, 0, 300]);
    assert_eq!(balance(&desk, patient).await, [0, 7260, -7260]);
}

/// Whoever follows the export to its end, and goes on later, gets every entry once, whichever was
/// booked first and committed last.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_export_that_goes_on_misses_nothing(database: PgPool) {
    let running = Running::start(&database).await;
    let desk = Desk::at(&running);
    let (patient, slow) = (desk.patient().await, desk.patient().await);
    let first = desk.pay(patient, 1, &[]).await.payment_id;

    // Somebody else is in the middle of booking.
    let mut late = database.begin().await.unwrap();
    sqlx::query(
        "WITH booked AS (
             INSERT INTO billing.entry (id, kind, account_id, business_date, payment_id, reverses)
             SELECT $1, 'PAYMENT_REVERSED', account_id, business_date, payment_id, id
             FROM billing.entry WHERE payment_id = $2
         )
         INSERT INTO billing.posting (entry_id, line, ledger_account_id, currency, amount)
         SELECT $1, line, id, currency, amount
         FROM billing.ledger_account, (VALUES (1, 5), (2, -5)) AS posting (line, amount)
         WHERE kind = 'CASH'",
    )
    .bind(Uuid::now_v7())
    .bind(first.parse::<Uuid>().unwrap())
    .execute(&mut *late)
    .await
    .unwrap();
    desk.pay(slow, 2, &[]).await;

    let early = export(&running, &desk, true, "").await;
    assert_eq!(early.unwrap_err().code(), Code::Unavailable);
    late.commit().await.unwrap();
    let mut followed = export(&running, &desk, true, "").await.unwrap();
    assert_eq!(followed.len(), 6);

    // While many pay, somebody follows.
    let paid = join_all((0..8).map(async |_| {
        let patient = desk.patient().await;
        for amount in 1..=12 {
            desk.pay(patient, amount, &[]).await;
        }
    }));
    let paid = async {
        paid.await;
        desk.pay(patient, 3, &[]).await
    };
    tokio::pin!(paid);
    let mut is_over = false;
    while !is_over {
        let last = followed.last().unwrap().entry_id.clone();
        let more = export(&running, &desk, true, &last);
        tokio::pin!(more);
        let more = tokio::select! {
            more = &mut more => more,
            _ = &mut paid => {
                is_over = true;
                more.await
            }
        };
        followed.extend(more.unwrap());
    }
    let last = followed.last().unwrap().entry_id.clone();
    followed.extend(export(&running, &desk, true, &last).await.unwrap());
    assert_eq!(followed, export(&running, &desk, true, "").await.unwrap());
    assert_eq!(followed.len(), 6 + 2 * (8 * 12 + 1));
}
