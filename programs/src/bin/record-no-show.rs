//! `POST /api/appointments/{id}/no-show`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::record_no_show::routes;
    route::serve("record-no-show", routes).await
}
