//! `PUT /api/patients/{id}`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("update-patient")?;
    let delivery = patients::outbox::Delivery::from_env()?;
    api::serve(
        "update-patient",
        patients::update_patient::routes(database, delivery),
    )
    .await
}
