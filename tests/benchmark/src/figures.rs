//! The measured figures, and the targets.

use serde::Serialize;

use crate::statistics::{Comparison, Summary};

/// The start, as a multiple of the bare function's.
pub(crate) const AIM_START: f64 = 1.5;
/// A warm read, as a multiple of its SQL.
pub(crate) const AIM_GET: f64 = 2.0;
/// 30 MiB, in bytes.
pub(crate) const AIM_PEAK_MEMORY: u64 = 30 * MEBIBYTE;
/// 4 MB, in bytes.
pub(crate) const AIM_ZIPPED: u64 = 4 * MEGABYTE;

pub(crate) const MEBIBYTE: u64 = 1024 * 1024;
pub(crate) const MEGABYTE: u64 = 1_000_000;

/// The figures of one function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FunctionFigures {
    /// From the start of the process to its first poll; `bare` is the same for the bare function.
    pub(crate) start: Comparison,
    /// Its memory and size.
    #[serde(flatten)]
    pub(crate) needs: Needs,
}

/// The memory and size of a function.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Needs {
    /// The largest resident set of any process of the function.
    pub(crate) peak_memory_bytes: u64,
    /// The size of the archive that Lambda fetches.
    pub(crate) zipped_bytes: u64,
}

/// The figures of warm requests to one function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LatencyFigures {
    /// From the event to the whole response; `bare` is the SQL.
    pub(crate) request: Comparison,
    /// From the event until the function was ready for the next one.
    pub(crate) busy: Summary,
    /// The same event to the bare function: the cost of the transport itself.
    pub(crate) bare_request: Summary,
    /// A description of that SQL.
    pub(crate) compared_with: &'static str,
    /// The target for the request, as a multiple of the SQL.
    pub(crate) aim: Option<f64>,
    /// The largest resident set of the process that handled them.
    pub(crate) peak_memory_bytes: u64,
    /// The number of patients with messages that were not delivered within the invocation.
    pub(crate) undelivered: Option<i64>,
}

/// The longest answer to one of many who book at once, in milliseconds.
pub(crate) const AIM_BOOKING: f64 = 2000.0;
/// The processor time of a booking, as a multiple of what writing its rows takes.
pub(crate) const AIM_BOOKING_RATIO: f64 = 3.0;

/// The figures of bookings by clients who all want the same day of the same resource. Processor times
/// are in milliseconds for each booking.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BookingFigures {
    /// The number of clients who book at once.
    pub(crate) clients: usize,
    /// The number of bookings.
    pub(crate) bookings: u32,
    /// How many requests were refused because others had the slot.
    pub(crate) conflicts: u32,
    /// From the event to the whole response, refusals included.
    pub(crate) request: Summary,
    /// That of the functions, refusals and delivery included.
    pub(crate) function_processor_time: f64,
    /// That of the database for the functions.
    pub(crate) database_processor_time: f64,
    /// That of pgbench and the database for the same rows.
    pub(crate) bare_processor_time: f64,
    /// That of the functions for a refusal before anything is locked.
    pub(crate) refusal_function_processor_time: f64,
    /// That of the database for such a refusal.
    pub(crate) refusal_database_processor_time: f64,
    /// Functions and database, for a booking, as a multiple of pgbench and the database.
    pub(crate) ratio: f64,
}
