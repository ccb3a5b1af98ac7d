//! `DELETE /api/patients/{id}`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("delete-patient")?;
    let delivery = patients::outbox::Delivery::from_env()?;
    api::serve(
        "delete-patient",
        patients::delete_patient::routes(database, delivery),
    )
    .await
}
