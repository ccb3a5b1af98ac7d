//! `RecordAppointmentCharges`: the charges of an appointment become what its newest version says.
//!
//! Events come again, late, and in another order. The mark of the appointment says which version
//! its charges are of: an equal or an older one changes nothing. A newer one keeps the charges that
//! it would make again, cancels the others, and makes those that are missing. What is invoiced is not
//! touched: somebody has to credit it, and finds it on a worklist. What took place is charged to a closed
//! account as well: the patient was there before they were deleted.

use audit_trail::{Action, Resource, ResourceType};
use chrono::NaiveDate;
use contracts::billing::v1::{
    AppointmentChargeItem, RecordAppointmentChargesRequest, RecordAppointmentChargesResponse,
};
use tonic::Status;
use uuid::Uuid;

use super::{
    cancel_charge::cancel,
    charge::{NewCharge, State, StoredCharge, find},
    record_charge::quantity,
};
use crate::service::{
    input,
    invoices::take_off_draft,
    party::Matter,
    prices::in_force,
    refused::{Faults, no_account},
    work::{Change, Stopped, Work},
};

/// An appointment is for no more than this many things.
const MAX_ITEMS: usize = 20;

/// Why a charge is cancelled that its appointment no longer has.
const CORRECTED: &str = "The appointment was corrected";

impl Change for RecordAppointmentChargesRequest {
    type Answer = RecordAppointmentChargesResponse;

    const METHOD: &'static str = "RecordAppointmentCharges";
    const BY_SOMEBODY: bool = false;

    fn request_id(&self) -> Option<&str> {
        None
    }

    async fn make(&self, work: &mut Work) -> Result<RecordAppointmentChargesResponse, Stopped> {
        let wanted = Wanted::read(self)?;
        let matter = Matter::Appointment {
            id: wanted.appointment,
            patient: wanted.patient,
        };
        let party = work.lock_matter(matter).await?.ok_or_else(no_account)?;
        let account = party.own();
        let codes = wanted.items.iter().map(|item| item.code.as_str());
        work.lock_codes(codes).await?;
        if !advance_mark(work, &wanted).await? {
            return Ok(RecordAppointmentChargesResponse {
                charges: live_charges(work, wanted.appointment).await?,
                out_of_date: true,
            });
        }

        // Whoever had the mark before may have charged another patient.
        work.must_have_locked(matter).await?;

        let mut missing = wanted.items.clone();
        let (mut right, mut superfluous) = (Vec::new(), Vec::new());
        for charge in charges_of(work, wanted.appointment).await? {
            match missing.iter().position(|item| item.is(&charge)) {
                Some(made) => {
                    missing.remove(made);
                    right.push(charge.id);
                }
                None => superfluous.push(charge),
            }
        }
        // What somebody has cancelled on purpose is not charged again.
        for charge in cancelled_by_hand(work, wanted.appointment).await? {
            if let Some(cancelled) = missing.iter().position(|item| item.is(&charge)) {
                missing.remove(cancelled);
            }
        }
        mark_to_credit(work, &right, false).await?;
        withdraw(work, &superfluous, account.patient_id).await?;
        for (line, item) in (0..).zip(&missing) {
            let charge = NewCharge {
                account_id: account.id,
                code: &item.code,
                currency: work.clinic.currency,
                quantity: item.quantity,
                service_date: item.service_date,
                note: None,
                source: Some((wanted.appointment, wanted.version, line)),
            };
            let currency = work.clinic.currency.code();
            let price = in_force(work, &item.code, currency, item.service_date).await?;
            let id = charge.insert(work, price).await?;
            let resource = Resource::new(ResourceType::Charge, id);
            work.record(
                Action::RecordCharge,
                resource,
                Some(account.patient_id),
                None,
            );
        }
        Ok(RecordAppointmentChargesResponse {
            charges: live_charges(work, wanted.appointment).await?,
            out_of_date: false,
        })
    }
}

struct Wanted {
    appointment: Uuid,
    version: i64,
    patient: Uuid,
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
struct Item {
    code: String,
    quantity: u32,
    service_date: NaiveDate,
}

impl Wanted {
    fn read(request: &RecordAppointmentChargesRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let appointment = faults.take("appointmentId", input::id(&request.appointment_id));
        let version = i64::try_from(request.appointment_version);
        let version = faults.take("appointmentVersion", version);
        let patient = faults.take("patientId", input::id(&request.patient_id));
        if request.items.len() > MAX_ITEMS {
            faults.note("items", format_args!("Cannot be more than {MAX_ITEMS}"));
        }
        let items = request.items.iter().take(MAX_ITEMS);
        let items: Vec<_> = items
            .filter_map(|item| Item::read(item, &mut faults))
            .collect();
        let (Some(appointment), Some(version), Some(patient)) = (appointment, version, patient)
        else {
            return Err(faults.refusal());
        };
        faults.none()?;
        Ok(Self {
            appointment,
            version,
            patient,
            items,
        })
    }
}

impl Item {
    fn read(item: &AppointmentChargeItem, faults: &mut Faults) -> Option<Self> {
        let code = faults.take("code", input::code(&item.code));
        let quantity = faults.take("quantity", quantity(item.quantity));
        let service_date = faults.take("serviceDate", input::day(&item.service_date));
        Some(Self {
            code: code?,
            quantity: quantity?,
            service_date: service_date?,
        })
    }

    /// Whether this charge is for it.
    fn is(&self, charge: &StoredCharge) -> bool {
        self.code == charge.code
            && self.quantity == charge.quantity.unsigned_abs()
            && self.service_date == charge.service_date
    }
}

/// Whether this version is newer than all before. Others wait for the mark, whoever the patient was
/// before.
async fn advance_mark(work: &mut Work, wanted: &Wanted) -> Result<bool, Stopped> {
    let advanced = sqlx::query!(
        "INSERT INTO billing.source_mark (source_type, source_id, version)
         VALUES ('APPOINTMENT', $1, $2)
         ON CONFLICT (source_type, source_id) DO UPDATE
         SET version = excluded.version, changed_at = clock_timestamp()
         WHERE source_mark.version < excluded.version",
        wanted.appointment,
        wanted.version,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(advanced.rows_affected() == 1)
}

/// The charges that the appointment still has: neither cancelled nor credited as a whole.
async fn charges_of(work: &mut Work, appointment: Uuid) -> Result<Vec<StoredCharge>, Stopped> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM billing.charge
         WHERE source_type = 'APPOINTMENT' AND source_id = $1 AND state <> 'CANCELLED'
             AND NOT EXISTS (
                 SELECT FROM billing.invoice_line AS line
                 JOIN billing.credit_note_line AS credited ON credited.invoice_line_id = line.id
                 WHERE line.charge_id = charge.id AND line.live
                 GROUP BY line.id
                 HAVING sum(credited.total) = line.total
             )",
        appointment
    )
    .fetch_all(&mut work.transaction)
    .await?;
    Ok(find(&mut work.transaction, &ids).await?)
}

/// The charges of the appointment that were cancelled, and not because it was corrected.
async fn cancelled_by_hand(
    work: &mut Work,
    appointment: Uuid,
) -> Result<Vec<StoredCharge>, Stopped> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM billing.charge
         WHERE source_type = 'APPOINTMENT' AND source_id = $1 AND state = 'CANCELLED'
             AND cancel_reason IS DISTINCT FROM $2",
        appointment,
        CORRECTED,
    )
    .fetch_all(&mut work.transaction)
    .await?;
    Ok(find(&mut work.transaction, &ids).await?)
}

/// Cancels charges, or marks them where they are invoiced.
async fn withdraw(work: &mut Work, charges: &[StoredCharge], patient: Uuid) -> Result<(), Stopped> {
    let (invoiced, open): (Vec<_>, Vec<_>) = charges
        .iter()
        .partition(|charge| charge.state == State::Invoiced);
    let ids =
        |charges: &[&StoredCharge]| charges.iter().map(|charge| charge.id).collect::<Vec<_>>();
    let open = ids(&open);
    if !open.is_empty() {
        take_off_draft(work, &open).await?;
        cancel(work, &open, Some(CORRECTED)).await?;
        for id in open {
            let resource = Resource::new(ResourceType::Charge, id);
            work.record(
                Action::CancelCharge,
                resource,
                Some(patient),
                Some(CORRECTED),
            );
        }
    }
    mark_to_credit(work, &ids(&invoiced), true).await
}

async fn mark_to_credit(work: &mut Work, charges: &[Uuid], needed: bool) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.charge SET needs_credit_note = $2
         WHERE id = ANY($1) AND needs_credit_note <> $2",
        charges,
        needed,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

async fn live_charges(
    work: &mut Work,
    appointment: Uuid,
) -> Result<Vec<contracts::billing::v1::Charge>, Stopped> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM billing.charge
         WHERE source_type = 'APPOINTMENT' AND source_id = $1 AND state <> 'CANCELLED'",
        appointment
    )
    .fetch_all(&mut work.transaction)
    .await?;
    let charges = find(&mut work.transaction, &ids).await?;
    Ok(charges.into_iter().map(Into::into).collect())
}
