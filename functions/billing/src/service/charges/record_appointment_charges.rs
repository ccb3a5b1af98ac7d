//! `RecordAppointmentCharges`: the charges of an appointment become what its newest version says.
//!
//! Events come again, late, and in another order. The mark of the appointment says which version
//! its charges are of: an equal or an older one changes nothing. A newer one keeps the charges that
//! it would make again, cancels the others, and makes those that are missing. What is invoiced is not
//! touched: somebody has to credit it, and finds it on a worklist, unless there is nothing left to be
//! credited, as of a service that was for nothing. What somebody has cancelled or credited
//! on purpose is not charged again; what was withdrawn by a correction of the appointment is, if that
//! correction was wrong. What took place is charged to a closed account as well: the patient was there before they
//! were deleted.
//!
//! A charge may be on the account of another patient: it was made while the records of both were merged,
//! which was undone. It is withdrawn there, and made anew where it belongs.

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
    party::{Matter, Party},
    prices::in_force,
    refused::{Faults, no_account},
    work::{Change, Stopped, Work},
};

/// An appointment is for no more than this many things.
const MAX_ITEMS: usize = 20;

/// Why a charge is cancelled that its appointment no longer has.
const CORRECTED: &str = "The appointment was corrected";

/// Why a charge is cancelled that is on the account of somebody else.
const OF_ANOTHER: &str = "The appointment is another patient's";

impl Change for RecordAppointmentChargesRequest {
    type Answer = RecordAppointmentChargesResponse;

    const METHOD: &'static str = "RecordAppointmentCharges";
    const BY_SOMEBODY: bool = false;

    fn request_id(&self) -> Option<&str> {
        None
    }

    async fn make(&self, work: &mut Work) -> Result<RecordAppointmentChargesResponse, Stopped> {
        let wanted = Wanted::read(self)?;
        // Before the accounts: nobody else makes charges of the appointment from here on, so that it is
        // known on which accounts they are.
        if !advance_mark(work, &wanted).await? {
            return Ok(RecordAppointmentChargesResponse {
                charges: live_charges(work, wanted.appointment).await?,
                out_of_date: true,
            });
        }
        let matter = Matter::Appointment {
            id: wanted.appointment,
            patient: wanted.patient,
        };
        let party = work.lock_matter(matter).await?.ok_or_else(no_account)?;
        let codes = wanted.items.iter().map(|item| item.code.as_str());
        work.lock_codes(codes).await?;

        let mut missing = wanted.items.clone();
        let (mut right, mut superfluous) = (Vec::new(), Vec::new());
        let (gone, standing): (Vec<Made>, Vec<Made>) = made_of(work, wanted.appointment)
            .await?
            .into_iter()
            .partition(|made| made.gone);
        for made in standing {
            let charge = &made.charge;
            let wanted = missing.iter().position(|item| item.is(charge));
            match wanted.filter(|_| party.has(charge.account_id)) {
                Some(place) => {
                    missing.remove(place);
                    right.push(charge.id);
                }
                None => superfluous.push(made),
            }
        }
        // On whichever account: somebody has decided that it is not to be paid.
        for made in gone.iter().filter(|made| !made.corrected) {
            if let Some(place) = missing.iter().position(|item| item.is(&made.charge)) {
                missing.remove(place);
            }
        }
        mark(work, &right, Mark::Right).await?;
        withdraw(work, &superfluous, &party).await?;
        for (line, item) in (0..).zip(&missing) {
            let account = party.own()?;
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
            // A charge that would be too large waits for another price, like one without a price.
            let price = price.filter(|price| charge.can_cost(price));
            let id = charge.insert(work, price).await?;
            let resource = Resource::new(ResourceType::Charge, id);
            work.record(Action::RecordCharge, resource, Some(account.patient_id));
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

/// Whether this version is newer than all before. Other calls about the same appointment wait
/// for its lock.
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

/// A charge that was made for the appointment.
struct Made {
    charge: StoredCharge,
    /// It was cancelled, or credited as a whole.
    gone: bool,
    /// Because the appointment was corrected, and not on purpose.
    corrected: bool,
    /// It is invoiced, and something is left to be credited of it.
    creditable: bool,
}

/// All charges that were ever made for the appointment.
async fn made_of(work: &mut Work, appointment: Uuid) -> Result<Vec<Made>, Stopped> {
    let rows = sqlx::query!(
        r#"SELECT charge.id, charge.corrected,
                  charge.state = 'CANCELLED' OR EXISTS (
                      SELECT FROM billing.invoice_line AS line
                      JOIN billing.credit_note_line AS credited ON credited.invoice_line_id = line.id
                      WHERE line.charge_id = charge.id AND line.live
                      GROUP BY line.id
                      HAVING sum(credited.total) = line.total
                  ) AS "gone!",
                  EXISTS (
                      SELECT FROM billing.invoice_line AS line
                      JOIN billing.invoice ON invoice.id = line.invoice_id
                      WHERE line.charge_id = charge.id AND line.live AND line.total > 0
                          AND invoice.total > invoice.credited + invoice.written_off
                  ) AS "creditable!"
           FROM billing.charge
           WHERE source_type = 'APPOINTMENT' AND source_id = $1
           ORDER BY id"#,
        appointment
    )
    .fetch_all(&mut work.transaction)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let charges = find(&mut work.transaction, &ids).await?;
    let made = charges.into_iter().zip(rows).map(|(charge, row)| Made {
        charge,
        gone: row.gone,
        corrected: row.corrected,
        creditable: row.creditable,
    });
    Ok(made.collect())
}

/// Cancels charges, or marks them where they are invoiced.
async fn withdraw(work: &mut Work, charges: &[Made], party: &Party) -> Result<(), Stopped> {
    let (invoiced, open): (Vec<_>, Vec<_>) = charges
        .iter()
        .partition(|made| made.charge.state == State::Invoiced);
    let (theirs, of_others): (Vec<_>, Vec<_>) = open
        .iter()
        .copied()
        .partition(|made| party.has(made.charge.account_id));
    take_off_draft(work, &ids(&open)).await?;
    for (charges, why) in [(theirs, CORRECTED), (of_others, OF_ANOTHER)] {
        cancel(work, &ids(&charges), Some(why), true).await?;
        for Made { charge, .. } in charges {
            let resource = Resource::new(ResourceType::Charge, charge.id);
            let patient = Some(charge.patient_id);
            work.record(Action::CancelCharge, resource, patient);
        }
    }
    let (creditable, free): (Vec<_>, Vec<_>) =
        invoiced.into_iter().partition(|made| made.creditable);
    mark(work, &ids(&creditable), Mark::ToCredit).await?;
    mark(work, &ids(&free), Mark::Corrected).await
}

fn ids(charges: &[&Made]) -> Vec<Uuid> {
    charges.iter().map(|made| made.charge.id).collect()
}

/// What the appointment says of charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// They are as it says.
    Right,
    /// They are not, and somebody has to credit them.
    ToCredit,
    /// They are not, and there is nothing to be done about it.
    Corrected,
}

async fn mark(work: &mut Work, charges: &[Uuid], mark: Mark) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.charge SET needs_credit_note = $2, corrected = $3
         WHERE id = ANY($1) AND (needs_credit_note, corrected) <> ($2, $3)",
        charges,
        mark == Mark::ToCredit,
        mark == Mark::Corrected,
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
