//! `GET /api/notifications`

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let table = store::Table::from_env("NOTIFICATIONS_TABLE")?;
    api::serve(
        "list-notifications",
        notifications::list_notifications::routes(table),
    )
    .await
}
