//! What is left in billing of a patient who was erased.

use std::collections::BTreeSet;

use contracts::billing::v1::{
    CancelChargeRequest, CompleteRefundRequest, CreditInvoiceRequest, GetChargeRequest,
    ListRefundsRequest, PaymentMethod, RecordChargeRequest, RecordPaymentRequest,
    RejectRefundRequest, RejectWriteOffRequest, RequestRefundRequest, ReversePaymentRequest,
    SendInvoiceRequest, SendStatementRequest, VoidInvoiceRequest, WriteOffInvoiceRequest,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    desk::{Desk, charge, new_id, payment},
    refunds::approve,
};

/// What staff write in this test, wherever they can.
const SECRET: &str = "Is in prison";

/// The number of a transfer, which may be any text.
const REFERENCE: &str = "TRANSFER-4711";

/// A patient about whom staff have written something wherever they can.
struct WrittenAbout {
    patient: Uuid,
    charge: String,
    void: String,
    written_off: String,
    asked_for: String,
    credited: String,
    reversed: String,
}

async fn written_about(desk: &Desk) -> WrittenAbout {
    let (patient, colleague) = (desk.patient().await, desk.colleague());
    let reason = || SECRET.to_owned();
    desk.price("A", 20_000, 0).await;
    let noted = RecordChargeRequest {
        note: reason(),
        ..charge(patient, "A", 1)
    };
    let noted = desk.record_charge(noted).await.unwrap().charge.unwrap();
    let cancelled = desk.cancel_charge(CancelChargeRequest {
        request_id: new_id(),
        charge_id: noted.charge_id.clone(),
        reason: reason(),
    });
    cancelled.await.unwrap();

    let invoice = async || desk.invoiced(patient, 20_000).await.invoice_id;
    let write_off = async |desk: &Desk, invoice: &str| {
        let written_off = desk.write_off_invoice(WriteOffInvoiceRequest {
            request_id: new_id(),
            invoice_id: invoice.to_owned(),
            etag: String::new(),
            reason: reason(),
        });
        written_off.await.unwrap();
    };
    let void = invoice().await;
    let voided = desk.void_invoice(VoidInvoiceRequest {
        request_id: new_id(),
        invoice_id: void.clone(),
        etag: String::new(),
        reason: reason(),
    });
    voided.await.unwrap();
    // What is void is billable again.
    let again = desk.draft(patient).await.invoice_id;
    desk.issue(&again).await.unwrap();

    let written_off = invoice().await;
    write_off(desk, &written_off).await;
    let rejected = colleague.reject_write_off(RejectWriteOffRequest {
        request_id: new_id(),
        invoice_id: written_off.clone(),
        etag: String::new(),
        reason: reason(),
    });
    rejected.await.unwrap();
    write_off(desk, &written_off).await;
    write_off(&colleague, &written_off).await;
    let asked_for = invoice().await;
    write_off(desk, &asked_for).await;

    let credited = invoice().await;
    let credit = desk.credit_invoice(CreditInvoiceRequest {
        request_id: new_id(),
        invoice_id: credited.clone(),
        reason: reason(),
        ..CreditInvoiceRequest::default()
    });
    credit.await.unwrap();
    let sent = desk.send_invoice(SendInvoiceRequest {
        request_id: new_id(),
        invoice_id: credited.clone(),
    });
    sent.await.unwrap();
    let sent = desk.send_statement(SendStatementRequest {
        request_id: new_id(),
        patient_id: patient.to_string(),
        ..SendStatementRequest::default()
    });
    sent.await.unwrap();

    let reversed = paid_and_paid_back(desk, &colleague, patient).await;
    WrittenAbout {
        patient,
        charge: noted.charge_id,
        void,
        written_off,
        asked_for,
        credited,
        reversed,
    }
}

/// Payments and refunds of this patient, with whatever can be written about them. Returns the payment that
/// was reversed.
async fn paid_and_paid_back(desk: &Desk, colleague: &Desk, patient: Uuid) -> String {
    let reason = || SECRET.to_owned();
    let reversed = desk.pay(patient, 100, &[]).await.payment_id;
    let reversal = desk.reverse_payment(ReversePaymentRequest {
        request_id: new_id(),
        payment_id: reversed.clone(),
        etag: String::new(),
        reason: reason(),
    });
    reversal.await.unwrap();
    let refunded = desk.pay(patient, 100, &[]).await.payment_id;
    let refund = async || {
        let refund = desk.request_refund(RequestRefundRequest {
            request_id: new_id(),
            payment_id: refunded.clone(),
            reason: reason(),
            ..RequestRefundRequest::default()
        });
        refund.await.unwrap().refund.unwrap()
    };
    let rejected = desk.reject_refund(RejectRefundRequest {
        request_id: new_id(),
        refund_id: refund().await.refund_id,
        etag: String::new(),
        reason: reason(),
    });
    rejected.await.unwrap();
    let paid_back = refund().await;
    approve(colleague, &paid_back).await.unwrap();
    let completion = desk.complete_refund(CompleteRefundRequest {
        request_id: new_id(),
        refund_id: paid_back.refund_id,
        reference: format!("{REFERENCE} {patient}"),
        ..CompleteRefundRequest::default()
    });
    completion.await.unwrap();
    let transferred = desk.record_payment(RecordPaymentRequest {
        reference: format!("{REFERENCE} {patient}"),
        method: PaymentMethod::Transfer.into(),
        ..payment(patient, 100, &[])
    });
    transferred.await.unwrap();
    reversed
}

/// In which columns of billing this is written, in whatever row and in whatever form.
async fn columns_with(database: &PgPool, text: &str) -> BTreeSet<String> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns
         WHERE table_schema = 'billing' AND table_name <> '_sqlx_migrations'
             AND data_type IN ('text', 'bytea', 'jsonb')",
    )
    .fetch_all(database)
    .await
    .unwrap();
    assert!(columns.len() > 50, "{columns:?}");
    let mut found = BTreeSet::new();
    for (table, column) in columns {
        let statement = format!(
            "SELECT count(*) FROM billing.{table}
             WHERE position($1 IN {column}::text) > 0
                 OR position(encode(convert_to($1, 'UTF8'), 'hex') IN {column}::text) > 0"
        );
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(text)
            .fetch_one(database)
            .await
            .unwrap();
        if rows > 0 {
            found.insert(format!("{table}.{column}"));
        }
    }
    found
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_staff_have_written_about_a_patient_is_gone_with_them(database: PgPool) {
    let desk = Desk::open(&database).await;
    let one = written_about(&desk).await;
    let everywhere = columns_with(&database, SECRET).await;
    let texts = [
        "charge.cancel_reason",
        "charge.note",
        "credit_note.reason",
        "invoice.reason",
        "payment.reverse_reason",
        "refund.reason",
        "refund.rejection_reason",
        "request.answer",
        "write_off.reason",
        "write_off.rejection_reason",
    ];
    assert_eq!(everywhere, BTreeSet::from(texts.map(ToOwned::to_owned)));
    // Nothing could be removed from there.
    let on_record: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit.record WHERE reason IS NOT NULL")
            .fetch_one(&database)
            .await
            .unwrap();
    assert_eq!(on_record, 0);
    let version = |etag: &str| etag.parse::<i64>().unwrap();
    let before = desk.invoice(&one.void).await;
    let credited = desk.invoice(&one.credited).await;

    desk.erase(one.patient).await;
    assert_eq!(columns_with(&database, SECRET).await, BTreeSet::new());
    // What was issued stays, as the law wants it: who they were then. And which transfer or slip a
    // booking is about.
    let references = ["payment.reference", "refund.reference"];
    let references = BTreeSet::from(references.map(ToOwned::to_owned));
    assert_eq!(columns_with(&database, REFERENCE).await, references);
    let email: String = sqlx::query_scalar("SELECT billed_email FROM billing.invoice LIMIT 1")
        .fetch_one(&database)
        .await
        .unwrap();
    let expected = BTreeSet::from(["invoice.billed_email".to_owned()]);
    assert_eq!(columns_with(&database, &email).await, expected);

    // All of it can be read.
    for invoice in [&one.void, &one.written_off, &one.asked_for, &one.credited] {
        assert_eq!(desk.invoice(invoice).await.reason, "");
    }
    let asked_for = desk.invoice(&one.asked_for).await.write_off_request;
    assert_eq!(asked_for.unwrap().reason, "");
    let after = desk.invoice(&one.void).await;
    assert!(version(&after.etag) > version(&before.etag));
    let mut expected = credited.clone();
    expected.credit_notes[0].reason.clear();
    expected.etag = (version(&credited.etag) + 1).to_string();
    assert_eq!(desk.invoice(&one.credited).await, expected);
    assert_eq!(desk.payment(&one.reversed).await.reverse_reason, "");
    let noted = desk.get_charge(GetChargeRequest {
        charge_id: one.charge.clone(),
    });
    let noted = noted.await.unwrap().charge.unwrap();
    assert_eq!((&*noted.note, &*noted.cancel_reason), ("", ""));
    let refunds = desk.list_refunds(ListRefundsRequest {
        patient_id: one.patient.to_string(),
        ..ListRefundsRequest::default()
    });
    let refunds = refunds.await.unwrap().refunds;
    assert_eq!(refunds.len(), 2);
    for refund in refunds {
        assert_eq!((&*refund.reason, &*refund.rejection_reason), ("", ""));
    }
    let verified = billing::verify_ledger::verify_ledger(&database).await;
    let verified = verified.unwrap();
    assert!(verified.intact, "{:?}", verified.faults);

    // Callers repeat the call until they get a response.
    desk.erase(one.patient).await;
    assert_eq!(desk.invoice(&one.void).await, after);
}

/// Not even the owner takes the reasons away from those who are still there, by mistake.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_written_about_others_stays(database: PgPool) {
    let desk = Desk::open(&database).await;
    let one = written_about(&desk).await;
    let other = written_about(&desk).await;
    let everywhere = columns_with(&database, SECRET).await;
    desk.erase(one.patient).await;
    assert_eq!(columns_with(&database, SECRET).await, everywhere);
    assert_eq!(desk.invoice(&other.void).await.reason, SECRET);
    for statement in [
        "UPDATE billing.credit_note SET reason = NULL WHERE reason IS NOT NULL",
        "UPDATE billing.credit_note SET issued_by = NULL WHERE reason IS NULL",
        "UPDATE billing.credit_note SET reason = 'Another' WHERE reason IS NULL",
        "DELETE FROM billing.credit_note WHERE reason IS NULL",
        "TRUNCATE billing.credit_note CASCADE",
        "UPDATE billing.payment SET reverse_reason = NULL WHERE reverse_reason IS NOT NULL",
        // Nor anything else from those who are not.
        "UPDATE billing.payment SET reversed_at = now() WHERE reversed_at IS NOT NULL",
        "UPDATE billing.payment SET reverse_reason = 'Another' WHERE state = 'REVERSED'",
    ] {
        let changed = sqlx::raw_sql(statement).execute(&database).await;
        let refusal = changed.unwrap_err();
        let code = refusal
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("23001"), "{statement}: {refusal}");
    }
}
