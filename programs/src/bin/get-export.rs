//! `GET /api/patients/exports/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::get_export::routes;
    route::serve("get-export", routes).await
}
