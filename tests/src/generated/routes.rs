//! The table of all routes, for the functions that have to know them without knowing the services.

use anyhow::Result;
use programs::SERVICES;
use route::Row;

pub(super) fn json() -> Result<String> {
    let rows: Vec<&Row> = SERVICES.iter().flat_map(|service| service.routes).collect();
    let mut json = serde_json::to_string_pretty(&rows)?;
    json.push('\n');
    Ok(json)
}
