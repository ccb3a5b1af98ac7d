//! `GET /api/patients/{id}`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("get-patient")?;
    api::serve("get-patient", patients::get_patient::routes(database)).await
}
