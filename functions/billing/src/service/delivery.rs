//! What patients are sent by e-mail: a document, as it is when somebody asks for it.
//!
//! The document is stored with the order to send it, in one transaction: it is sent once, and what is
//! sent is what there was then. Notifications sends it, and fetches it from `billing.document_of` or
//! `billing.statement_of`, which show nothing else.

use std::fmt::Display;

use api::RefusalReason;
use chrono::{DateTime, NaiveDate, Utc};
use documents::Document;
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    account::AccountStatus,
    party::Party,
    refused::not_now,
    work::{Stopped, Work},
};

/// What is sent.
#[derive(Debug)]
pub(crate) enum Sent {
    Invoice(Uuid),
    /// A statement about the patient's account, and about others that are theirs by a merge.
    Statement {
        from: NaiveDate,
        to: NaiveDate,
        other_accounts: Vec<Uuid>,
    },
}

/// Who it is sent to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addressee {
    pub(crate) account_id: Uuid,
    pub(crate) patient_id: Uuid,
}

/// That it is sent.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) id: Uuid,
    pub(crate) created_at: DateTime<Utc>,
}

/// Who is deleted or erased is not written to, and somebody else may read the mail of who is protected.
/// The address is looked up again when it is sent.
pub(crate) async fn must_be_reachable(
    work: &mut Work,
    party: &Party,
    patient_id: Uuid,
) -> Result<(), Stopped> {
    let account = party.own()?;
    let patient = format!("patient {patient_id}");
    if account.status != AccountStatus::Active {
        let why = "the patient's account is closed";
        return Err(not_now(RefusalReason::AccountClosed, &patient, why).into());
    }
    if !account.has_email() {
        let why = "the patient has no e-mail address";
        return Err(not_now(RefusalReason::NoEmailAddress, &patient, why).into());
    }
    let restricted: bool = sqlx::query_scalar("SELECT patients.is_restricted($1)")
        .bind(patient_id)
        .fetch_one(&mut work.transaction)
        .await?;
    if restricted {
        let why = "the patient's record is restricted: nothing is sent to them by e-mail";
        return Err(not_now(RefusalReason::PatientRestricted, &patient, why).into());
    }
    Ok(())
}

/// Prints what is sent, and says what its file is called. It takes some milliseconds a page.
pub(crate) async fn printed<E: Display + Send + 'static>(
    subject: impl Display,
    print: impl FnOnce() -> Result<(Document, String), E> + Send + 'static,
) -> Result<(Document, String), Status> {
    let printed = tokio::task::spawn_blocking(print).await;
    let printed = printed.map_err(|error| error.to_string());
    let printed = printed.and_then(|printed| printed.map_err(|error| error.to_string()));
    printed.map_err(|cause| unprintable(subject, cause))
}

/// What is to be sent cannot be printed, for this reason.
pub(crate) fn unprintable(subject: impl Display, cause: impl Display) -> Status {
    tracing::error!(%cause, %subject, "what is to be sent cannot be printed");
    Status::internal("the billing service failed; its log says why")
}

impl Sent {
    /// Stores it, and has notifications send it.
    pub(crate) async fn store(
        self,
        work: &mut Work,
        to: Addressee,
        (document, file_name): (Document, String),
    ) -> Result<Delivery, sqlx::Error> {
        let (invoice, period, other_accounts) = match &self {
            Self::Invoice(id) => (Some(*id), None, [].as_slice()),
            Self::Statement {
                from,
                to,
                other_accounts,
            } => (None, Some((*from, *to)), other_accounts.as_slice()),
        };
        let delivery = Delivery {
            id: Uuid::now_v7(),
            created_at: work.now(),
        };
        sqlx::query!(
            "INSERT INTO billing.delivery
                 (id, account_id, invoice_id, from_date, to_date, other_accounts, file_name,
                  document, created_by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            delivery.id,
            to.account_id,
            invoice,
            period.map(|(from, _)| from),
            period.map(|(_, to)| to),
            other_accounts,
            file_name,
            document.bytes,
            work.actor(),
            delivery.created_at,
        )
        .execute(&mut work.transaction)
        .await?;
        let send = match self {
            Self::Invoice(_) => "SELECT notifications.send_invoice($1, $2, $3)",
            Self::Statement { .. } => "SELECT notifications.send_statement($1, $2, $3)",
        };
        sqlx::query(send)
            .bind(delivery.id)
            .bind(to.patient_id)
            .bind(delivery.created_at)
            .execute(&mut work.transaction)
            .await?;
        Ok(delivery)
    }
}
