//! `RecordCharge`: something that was done for a patient, at the price of its day.

use std::ops::RangeInclusive;

use api::RefusalReason;
use audit_trail::{Action, Resource, ResourceType};
use chrono::NaiveDate;
use contracts::billing::v1::{RecordChargeRequest, RecordChargeResponse};
use money::Currency;
use tonic::Status;
use uuid::Uuid;

use super::charge::{NewCharge, find};
use crate::service::{
    account::AccountStatus,
    clinic::Clinic,
    input,
    party::LockedAccount,
    prices::in_force,
    refused::{Faults, not_now},
    work::{Change, Stopped, Work},
};

/// How many of something one charge may be for.
const QUANTITY: RangeInclusive<u32> = 1..=1000;

/// How many characters a note has.
const NOTE: RangeInclusive<usize> = 1..=500;

impl Change for RecordChargeRequest {
    type Answer = RecordChargeResponse;

    const METHOD: &'static str = "RecordCharge";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<RecordChargeResponse, Stopped> {
        let wanted = Wanted::read(self, &work.clinic)?;
        let party = work.lock_patient(wanted.patient).await?;
        let account = party.own()?;
        must_be_open(account)?;
        work.lock_codes([wanted.code.as_str()]).await?;
        let currency = match wanted.currency {
            Some(currency) => currency,
            None => usual_currency(work, &wanted.code, wanted.service_date).await?,
        };

        let charge = NewCharge {
            account_id: account.id,
            code: &wanted.code,
            currency,
            quantity: wanted.quantity,
            service_date: wanted.service_date,
            note: wanted.note.as_deref(),
            source: None,
        };
        let price = in_force(work, &wanted.code, currency.code(), wanted.service_date).await?;
        let id = charge.insert(work, price).await?;

        let resource = Resource::new(ResourceType::Charge, id);
        work.record(Action::RecordCharge, resource, Some(account.patient_id));
        let stored = find(&mut work.transaction, &[id]).await?;
        Ok(RecordChargeResponse {
            charge: stored.into_iter().next().map(Into::into),
        })
    }
}

/// Nothing is charged to the account of a patient who was deleted.
pub(super) fn must_be_open(account: &LockedAccount) -> Result<(), Status> {
    match account.status {
        AccountStatus::Active => Ok(()),
        AccountStatus::Closed => Err(not_now(
            RefusalReason::AccountClosed,
            format_args!("account {}", account.id),
            "the patient's account is closed",
        )),
    }
}

/// The currency of a charge that names none: the clinic's, unless what it is for has prices in one
/// other currency alone.
async fn usual_currency(
    work: &mut Work,
    code: &str,
    service_date: NaiveDate,
) -> Result<Currency, Stopped> {
    let priced = sqlx::query_scalar!(
        "SELECT DISTINCT currency FROM billing.price WHERE code = $1 AND valid_from <= $2",
        code,
        service_date,
    )
    .fetch_all(&mut work.transaction)
    .await?;
    let clinics = work.clinic.currency;
    Ok(match priced.as_slice() {
        [only] => only.parse().unwrap_or(clinics),
        _ => clinics,
    })
}

struct Wanted {
    patient: Uuid,
    code: String,
    quantity: u32,
    service_date: NaiveDate,
    note: Option<String>,
    currency: Option<Currency>,
}

impl Wanted {
    fn read(request: &RecordChargeRequest, clinic: &Clinic) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let patient = faults.take("patientId", input::id(&request.patient_id));
        let code = faults.take("code", input::code(&request.code));
        let quantity = faults.take("quantity", quantity(request.quantity));
        let service_date = faults.take("serviceDate", input::day(&request.service_date));
        if service_date.is_some_and(|date| date > clinic.today()) {
            faults.note("serviceDate", "Cannot be after today");
        }
        let note = input::if_any(&request.note, |note| input::line("The note", note, &NOTE));
        let note = faults.take("note", note);
        let currency = input::if_any(&request.currency_code, str::parse);
        let currency = faults.take("currency", currency);
        let (
            Some(patient),
            Some(code),
            Some(quantity),
            Some(service_date),
            Some(note),
            Some(currency),
        ) = (patient, code, quantity, service_date, note, currency)
        else {
            return Err(faults.refusal());
        };
        faults.none()?;
        Ok(Self {
            patient,
            code,
            quantity,
            service_date,
            note,
            currency,
        })
    }
}

/// How many; one if nobody says so.
pub(super) fn quantity(asked: u32) -> Result<u32, &'static str> {
    let quantity = asked.max(1);
    QUANTITY
        .contains(&quantity)
        .then_some(quantity)
        .ok_or("Must be between 1 and 1000")
}
