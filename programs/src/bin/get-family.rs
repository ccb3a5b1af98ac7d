//! `GET /api/patients/{id}/family`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::get_family::routes;
    route::serve("get-family", routes).await
}
