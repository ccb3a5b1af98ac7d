//! `POST /api/patients/{id}/emergency-access`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("open-in-emergency")?;
    api::serve(
        "open-in-emergency",
        patients::open_in_emergency::routes(database),
    )
    .await
}
