//! `PUT /api/patients/{id}/restriction`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("restrict-patient")?;
    let sessions = sessions::Sessions::from_env()?;
    api::serve(
        "restrict-patient",
        patients::restrict_patient::routes(database, sessions),
    )
    .await
}
