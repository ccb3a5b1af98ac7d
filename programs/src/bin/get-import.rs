//! `GET /api/patients/imports/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::get_import::routes;
    route::serve("get-import", routes).await
}
