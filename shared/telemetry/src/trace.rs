//! The trace context that travels with a request, as defined by the W3C recommendation
//! (<https://www.w3.org/TR/trace-context/>).

use std::{fmt, future::Future, str::FromStr};

use uuid::Uuid;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Which trace the work belongs to, and which step of it this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    parent_id: u64,
    sampled: bool,
}

/// The text is not a trace context of a known version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a trace context")]
pub struct TraceContextError;

impl TraceContext {
    /// The first step of a new trace.
    #[must_use]
    pub fn start() -> Self {
        let (parent_id, _) = Uuid::new_v4().as_u64_pair();
        Self {
            trace_id: Uuid::new_v4().as_u128(),
            parent_id,
            sampled: true,
        }
    }

    /// The context of the request that this code serves, or a new trace if there is none.
    #[must_use]
    pub fn current() -> Self {
        CURRENT
            .try_with(|context| *context)
            .unwrap_or_else(|_| Self::start())
    }

    /// Runs `work` with this context as the [`current`](Self::current) one.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The next step of the same trace, to be sent with an outgoing call.
    #[must_use]
    pub fn next_step(self) -> Self {
        let (parent_id, _) = Uuid::new_v4().as_u64_pair();
        Self { parent_id, ..self }
    }

    /// Reads X-Ray's header, as API Gateway and Lambda set it:
    /// `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`.
    ///
    /// # Errors
    /// If it has no root. A missing parent is replaced with a new step.
    pub fn from_xray(header: &str) -> Result<Self, TraceContextError> {
        let field = |name: &str| {
            header
                .split(';')
                .filter_map(|field| field.trim().split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        let root = field("Root").and_then(|root| root.strip_prefix("1-"));
        let (time, unique) = root
            .and_then(|root| root.split_once('-'))
            .ok_or(TraceContextError)?;
        if time.len() != 8 || unique.len() != 24 {
            return Err(TraceContextError);
        }
        let parent_id = field("Parent").and_then(|parent| hexadecimal(parent, 16));
        Ok(Self {
            trace_id: hexadecimal(&format!("{time}{unique}"), 32).ok_or(TraceContextError)?,
            parent_id: parent_id
                .and_then(|id| u64::try_from(id).ok())
                .unwrap_or_else(|| Self::start().parent_id),
            sampled: field("Sampled") != Some("0"),
        })
    }

    /// The trace id as 32 hexadecimal digits, as in log lines.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// Reads exactly `digits` lower-case hexadecimal digits that are not all zero.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let lower_case = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(lower_case) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().filter(|id| *id != 0)
}

/// Reads a `traceparent`, such as
/// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(TraceContextError);
        let (version, trace_id, parent_id, flags) = (part()?, part()?, part()?, part()?);
        if version != "00" || flags.len() != 2 || part().is_ok() {
            return Err(TraceContextError);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| TraceContextError)?;
        Ok(Self {
            trace_id: hexadecimal(trace_id, 32).ok_or(TraceContextError)?,
            parent_id: hexadecimal(parent_id, 16)
                .and_then(|id| u64::try_from(id).ok())
                .ok_or(TraceContextError)?,
            sampled: flags & 1 == 1,
        })
    }
}

/// Writes a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            parent_id,
            sampled,
        } = self;
        write!(
            f,
            "00-{trace_id:032x}-{parent_id:016x}-{:02x}",
            u8::from(*sampled)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_survives_reading_and_writing() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn a_malformed_traceparent_is_rejected() {
        for text in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ü",
        ] {
            assert_eq!(
                text.parse::<TraceContext>(),
                Err(TraceContextError),
                "{text}"
            );
        }
    }

    #[test]
    fn xray_and_w3c_name_the_same_trace() {
        let context = TraceContext::from_xray(
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        )
        .unwrap();
        assert_eq!(
            context.to_string(),
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
        );
        assert!(TraceContext::from_xray("Sampled=1").is_err());
        assert!(TraceContext::from_xray("Root=1-é").is_err());
    }

    #[test]
    fn the_next_step_stays_in_the_trace() {
        let context = TraceContext::start();
        let next = context.next_step();
        assert_eq!(next.trace_id(), context.trace_id());
        assert_ne!(next, context);
    }
}
