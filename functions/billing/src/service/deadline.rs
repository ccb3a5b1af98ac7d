//! How long a call may take: as long as its caller waits, but never longer than the service allows.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderMap;
use tonic::Status;

use super::refusal::refusal;

/// The response is sent this long before the caller stops waiting, so that it gets
/// `DEADLINE_EXCEEDED`. Otherwise, tonic's own timer would respond with `CANCELLED`.
const MARGIN: Duration = Duration::from_millis(10);

/// Responds when the call's time is over.
///
/// What only looks is then dropped: nothing is left of it but a statement, whose connection the pool
/// does not reuse while it runs. A change goes on, and its caller learns what came of it by asking
/// again.
pub(crate) async fn keep(
    State(longest): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let time = patience(request.headers()).map_or(longest, |patience| {
        longest.min(patience.saturating_sub(MARGIN))
    });
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refusal(Status::deadline_exceeded(
            "the call did not end before its deadline",
        )),
    }
}

/// How long the caller waits: the header `grpc-timeout`, up to eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). An invalid value is ignored.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", value.parse().unwrap());
        patience(&headers)
    }

    #[test]
    fn a_timeout_is_read_in_every_unit() {
        assert_eq!(read("2H"), Some(Duration::from_hours(2)));
        assert_eq!(read("99999999M"), Some(Duration::from_mins(99_999_999)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("00001u"), Some(Duration::from_micros(1)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
    }

    #[test]
    fn an_invalid_timeout_is_ignored() {
        for value in [
            "",
            "S",
            "5",
            "5s",
            "-5S",
            "+5S",
            "123456789S",
            "5 S",
            "1.5S",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
        assert_eq!(patience(&HeaderMap::new()), None);
    }
}
