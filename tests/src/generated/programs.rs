//! The source of the binary of each function that serves routes.

use std::collections::BTreeSet;

use programs::SERVICES;

use super::File;

pub(super) fn all() -> Vec<File> {
    let mut files = Vec::new();
    for service in SERVICES {
        let functions: BTreeSet<_> = service.routes.iter().map(|row| row.function).collect();
        for function in functions {
            let routes: Vec<_> = service
                .routes
                .iter()
                .filter(|row| row.function == function)
                .map(|row| format!("`{} {}`", row.method, row.path))
                .collect();
            let path = format!("programs/src/bin/{function}.rs");
            files.push(File::new(
                path,
                program(service.name, function, &routes.join(" and ")),
            ));
        }
    }
    files
}

fn program(service: &str, function: &str, routes: &str) -> String {
    let module = function.replace('-', "_");
    format!(
        "//! {routes}. Made by `make generate`.

#[tokio::main(flavor = \"current_thread\")]
pub(crate) async fn main() -> Result<(), api::Error> {{
    telemetry::start_logging();
    let routes = {service}::{module}::routes;
    route::serve(\"{function}\", routes).await
}}
"
    )
}
