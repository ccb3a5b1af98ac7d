//! Flags in queries.

use serde::Deserialize;

/// `true` or `false` in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Flag {
    #[serde(rename = "true")]
    Yes,
    #[serde(rename = "false")]
    No,
}
