//! `GET /api/notifications`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("list-notifications")?;
    let table = store::Table::from_env("NOTIFICATIONS_TABLE")?;
    let routes = notifications::list_notifications::routes(database, table);
    api::serve("list-notifications", routes).await
}
