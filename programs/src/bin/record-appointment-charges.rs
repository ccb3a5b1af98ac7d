//! Charges what the events on `appointment.events.v1` say took place.

use billing::record_appointment_charges::record_appointment_charges;
use events::AppointmentEvent;
use store::FromEnvironment as _;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let billing = &billing_client::BillingClient::from_environment("record-appointment-charges")?;
    events::consume(
        "record-appointment-charges",
        async |event: AppointmentEvent| Ok(record_appointment_charges(billing, &event).await?),
    )
    .await
}
