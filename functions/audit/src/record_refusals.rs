//! `record-refusals`, called by CloudWatch Logs: puts on record what API Gateway has refused
//! by itself.
//!
//! Without a valid token the gateway answers 401, and with one 403 to what the authorizer's
//! policy does not allow, before any function of ours runs. All that is left of such a
//! request is a line in the API's access log. A subscription filter hands those lines over.
//!
//! CloudWatch Logs delivers at least once, and Lambda calls again when a call has failed:
//! twice by itself, and after that from a queue, until the database takes the records. The id
//! of a record is made from its log event, so the same event leaves one record, however often
//! it comes.
//!
//! Requests of nobody can be as many as somebody likes. Beyond a bound for a source and a minute
//! they are counted, and the count is on record when the minute is over.

use std::{
    io::Read as _,
    net::{IpAddr, Ipv6Addr},
};

use api::{Id, ProblemType, RequestId};
use audit_trail::{OfNobody, Outcome, Record, Subject};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use identity::Role;
use lambda_runtime::{Diagnostic, LambdaEvent};
use percent_encoding::percent_decode_str;
use route::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use store::{service_fn, setting};
use telemetry::{Metrics, Unit};
use uuid::{Builder, Uuid};

/// How large the log events of one call may be. Lambda takes 1 MB for an asynchronous call,
/// and lines as alike as ours shrink to a tenth of their size.
const MAX_UNPACKED_BYTES: u64 = 32 * 1024 * 1024;

/// What the function is called with.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// By CloudWatch Logs.
    Lines {
        /// New lines of the access log.
        awslogs: Packed,
    },
    /// By the queue of the calls that have failed too often.
    Again {
        /// Its messages.
        #[serde(rename = "Records")]
        messages: Vec<Message>,
    },
}

/// Log events as CloudWatch Logs packs them.
#[derive(Debug, Deserialize)]
pub struct Packed {
    /// A JSON document, compressed with gzip, in base64.
    data: String,
}

/// What Lambda has put into the queue about a call that failed.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// In JSON.
    body: String,
}

/// What Lambda says about a call that failed, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedCall {
    request_payload: Again,
}

#[derive(Debug, Deserialize)]
struct Again {
    awslogs: Packed,
}

/// What CloudWatch Logs delivers.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    message_type: String,
    owner: String,
    log_group: String,
    log_stream: String,
    log_events: Vec<LogEvent>,
}

#[derive(Debug, Deserialize)]
struct LogEvent {
    id: String,
    message: String,
}

/// A line of the access log, in the format that the template gives it. What API Gateway does
/// not know is a hyphen.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    request_id: String,
    #[serde(default)]
    request_time_epoch: String,
    source_ip: String,
    http_method: String,
    resource_path: String,
    path: String,
    response_type: String,
    principal_id: String,
    role: String,
}

/// What a call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Refusals that are on record now.
    pub recorded: u32,
    /// Refusals of nobody that were only counted.
    pub counted: u32,
    /// Lines that say nothing about a refusal, or cannot be read.
    pub passed_over: u32,
}

/// Why not everything is on record. The call has to be made again.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The log events cannot be unpacked.
    #[error("this is not a delivery of CloudWatch Logs: {0}")]
    Unreadable(&'static str),
    /// The database did not do its part.
    #[error("the audit trail takes no record: {0}")]
    Database(#[from] sqlx::Error),
}

/// How many refusals of nobody from one source in a minute are on record one by one.
#[derive(Debug, Clone, Copy)]
pub struct Bound(pub i32);

impl Bound {
    /// What `REFUSALS_ON_RECORD` says.
    ///
    /// # Errors
    /// If the setting is missing or no number.
    pub fn from_env() -> Result<Self, api::Error> {
        Ok(Self(setting("REFUSALS_ON_RECORD")?.parse()?))
    }
}

/// Serves as the Lambda function until Lambda stops it.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn serve(database: PgPool, bound: Bound) -> Result<(), lambda_runtime::Error> {
    let database = &database;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| async move {
        match record_refusals(database, &event.payload, bound).await {
            Ok(report) => {
                tracing::info!(?report, "recorded refusals");
                Ok(report)
            }
            Err(error) => {
                tracing::error!(cause = %error, "refusals are not on record yet");
                Metrics::of_function("record-refusals")
                    .metric("Failures", Unit::Count, 1.0)
                    .property("message", "refusals are not on record yet")
                    .emit();
                Err(Diagnostic {
                    error_type: "RecordError".to_owned(),
                    error_message: error.to_string(),
                })
            }
        }
    }))
    .await
}

/// Puts every refusal among the lines on record, once.
///
/// # Errors
/// If the lines cannot be unpacked, or the database does not take a record. What is on record
/// by then stays.
pub async fn record_refusals(
    database: &PgPool,
    event: &Event,
    bound: Bound,
) -> Result<Report, RecordError> {
    let mut report = Report::default();
    match event {
        Event::Lines { awslogs } => {
            record(database, &awslogs.unpack()?, bound, &mut report).await?;
        }
        Event::Again { messages } => {
            for message in messages {
                let call: FailedCall = serde_json::from_str(&message.body)
                    .map_err(|_| RecordError::Unreadable("not a message about a call of ours"))?;
                let delivery = call.request_payload.awslogs.unpack()?;
                record(database, &delivery, bound, &mut report).await?;
            }
        }
    }
    append_counts(database).await?;
    Ok(report)
}

/// Puts on record how many refusals were only counted, of the minutes that are long over.
pub(crate) async fn append_counts(database: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT audit.append_refusal_counts()")
        .execute(database)
        .await?;
    Ok(())
}

impl Packed {
    fn unpack(&self) -> Result<Delivery, RecordError> {
        let packed = STANDARD
            .decode(&self.data)
            .map_err(|_| RecordError::Unreadable("not base64"))?;
        // Too much ends in the middle, which no JSON document does.
        let unpacked = GzDecoder::new(&*packed).take(MAX_UNPACKED_BYTES);
        serde_json::from_reader(std::io::BufReader::new(unpacked))
            .map_err(|_| RecordError::Unreadable("not log events in gzip"))
    }
}

async fn record(
    database: &PgPool,
    delivery: &Delivery,
    Bound(at_most): Bound,
    report: &mut Report,
) -> Result<(), RecordError> {
    // CloudWatch Logs tries with a CONTROL_MESSAGE whether it gets through.
    if delivery.message_type != "DATA_MESSAGE" {
        return Ok(());
    }
    for event in &delivery.log_events {
        let Ok(line) = serde_json::from_str::<Line>(&event.message) else {
            // Its words are a stranger's.
            tracing::warn!(eventId = %event.id, "a line of the access log cannot be read");
            report.passed_over += 1;
            continue;
        };
        let Some(refusal) = line.refusal(delivery.id_of(event)) else {
            tracing::debug!(eventId = %event.id, "a line of the access log is about no refusal");
            report.passed_over += 1;
            continue;
        };
        if refusal.actor.is_some() {
            refusal.append(database).await?;
            report.recorded += 1;
            continue;
        }
        let of_nobody = OfNobody {
            requested_at: line.requested_at(),
            network: &line.network(),
            at_most,
        };
        if refusal.append_or_count(database, of_nobody).await? {
            report.recorded += 1;
        } else {
            report.counted += 1;
        }
    }
    Ok(())
}

impl Delivery {
    /// The same for the same log event, and for no other: the beginning of a SHA-256 as a
    /// UUID of version 8 (RFC 9562, 5.8). The id of the event alone would not do, which is
    /// unique within its stream only; nor would the id of the request, which its sender may
    /// choose.
    fn id_of(&self, event: &LogEvent) -> Uuid {
        let mut hash = Sha256::new();
        for part in [
            &self.owner,
            &self.log_group,
            &self.log_stream,
            &event.id,
            &event.message,
        ] {
            // So that nothing can move from one part to the next.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

impl Line {
    /// The record that the line is about; nothing if the gateway did not refuse the request,
    /// or if there is no such route behind the authorizer.
    fn refusal(&self, id: Uuid) -> Option<Record<'_>> {
        let problem = match self.response_type.as_str() {
            "UNAUTHORIZED" => ProblemType::Unauthorized,
            "ACCESS_DENIED" | "EXPIRED_TOKEN" | "INVALID_API_KEY" | "INVALID_SIGNATURE"
            | "WAF_FILTERED" => ProblemType::Forbidden,
            _ => return None,
        };
        let route = self.route()?;
        let action = route.action?;
        Some(Record {
            id,
            actor: self.actor(),
            action,
            outcome: Outcome::Refused,
            problem: Some(problem.name()),
            subject: self
                .id_in_path()
                .map_or(Subject::Nobody, |id| route.about.whoever_is(id)),
            reason: None,
            source: Some(self.source_ip.as_str()).filter(|ip| ip.parse::<IpAddr>().is_ok()),
            request_id: Some(self.request_id.as_str()).filter(|id| RequestId::is_one(id)),
        })
    }

    /// The route behind the authorizer that was asked for. A HEAD does all that a GET does, and
    /// keeps the body back.
    fn route(&self) -> Option<&'static Row> {
        let method = match self.http_method.as_str() {
            "HEAD" => "GET",
            method => method,
        };
        let mut routes = route::table().iter();
        routes.find(|route| {
            let is_asked_for = route.method.name() == method && route.path == self.resource_path;
            is_asked_for && route.permission.is_some()
        })
    }

    /// When the request came, as far as it says so.
    fn requested_at(&self) -> DateTime<Utc> {
        let milliseconds = self.request_time_epoch.parse().ok();
        milliseconds
            .and_then(DateTime::from_timestamp_millis)
            .filter(|time| *time <= Utc::now())
            .unwrap_or_else(Utc::now)
    }

    /// What its requests are counted by: an address, or the network that one has of them with
    /// IPv6.
    fn network(&self) -> String {
        match self.source_ip.parse() {
            Ok(IpAddr::V4(address)) => address.to_string(),
            Ok(IpAddr::V6(address)) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                format!("{}/64", Ipv6Addr::from_bits(network))
            }
            Err(_) => "unknown".to_owned(),
        }
    }

    /// Who it was, if the authorizer has said so.
    fn actor(&self) -> Option<(Uuid, Role)> {
        Some((self.principal_id.parse().ok()?, self.role.parse().ok()?))
    }

    /// What stands in the path in the place of `{id}`. Counted from the end: what stands
    /// before the route, the stage or a domain's base path, is not the route's.
    fn id_in_path(&self) -> Option<Uuid> {
        let names = self.resource_path.rsplit('/');
        let values = self.path.trim_end_matches('/').rsplit('/');
        let (_, value) = names.zip(values).find(|(name, _)| *name == "{id}")?;
        let Id(id) = percent_decode_str(value).decode_utf8().ok()?.parse().ok()?;
        Some(id)
    }
}
