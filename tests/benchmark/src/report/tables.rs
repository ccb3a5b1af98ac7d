//! The tables of the report.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

use crate::{
    build::BARE_FUNCTION,
    figures::{
        AIM_BOOKING, AIM_BOOKING_RATIO, AIM_PEAK_MEMORY, AIM_START, AIM_ZIPPED, BookingFigures,
        FunctionFigures, LatencyFigures, MEBIBYTE, MEGABYTE, Needs,
    },
    statistics::Comparison,
};

/// One line per function, and one for the bare function.
pub(super) fn functions(
    functions: &BTreeMap<String, FunctionFigures>,
    bare: Option<&Needs>,
) -> Table {
    let mut table = table([
        "function".to_owned(),
        "start".to_owned(),
        "bare start".to_owned(),
        format!("x bare (aim: {AIM_START})"),
        format!("peak memory (aim: {} MiB)", AIM_PEAK_MEMORY / MEBIBYTE),
        format!("zipped (aim: {} MB)", AIM_ZIPPED / MEGABYTE),
    ]);
    for (binary, figures) in functions {
        let FunctionFigures { start, needs } = figures;
        let ratio = start.p50_ratio;
        table.add_row([
            binary.clone(),
            milliseconds(start.ours.p50),
            milliseconds(start.bare.p50),
            format!("{ratio:.2} {}", verdict(ratio <= AIM_START)),
            format!(
                "{} {}",
                mebibytes(needs.peak_memory_bytes),
                verdict(needs.peak_memory_bytes <= AIM_PEAK_MEMORY)
            ),
            format!(
                "{} {}",
                megabytes(needs.zipped_bytes),
                verdict(needs.zipped_bytes <= AIM_ZIPPED)
            ),
        ]);
    }
    if let Some(bare) = bare {
        table.add_row([
            BARE_FUNCTION.to_owned(),
            String::new(),
            String::new(),
            String::new(),
            mebibytes(bare.peak_memory_bytes),
            megabytes(bare.zipped_bytes),
        ]);
    }
    table
}

/// One line per function and percentile.
pub(super) fn latencies(latencies: &BTreeMap<String, LatencyFigures>) -> Table {
    let mut table = table(
        [
            "function",
            "",
            "request",
            "SQL",
            "x SQL",
            "aim",
            "bare request",
            "busy",
        ]
        .map(str::to_owned),
    );
    for (binary, figures) in latencies {
        let Comparison {
            ours,
            bare,
            p50_ratio,
            p99_ratio,
        } = figures.request;
        let lines = [
            (
                "p50",
                ours.p50,
                bare.p50,
                p50_ratio,
                figures.bare_request.p50,
                figures.busy.p50,
            ),
            (
                "p99",
                ours.p99,
                bare.p99,
                p99_ratio,
                figures.bare_request.p99,
                figures.busy.p99,
            ),
        ];
        for (percentile, request, sql, ratio, bare_request, busy) in lines {
            let verdict = figures.aim.map_or("", |aim| verdict(ratio <= aim));
            table.add_row([
                binary.clone(),
                percentile.to_owned(),
                milliseconds(request),
                milliseconds(sql),
                format!("{ratio:.2} {verdict}"),
                figures.aim.map_or("none".to_owned(), |aim| aim.to_string()),
                milliseconds(bare_request),
                milliseconds(busy),
            ]);
        }
    }
    table
}

/// One line: how long the answers took, and what a booking costs.
pub(super) fn booking(figures: &BookingFigures) -> Table {
    let mut table = table([
        "p50".to_owned(),
        "p99".to_owned(),
        format!("slowest (aim: {AIM_BOOKING} ms)"),
        "processor time of a booking: functions".to_owned(),
        "database".to_owned(),
        "its rows by pgbench".to_owned(),
        format!("x its rows (aim: {AIM_BOOKING_RATIO})"),
        "of a refusal: functions".to_owned(),
        "database".to_owned(),
    ]);
    let request = &figures.request;
    table.add_row([
        milliseconds(request.p50),
        milliseconds(request.p99),
        format!(
            "{} {}",
            milliseconds(request.max),
            verdict(request.max <= AIM_BOOKING)
        ),
        milliseconds(figures.function_processor_time),
        milliseconds(figures.database_processor_time),
        milliseconds(figures.bare_processor_time),
        format!(
            "{:.2} {}",
            figures.ratio,
            verdict(figures.ratio <= AIM_BOOKING_RATIO)
        ),
        milliseconds(figures.refusal_function_processor_time),
        milliseconds(figures.refusal_database_processor_time),
    ]);
    table
}

fn table<const COLUMNS: usize>(header: [String; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

const fn verdict(within: bool) -> &'static str {
    if within { "✓" } else { "✗" }
}

fn milliseconds(value: f64) -> String {
    format!("{value:.2} ms")
}

/// Rounded up to a tenth.
fn mebibytes(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(MEBIBYTE);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// Rounded up to a hundredth.
fn megabytes(bytes: u64) -> String {
    let hundredths = (bytes * 100).div_ceil(MEGABYTE);
    format!("{}.{:02} MB", hundredths / 100, hundredths % 100)
}
