//! What has been measured, and what we aim for.

use serde::Serialize;

use crate::statistics::{Comparison, Summary};

/// A start in multiples of that of the bare function.
pub(crate) const AIM_START: f64 = 1.5;
/// A warm read in multiples of its SQL.
pub(crate) const AIM_GET: f64 = 2.0;
/// 30 MiB, in bytes.
pub(crate) const AIM_PEAK_MEMORY: u64 = 30 * MEBIBYTE;
/// 4 MB, in bytes.
pub(crate) const AIM_ZIPPED: u64 = 4 * MEGABYTE;

pub(crate) const MEBIBYTE: u64 = 1024 * 1024;
pub(crate) const MEGABYTE: u64 = 1_000_000;

/// One function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FunctionFigures {
    /// From the start of the process to its first poll; bare: of the bare function.
    pub(crate) start: Comparison,
    /// How much it needs.
    #[serde(flatten)]
    pub(crate) needs: Needs,
}

/// How much memory and space a function needs.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Needs {
    /// The largest resident set of any process of the function.
    pub(crate) peak_memory_bytes: u64,
    /// The size of the archive that Lambda fetches.
    pub(crate) zipped_bytes: u64,
}

/// Warm requests to one function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LatencyFigures {
    /// From the event to the whole answer; bare: the SQL.
    pub(crate) request: Comparison,
    /// The same event to the bare function: what the way there and back costs by itself.
    pub(crate) bare_request: Summary,
    /// What that SQL is.
    pub(crate) compared_with: &'static str,
    /// What the request may take in multiples of the SQL.
    pub(crate) aim: Option<f64>,
    /// The largest resident set of the process that answered all of them.
    pub(crate) peak_memory_bytes: u64,
    /// Of how many patients something was not delivered within the request.
    pub(crate) undelivered: Option<i64>,
}
