//! Drafting, issuing, voiding, crediting and writing off invoices.

use std::collections::HashSet;

use contracts::billing::v1::{
    CreateInvoiceRequest, CreditInvoiceRequest, CreditInvoiceResponse, DeleteInvoiceRequest,
    DraftLine, GetInvoiceRequest, Invoice, InvoiceState, IssueInvoiceRequest, ListInvoicesRequest,
    RecordChargeRequest, RejectWriteOffRequest, UpdateInvoiceRequest, VoidInvoiceRequest,
    WriteOffInvoiceRequest,
};
use futures::future::join_all;
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::desk::{Desk, SetClock, assert_refused, charge, eur, fields, money, new_id, units};

pub(crate) async fn void(desk: &Desk, invoice: &str) -> Result<Invoice, Status> {
    let voided = desk.void_invoice(VoidInvoiceRequest {
        request_id: new_id(),
        invoice_id: invoice.to_owned(),
        etag: String::new(),
        reason: "It was a mistake".to_owned(),
    });
    Ok(voided.await?.invoice.unwrap())
}

pub(crate) async fn credit(
    desk: &Desk,
    invoice: &str,
    amount: Option<i64>,
) -> Result<CreditInvoiceResponse, Status> {
    desk.credit_invoice(CreditInvoiceRequest {
        request_id: new_id(),
        invoice_id: invoice.to_owned(),
        reason: "Not as it was meant".to_owned(),
        amount: amount.map(eur),
        ..CreditInvoiceRequest::default()
    })
    .await
}

pub(crate) async fn write_off(desk: &Desk, invoice: &str) -> Result<Invoice, Status> {
    let written_off = desk.write_off_invoice(WriteOffInvoiceRequest {
        request_id: new_id(),
        invoice_id: invoice.to_owned(),
        etag: String::new(),
        reason: "It will not be paid".to_owned(),
    });
    Ok(written_off.await?.invoice.unwrap())
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_is_drafted_and_issued(database: PgPool) {
    let clock = SetClock::at("2026-01-30T12:00:00Z");
    let desk = Desk::of(&database, clock.clinic()).await;
    let patient = desk.patient().await;
    desk.price("A", 333, 190_000).await;
    desk.price("B", 1000, 70_000).await;
    desk.charge(patient, "A", 3).await;
    desk.charge(patient, "B", 1).await;

    let draft = desk.draft(patient).await;
    assert_eq!(draft.state(), InvoiceState::Draft);
    assert_eq!(
        (&*draft.number, &*draft.issue_date, &*draft.due_date),
        ("", "", "")
    );
    // 999 with 19 %: 189.81; 1000 with 7 %: 70.
    let line_taxes: Vec<i64> = draft.lines.iter().map(|line| units(&line.tax)).collect();
    assert_eq!(line_taxes, [190, 70]);
    assert_eq!(
        (units(&draft.net), units(&draft.tax), units(&draft.total)),
        (1999, 260, 2259)
    );
    assert_eq!(draft.taxes.len(), 2);
    assert_eq!(units(&draft.due), 0);

    let issued = desk.issue(&draft.invoice_id).await.unwrap();
    assert_eq!(issued.state(), InvoiceState::Issued);
    assert_eq!(issued.number, "2026-000001");
    assert_eq!(
        (&*issued.issue_date, &*issued.due_date),
        ("2026-01-30", "2026-03-01")
    );
    assert_eq!(units(&issued.due), 2259);
    assert_eq!(issued.issued_by, desk.user.to_string());
    assert_eq!(issued.billed_to.as_ref().unwrap().name, "Zoë Ωmega");
    // What was answered is what is there.
    assert_eq!(desk.invoice(&draft.invoice_id).await, issued);

    let again = desk.issue(&draft.invoice_id).await;
    assert_refused(again, Code::FailedPrecondition, "INVOICE_NOT_DRAFT");
    clock.set("2026-03-02T00:00:00Z");
    assert!(desk.invoice(&draft.invoice_id).await.overdue);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_draft_is_changed_and_deleted(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 1000, 190_000).await;
    let first = desk.charge(patient, "A", 1).await;
    let second = desk.charge(patient, "A", 2).await;
    let draft = desk.draft(patient).await;
    let change = |etag: &str, discount: i64| UpdateInvoiceRequest {
        request_id: new_id(),
        invoice_id: draft.invoice_id.clone(),
        etag: etag.to_owned(),
        lines: vec![DraftLine {
            charge_id: second.charge_id.clone(),
            discount: Some(eur(discount)),
        }],
    };
    assert_refused(
        desk.update_invoice(change("9", 1)).await,
        Code::Aborted,
        "STALE_ETAG",
    );
    let too_much = desk.update_invoice(change("", 2001)).await;
    assert_refused(too_much, Code::InvalidArgument, "INVALID_INPUT");
    let changed = desk.update_invoice(change(&draft.etag, 501)).await.unwrap();
    let changed = changed.invoice.unwrap();
    // 1499 with 19 %: 284.81.
    assert_eq!((units(&changed.net), units(&changed.tax)), (1499, 285));
    assert_ne!(changed.etag, draft.etag);

    // What is left out is on no invoice, what is on this one is on no other.
    let other = desk.draft(patient).await;
    assert_eq!(other.lines[0].charge_id, first.charge_id);
    let taken = desk.create_invoice(CreateInvoiceRequest {
        request_id: new_id(),
        patient_id: patient.to_string(),
        charge_ids: vec![second.charge_id.clone()],
        ..CreateInvoiceRequest::default()
    });
    assert_refused(taken.await, Code::FailedPrecondition, "CHARGE_NOT_BILLABLE");

    let delete = DeleteInvoiceRequest {
        request_id: new_id(),
        invoice_id: draft.invoice_id.clone(),
        etag: String::new(),
    };
    desk.delete_invoice(delete.clone()).await.unwrap();
    // The same request again is answered, although there is nothing left to delete.
    desk.delete_invoice(delete).await.unwrap();
    let gone = desk.get_invoice(GetInvoiceRequest {
        invoice_id: draft.invoice_id.clone(),
    });
    assert_refused(gone.await, Code::NotFound, "NOT_FOUND");
    assert_eq!(
        desk.draft(patient).await.lines[0].charge_id,
        second.charge_id
    );

    desk.issue(&other.invoice_id).await.unwrap();
    let issued = desk.delete_invoice(DeleteInvoiceRequest {
        request_id: new_id(),
        invoice_id: other.invoice_id,
        etag: String::new(),
    });
    assert_refused(issued.await, Code::FailedPrecondition, "INVOICE_NOT_DRAFT");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nobody_is_invoiced_for_what_cannot_be(database: PgPool) {
    let desk = Desk::open(&database).await;
    let (patient, other) = (desk.patient().await, desk.patient().await);
    let draft = |charge_ids: Vec<String>| {
        desk.create_invoice(CreateInvoiceRequest {
            request_id: new_id(),
            patient_id: patient.to_string(),
            charge_ids,
            ..CreateInvoiceRequest::default()
        })
    };
    let nothing = draft(Vec::new()).await;
    assert_refused(nothing, Code::FailedPrecondition, "NOTHING_BILLABLE");
    let unpriced = desk.charge(patient, "NONE", 1).await.charge_id;
    desk.price("A", 1, 0).await;
    let of_other = desk.charge(other, "A", 1).await.charge_id;
    for charge in [unpriced, of_other, Uuid::now_v7().to_string()] {
        let refused = draft(vec![charge]).await;
        assert_refused(refused, Code::FailedPrecondition, "CHARGE_NOT_BILLABLE");
    }
    desk.price_in("JPY", "A", 1, 0).await;
    let euros = desk.charge(patient, "A", 1).await.charge_id;
    let yen = RecordChargeRequest {
        currency_code: "JPY".to_owned(),
        ..charge(patient, "A", 1)
    };
    let yen = desk
        .record_charge(yen)
        .await
        .unwrap()
        .charge
        .unwrap()
        .charge_id;
    let mixed = draft(vec![euros.clone(), yen]).await;
    assert_refused(mixed, Code::FailedPrecondition, "MIXED_CURRENCIES");
    let twice = draft(vec![euros.clone(), euros]).await;
    assert_refused(twice, Code::InvalidArgument, "INVALID_INPUT");
    // Without ids, those in the clinic's currency.
    assert_eq!(
        draft(Vec::new())
            .await
            .unwrap()
            .invoice
            .unwrap()
            .currency_code,
        "EUR"
    );
}

/// Numbers have no gap and dates never fall, whoever fails in between.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn numbers_have_no_gap(database: PgPool) {
    let desk = Desk::open(&database).await;
    sqlx::raw_sql(
        "CREATE TABLE billing.entry_refused (account_id uuid);
         CREATE FUNCTION billing.refuse_entry() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF EXISTS (SELECT FROM billing.entry_refused WHERE account_id = NEW.account_id) THEN
                 RAISE EXCEPTION 'refused';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON billing.entry
             FOR EACH ROW EXECUTE FUNCTION billing.refuse_entry();",
    )
    .execute(&database)
    .await
    .unwrap();
    desk.price("A", 100, 0).await;
    let mut drafts = Vec::new();
    for number in 0..24 {
        let patient = desk.patient().await;
        desk.charge(patient, "A", 1).await;
        let draft = desk.draft(patient).await;
        if number % 3 == 0 {
            // Fails behind its number: it is refused when its entry is booked.
            sqlx::query(
                "INSERT INTO billing.entry_refused
                 SELECT id FROM billing.account WHERE patient_id = $1",
            )
            .bind(patient)
            .execute(&database)
            .await
            .unwrap();
        }
        drafts.push(draft.invoice_id);
    }
    join_all(drafts.iter().map(|draft| desk.issue(draft))).await;
    // A call that was too slow for its deadline has no answer, and goes on.
    let numbers = async || -> Vec<String> {
        sqlx::query_scalar("SELECT number FROM billing.invoice WHERE number IS NOT NULL ORDER BY 1")
            .fetch_all(&database)
            .await
            .unwrap()
    };
    crate::running::until(async || numbers().await.len() == 16).await;
    let issued = numbers().await;
    let year = &crate::desk::today()[..4];
    let expected: Vec<String> = (1..=issued.len())
        .map(|number| format!("{year}-{number:06}"))
        .collect();
    assert_eq!(issued, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn one_draft_is_issued_once(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    desk.charge(patient, "A", 1).await;
    let draft = desk.draft(patient).await.invoice_id;
    let issued = join_all((0..10).map(|_| desk.issue(&draft))).await;
    let (won, lost): (Vec<_>, Vec<_>) = issued.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in lost {
        assert_refused(lost, Code::FailedPrecondition, "INVOICE_NOT_DRAFT");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_void_invoice_keeps_its_number_and_frees_what_was_paid(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 1000).await;
    let paid = desk.pay(patient, 400, &[&invoice.invoice_id]).await;
    assert_eq!((units(&paid.allocated), units(&paid.credit)), (400, 0));

    let voided = void(&desk, &invoice.invoice_id).await.unwrap();
    assert_eq!(voided.state(), InvoiceState::Void);
    assert_eq!(voided.number, invoice.number);
    assert_eq!((units(&voided.due), units(&voided.allocated)), (0, 0));
    assert_eq!(voided.reason, "It was a mistake");
    assert_eq!(units(&desk.payment(&paid.payment_id).await.credit), 400);

    // Its charge is on the next invoice, which uses the credit.
    let next = desk.draft(patient).await;
    let next = desk.issue(&next.invoice_id).await.unwrap();
    assert_eq!((units(&next.allocated), units(&next.due)), (400, 600));
    assert_refused(
        void(&desk, &invoice.invoice_id).await,
        Code::FailedPrecondition,
        "INVOICE_NOT_ISSUED",
    );
    let numbers: HashSet<String> = [invoice.number, next.number].into();
    assert_eq!(numbers.len(), 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_credit_note_takes_off_what_is_due_and_then_what_was_paid(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 1000, 190_000).await;
    desk.charge(patient, "A", 1).await;
    let draft = desk.draft(patient).await.invoice_id;
    desk.issue(&draft).await.unwrap();
    let (first, second) = (
        desk.pay(patient, 500, &[&draft]).await,
        desk.pay(patient, 500, &[&draft]).await,
    );

    // 190 are due: of 300, 110 were paid, by the second payment.
    let credited = credit(&desk, &draft, Some(300)).await.unwrap();
    let note = credited.credit_note.unwrap();
    assert!(note.number.starts_with("CN-") && note.number.ends_with("-000001"));
    assert_eq!((units(&note.total), units(&note.tax)), (300, 48));
    let invoice = credited.invoice.unwrap();
    assert_eq!((units(&invoice.credited), units(&invoice.due)), (300, 0));
    assert_eq!(units(&invoice.allocated), 890);
    assert_eq!(units(&desk.payment(&first.payment_id).await.credit), 0);
    assert_eq!(units(&desk.payment(&second.payment_id).await.credit), 110);

    let too_much = credit(&desk, &draft, Some(891)).await;
    assert_refused(too_much, Code::FailedPrecondition, "CREDIT_EXCEEDS_INVOICE");
    let rest = credit(&desk, &draft, None).await.unwrap();
    let invoice = rest.invoice.unwrap();
    assert_eq!(units(&invoice.credited), 1190);
    // Together, the exact tax.
    let taxes: i64 = invoice
        .credit_notes
        .iter()
        .map(|note| units(&note.tax))
        .sum();
    assert_eq!(taxes, 190);
    let nothing = credit(&desk, &draft, None).await;
    assert_refused(nothing, Code::FailedPrecondition, "CREDIT_EXCEEDS_INVOICE");
    assert_refused(
        void(&desk, &draft).await,
        Code::FailedPrecondition,
        "INVOICE_CREDITED",
    );
    assert_refused(
        credit(
            &desk,
            &desk.invoiced(desk.patient().await, 5).await.invoice_id,
            Some(6),
        )
        .await,
        Code::FailedPrecondition,
        "CREDIT_EXCEEDS_INVOICE",
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_credit_note_is_split_exactly_in_every_currency(database: PgPool) {
    let desk = Desk::open(&database).await;
    for (currency, prices) in [
        ("JPY", [100, 33, 7]),
        ("EUR", [999, 1, 10]),
        ("KWD", [5, 5, 5]),
    ] {
        let patient = desk.patient().await;
        let mut charges = Vec::new();
        for (place, price) in prices.into_iter().enumerate() {
            let code = format!("{currency}{place}");
            desk.price_in(currency, &code, price, 80_000).await;
            let request = RecordChargeRequest {
                currency_code: currency.to_owned(),
                ..charge(patient, &code, 3)
            };
            let recorded = desk.record_charge(request).await.unwrap();
            charges.push(recorded.charge.unwrap().charge_id);
        }
        let draft = desk.create_invoice(CreateInvoiceRequest {
            request_id: new_id(),
            patient_id: patient.to_string(),
            charge_ids: charges,
            ..CreateInvoiceRequest::default()
        });
        let draft = draft.await.unwrap().invoice.unwrap();
        let total = units(&draft.total);
        desk.issue(&draft.invoice_id).await.unwrap();
        for part in [1, 7, total / 3, total - total / 3 - 8] {
            let note = desk.credit_invoice(CreditInvoiceRequest {
                request_id: new_id(),
                invoice_id: draft.invoice_id.clone(),
                reason: "In parts".to_owned(),
                amount: Some(money(currency, part)),
                ..CreditInvoiceRequest::default()
            });
            let note = note.await.unwrap().credit_note.unwrap();
            let lines: i64 = note.lines.iter().map(|line| units(&line.total)).sum();
            assert_eq!((units(&note.total), lines), (part, part));
        }
        let invoice = desk.invoice(&draft.invoice_id).await;
        for line in &invoice.lines {
            assert_eq!(line.credited, line.total);
        }
        let nets: i64 = invoice
            .credit_notes
            .iter()
            .map(|note| units(&note.net))
            .sum();
        assert_eq!(nets, units(&invoice.net));
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn one_person_writes_off_little(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 10_000).await.invoice_id;
    desk.pay(patient, 4000, &[&invoice]).await;
    let written_off = write_off(&desk, &invoice).await.unwrap();
    assert_eq!(written_off.state(), InvoiceState::WrittenOff);
    assert_eq!(
        (units(&written_off.written_off), units(&written_off.due)),
        (6000, 0)
    );
    assert_eq!(written_off.written_off_by, desk.user.to_string());
    assert_refused(
        write_off(&desk, &invoice).await,
        Code::FailedPrecondition,
        "NOTHING_DUE",
    );
    assert_refused(
        void(&desk, &invoice).await,
        Code::FailedPrecondition,
        "INVOICE_WRITTEN_OFF",
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn two_people_write_off_much(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 10_001).await.invoice_id;
    let asked = write_off(&desk, &invoice).await.unwrap();
    assert_eq!(asked.state(), InvoiceState::Issued);
    assert_eq!(units(&asked.due), 10_001);
    let request = asked.write_off_request.unwrap();
    assert_eq!(
        (units(&request.amount), request.requested_by),
        (10_001, desk.user.to_string())
    );
    let alone = write_off(&desk, &invoice).await;
    assert_refused(alone, Code::FailedPrecondition, "SECOND_PERSON_REQUIRED");

    let colleague = desk.colleague();
    let granted = write_off(&colleague, &invoice).await.unwrap();
    assert_eq!(granted.state(), InvoiceState::WrittenOff);
    assert_eq!(granted.written_off_by, colleague.user.to_string());
    assert_eq!(granted.write_off_request, None);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_rejected_is_asked_for_anew(database: PgPool) {
    let desk = Desk::open(&database).await;
    let colleague = desk.colleague();
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 20_000).await.invoice_id;
    let reject = async |reason: &str| {
        let rejected = colleague.reject_write_off(RejectWriteOffRequest {
            request_id: new_id(),
            invoice_id: invoice.clone(),
            etag: String::new(),
            reason: reason.to_owned(),
        });
        Ok(rejected.await?.invoice.unwrap())
    };
    let early = reject("It will be paid").await;
    assert_refused(early, Code::FailedPrecondition, "WRITE_OFF_NOT_REQUESTED");
    write_off(&desk, &invoice).await.unwrap();
    let nameless: Result<Invoice, Status> = reject("").await;
    assert_refused(nameless, Code::InvalidArgument, "INVALID_INPUT");
    let rejected = reject("It will be paid").await.unwrap();
    assert_eq!(rejected.state(), InvoiceState::Issued);
    assert_eq!(
        (units(&rejected.due), rejected.write_off_request),
        (20_000, None)
    );
    let granted = write_off(&colleague, &invoice).await.unwrap();
    assert_eq!(granted.state(), InvoiceState::Issued);
    assert!(granted.write_off_request.is_some());
    let record: String = sqlx::query_scalar(
        "SELECT action FROM audit.record WHERE actor_id = $1 ORDER BY occurred_at LIMIT 1",
    )
    .bind(colleague.user)
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(record, "REJECT_WRITE_OFF");
}

/// What was asked for before an invoice was settled is not granted when it is due again.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_request_to_write_off_lapses_when_nothing_is_due(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 20_000).await.invoice_id;
    let asked = write_off(&desk, &invoice).await.unwrap();
    assert!(asked.write_off_request.is_some());
    let part = desk.pay(patient, 1, &[&invoice]).await.payment_id;
    assert!(desk.invoice(&invoice).await.write_off_request.is_some());
    let rest = desk.pay(patient, 19_999, &[&invoice]).await.payment_id;
    assert_eq!(desk.invoice(&invoice).await.write_off_request, None);
    crate::payments::reverse(&desk, &part).await.unwrap();
    crate::payments::reverse(&desk, &rest).await.unwrap();

    let colleague = desk.colleague();
    let asked = write_off(&colleague, &invoice).await.unwrap();
    assert_eq!(asked.state(), InvoiceState::Issued);
    let request = asked.write_off_request.unwrap();
    assert_eq!(request.requested_by, colleague.user.to_string());

    // Nor what was asked for before a credit note, or another write-off.
    credit(&desk, &invoice, None).await.unwrap();
    assert_eq!(desk.invoice(&invoice).await.write_off_request, None);
    let states: Vec<String> = sqlx::query_scalar("SELECT DISTINCT state FROM billing.write_off")
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(states, ["LAPSED"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn invoices_are_listed(database: PgPool) {
    let clock = SetClock::at("2026-01-30T12:00:00Z");
    let desk = Desk::of(&database, clock.clinic()).await;
    let (patient, restricted) = (desk.patient().await, desk.patient().await);
    let first = desk.invoiced(patient, 100).await;
    desk.invoiced(patient, 200).await;
    desk.invoiced(restricted, 300).await;
    crate::charges::restrict(&database, restricted).await;
    let ids = async |request: ListInvoicesRequest| {
        let list = desk.list_invoices(request).await.unwrap();
        list.invoices
            .iter()
            .map(|invoice| units(&invoice.total))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(ListInvoicesRequest::default()).await, [200, 100]);
    let issued = ListInvoicesRequest {
        state: InvoiceState::Issued.into(),
        include_restricted: true,
        ..ListInvoicesRequest::default()
    };
    assert_eq!(ids(issued).await, [300, 200, 100]);
    let overdue = ListInvoicesRequest {
        overdue: true,
        ..ListInvoicesRequest::default()
    };
    assert_eq!(ids(overdue.clone()).await, [0; 0]);
    desk.pay(patient, 100, &[&first.invoice_id]).await;
    clock.set("2026-03-02T12:00:00Z");
    assert_eq!(ids(overdue).await, [200]);
    // Issued on both of these days, or between them.
    desk.invoiced(patient, 400).await;
    let issued = |from: &str, to: &str| ListInvoicesRequest {
        issued_from: from.to_owned(),
        issued_to: to.to_owned(),
        ..ListInvoicesRequest::default()
    };
    assert_eq!(ids(issued("2026-01-31", "")).await, [400]);
    assert_eq!(ids(issued("", "2026-03-01")).await, [200, 100]);
    let both = issued("2026-01-30", "2026-03-02");
    assert_eq!(ids(both).await, [400, 200, 100]);
    assert_eq!(ids(issued("2026-01-31", "2026-03-01")).await, [0; 0]);
    let backwards = desk.list_invoices(issued("2026-03-02", "2026-03-01"));
    assert_eq!(fields(&backwards.await.unwrap_err()), ["to"]);

    let page = desk.list_invoices(ListInvoicesRequest {
        patient_id: patient.to_string(),
        page_size: 2,
        ..ListInvoicesRequest::default()
    });
    let page = page.await.unwrap();
    let next = ListInvoicesRequest {
        patient_id: patient.to_string(),
        page_token: page.next_page_token,
        ..ListInvoicesRequest::default()
    };
    assert_eq!(ids(next).await, [100]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_year_begins_its_own_numbers_at_the_clinics_midnight(database: PgPool) {
    let clock = SetClock::at("2026-12-31T22:59:59Z");
    let mut clinic = clock.clinic();
    clinic.zone = zones::Zone::named("Europe/Berlin").unwrap();
    let desk = Desk::of(&database, clinic).await;
    let patient = desk.patient().await;
    let old = desk.invoiced(patient, 100).await;
    clock.set("2026-12-31T23:00:00Z");
    let new = desk.invoiced(patient, 200).await;
    assert_eq!(
        (&*old.number, &*old.issue_date),
        ("2026-000001", "2026-12-31")
    );
    assert_eq!(
        (&*new.number, &*new.issue_date),
        ("2027-000001", "2027-01-01")
    );
}

/// A clock that is put back does not make the dates of a series fall.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn dates_never_fall(database: PgPool) {
    let clock = SetClock::at("2026-05-02T00:00:00Z");
    let desk = Desk::of(&database, clock.clinic()).await;
    let patient = desk.patient().await;
    assert_eq!(desk.invoiced(patient, 100).await.issue_date, "2026-05-02");
    clock.set("2026-05-01T23:59:59Z");
    assert_eq!(desk.invoiced(patient, 200).await.issue_date, "2026-05-02");
}

/// The patient's new name is on the next invoice, and not on the one before.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_issued_stays_as_it_was(database: PgPool) {
    use contracts::billing::v1::{EraseBillingAccountRequest, UpdateBillingAccountRequest};
    let running = crate::running::Running::start(&database).await;
    let desk = Desk::at(&running);
    let patient = desk.patient().await;
    let before = desk.invoiced(patient, 100).await;
    let mut accounts = running.generated_client();
    let mut update = async |name: &str, version| {
        let request = UpdateBillingAccountRequest {
            patient_id: patient.to_string(),
            name: name.to_owned(),
            email: String::new(),
            address: "1 Harbour Street\nLondon".to_owned(),
            patient_version: version,
        };
        accounts
            .update_billing_account(desk.request(request))
            .await
            .unwrap();
    };
    update("Zoë Alpha", 3).await;
    update("Zoë Overtaken", 2).await;
    let after = desk.invoiced(patient, 200).await;
    assert_eq!(
        desk.invoice(&before.invoice_id).await.billed_to,
        before.billed_to
    );
    let billed_to = after.billed_to.clone().unwrap();
    assert_eq!(billed_to.name, "Zoë Alpha");
    assert_eq!(billed_to.address, "1 Harbour Street\nLondon");

    let erase = EraseBillingAccountRequest {
        patient_id: patient.to_string(),
    };
    let mut accounts = running.generated_client();
    accounts
        .erase_billing_account(desk.request(erase))
        .await
        .unwrap();
    assert_eq!(
        desk.invoice(&after.invoice_id).await.billed_to,
        after.billed_to
    );
    let answers: i64 = sqlx::query_scalar(
        "SELECT count(answer) FROM billing.request WHERE account_id IS NOT NULL",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(answers, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_empty_draft_is_not_issued(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    let charge = desk.charge(patient, "A", 1).await;
    let draft = desk.draft(patient).await.invoice_id;
    desk.cancel_charge(contracts::billing::v1::CancelChargeRequest {
        request_id: new_id(),
        charge_id: charge.charge_id,
        reason: String::new(),
    })
    .await
    .unwrap();
    assert_refused(
        desk.issue(&draft).await,
        Code::FailedPrecondition,
        "INVOICE_EMPTY",
    );
    let unknown = desk.issue_invoice(IssueInvoiceRequest {
        request_id: new_id(),
        invoice_id: Uuid::now_v7().to_string(),
        etag: String::new(),
    });
    assert_refused(unknown.await, Code::NotFound, "NOT_FOUND");
}

/// What costs nothing is invoiced, and nothing is booked for it.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_may_be_about_nothing(database: PgPool) {
    let desk = Desk::open(&database).await;
    let invoice = desk.invoiced(desk.patient().await, 0).await;
    assert_eq!(invoice.state(), InvoiceState::Issued);
    void(&desk, &invoice.invoice_id).await.unwrap();
    let entries: i64 = sqlx::query_scalar("SELECT count(*) FROM billing.entry")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(entries, 0);
}
