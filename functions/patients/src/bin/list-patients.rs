//! `GET /api/patients`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("list-patients")?;
    api::serve("list-patients", patients::list_patients::routes(database)).await
}
