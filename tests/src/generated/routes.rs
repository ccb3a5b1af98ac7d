//! The table of all routes, for functions that need it without depending on the services.

use anyhow::Result;
use programs::SERVICES;
use route::Row;

pub(super) fn json() -> Result<String> {
    let rows: Vec<&Row> = SERVICES.iter().flat_map(|service| service.routes).collect();
    let mut json = serde_json::to_string_pretty(&rows)?;
    json.push('\n');
    Ok(json)
}
