//! `POST /api/patients`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("create-patient")?;
    let delivery = patients::outbox::Delivery::from_env()?;
    api::serve(
        "create-patient",
        patients::create_patient::routes(database, delivery),
    )
    .await
}
