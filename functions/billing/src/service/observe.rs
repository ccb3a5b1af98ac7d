//! One log line and one set of metrics per call, in the trace of its caller.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use axum::{extract::Request, middleware::Next, response::Response};
use telemetry::{Metrics, TraceContext, Unit};
use tonic::{Code, Status};
use tracing::Instrument as _;

/// The methods by which metrics are counted.
const METHODS: [&str; 42] = [
    "CreateBillingAccount",
    "UpdateBillingAccount",
    "CloseBillingAccount",
    "EraseBillingAccount",
    "ReopenBillingAccount",
    "GetBillingAccount",
    "SetPrice",
    "ListPrices",
    "RecordCharge",
    "RecordAppointmentCharges",
    "CancelCharge",
    "GetCharge",
    "ListCharges",
    "CreateInvoice",
    "UpdateInvoice",
    "DeleteInvoice",
    "IssueInvoice",
    "SendInvoice",
    "VoidInvoice",
    "CreditInvoice",
    "WriteOffInvoice",
    "RejectWriteOff",
    "GetInvoice",
    "ListInvoices",
    "RecordPayment",
    "AllocatePayment",
    "ReversePayment",
    "GetPayment",
    "ListPayments",
    "RequestRefund",
    "ApproveRefund",
    "RejectRefund",
    "CompleteRefund",
    "GetRefund",
    "ListRefunds",
    "GetBalance",
    "GetStatement",
    "SendStatement",
    "GetAging",
    "GetRevenue",
    "GetTakings",
    "ExportLedger",
];

/// Whether a call's message could be read. If it could not, the gRPC status is `INTERNAL`, as for
/// an error on our side.
#[derive(Debug, Clone, Default)]
struct MessageWasRead(Arc<AtomicBool>);

/// The message of a call. Every use case starts with it.
pub(crate) fn read<T>(request: tonic::Request<T>) -> T {
    if let Some(MessageWasRead(was_read)) = request.extensions().get() {
        was_read.store(true, Ordering::Relaxed);
    }
    request.into_inner()
}

/// Runs the call in its trace, then logs its outcome and metrics.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace = request
        .headers()
        .get(contracts::TRACEPARENT)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or_else(TraceContext::start);
    let method = method(request.uri().path());
    let span = tracing::info_span!(
        "call",
        traceId = %trace.trace_id(),
        service = "billing-service",
        method,
    );

    let MessageWasRead(was_read) = MessageWasRead::default();
    let extensions = request.extensions_mut();
    extensions.insert(MessageWasRead(Arc::clone(&was_read)));
    let response = trace.scope(next.run(request)).instrument(span).await;

    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code());
    let fault = fault_of(code, was_read.load(Ordering::Relaxed));
    Metrics::new()
        .dimension("Service", "billing-service")
        .dimension("Method", method)
        .metric("Requests", Unit::Count, 1.0)
        .metric("ServerErrors", Unit::Count, count(fault == Fault::Server))
        .metric("ClientErrors", Unit::Count, count(fault == Fault::Caller))
        .metric(
            "Duration",
            Unit::Milliseconds,
            started.elapsed().as_secs_f64() * 1000.0,
        )
        .property(
            "level",
            if fault == Fault::Server {
                "ERROR"
            } else {
                "INFO"
            },
        )
        .property("message", "call")
        .property("traceId", trace.trace_id())
        .property("status", name(code))
        .emit();
    response
}

fn method(path: &str) -> &'static str {
    let called = path.rsplit('/').next().unwrap_or_default();
    METHODS
        .into_iter()
        .find(|method| *method == called)
        .unwrap_or("unknown")
}

fn count(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Caller,
    Server,
}

/// Who is responsible for a status, given whether the call's message was read.
const fn fault_of(code: Code, was_read: bool) -> Fault {
    match code {
        Code::Ok => Fault::None,
        Code::Unknown | Code::Internal if !was_read => Fault::Caller,
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Fault::Server,
        _ => Fault::Caller,
    }
}

/// The status' name in the gRPC specification.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
