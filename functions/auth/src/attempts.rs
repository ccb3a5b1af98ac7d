//! How often somebody may try: the more failed attempts, the longer the next one has to
//! wait (OWASP ASVS 5, 6.3.1).
//!
//! | what is counted, in 15 minutes | free | then |
//! |---|---|---|
//! | failures on an account from a source that has logged in to it before | 10 | 8, 16, 32, … seconds, 5 minutes at most |
//! | failures on an account from all other sources together | 10 | the same |
//! | failures of a source, on whatever account | 200 | the same |
//! | requests of a source for a one-time token | 20 | the rest of the 15 minutes |
//!
//! Nobody is locked out for ever, and nobody can lock out somebody else: where a user has
//! logged in before, the failures of others do not count. What is counted is an address
//! that was typed, whether it belongs to an account or not, so that an answer says nothing
//! about that.
//!
//! An attempt is counted before it is made, and taken back if it succeeds. So as many
//! attempts at once as anybody can make are not more than the same attempts one by one.

use std::{collections::HashMap, time::Duration};

use api::{Problem, request_context};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use axum::extract::FromRequestParts;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use store::{MissingSetting, Table, failure_code};

use crate::EmailAddress;

/// Failures are counted in windows of so many seconds.
const WINDOW: i64 = 15 * 60;

const FREE_PER_ACCOUNT: u32 = 10;
const FREE_PER_SOURCE: u32 = 200;
const MESSAGES_PER_SOURCE: u32 = 20;

/// What the first attempt too many has to wait, in seconds: nothing for who thinks about
/// what their password may be, and long for a program.
const SHORTEST_WAIT: i64 = 8;

/// The longest that anybody has to wait, in seconds.
const LONGEST_WAIT: i64 = 5 * 60;

/// How long a source is known after somebody has logged in from it.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);

/// Where a request comes from, as the gateway saw it: an IPv4 address, or the network of
/// an IPv6 address (its first 64 bits), of which a subscriber has all addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source(String);

impl Source {
    fn of(address: &str) -> Self {
        Self(match address.parse() {
            Ok(std::net::IpAddr::V6(address)) => {
                if let Some(v4) = address.to_ipv4_mapped() {
                    v4.to_string()
                } else {
                    let [a, b, c, d, ..] = address.segments();
                    format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
                }
            }
            Ok(std::net::IpAddr::V4(address)) => address.to_string(),
            // All of whom we know nothing are one source.
            Err(_) => "unknown".to_owned(),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Source {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let context = request_context(&parts.extensions);
        let address = context.and_then(|context| context.identity.source_ip.as_deref());
        Ok(Self::of(address.unwrap_or_default()))
    }
}

/// The attempts cannot be counted. Nobody may try then.
#[derive(Debug, thiserror::Error)]
#[error("the table of log-in attempts did not answer: {0}")]
pub struct AttemptsUnavailable(String);

/// 503.
impl From<AttemptsUnavailable> for Problem {
    fn from(error: AttemptsUnavailable) -> Self {
        Self::unavailable(1, error)
    }
}

/// The table of attempts.
#[derive(Debug)]
pub struct Attempts {
    table: Table,
}

/// The key of an item.
#[derive(Debug, Clone)]
struct Key {
    pk: String,
    sk: String,
}

/// An attempt that may be made.
#[derive(Debug)]
#[must_use = "an attempt that is not said to have succeeded counts as failed"]
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    account: Key,
    source: Key,
    known: Key,
}

impl Attempts {
    /// The table that `LOGIN_ATTEMPTS_TABLE` names. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self::new(Table::from_env("LOGIN_ATTEMPTS_TABLE")?))
    }

    /// The attempts in this table.
    #[must_use]
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Counts an attempt at the password of this account from this source.
    ///
    /// 429 if it comes too early, 503 if the table does not answer.
    pub(crate) async fn begin(
        &self,
        email: &EmailAddress,
        source: &Source,
    ) -> Result<Attempt<'_>, Problem> {
        let now = Utc::now();
        let window = now.timestamp() / WINDOW;
        let account = format!(
            "ACCOUNT#{}",
            URL_SAFE_NO_PAD.encode(Sha256::digest(email.as_str()))
        );
        let known = Key {
            pk: account.clone(),
            sk: format!("KNOWN#{}", source.0),
        };
        let by_source = Key {
            pk: format!("SOURCE#{}", source.0),
            sk: format!("FAILURES#{window}"),
        };
        let (is_known, source_count) = tokio::join!(
            Box::pin(self.is_known(&known, now)),
            Box::pin(self.add(&by_source, 1)),
        );
        let by_account = Key {
            pk: account,
            sk: if is_known? {
                format!("FAILURES#{window}#{}", source.0)
            } else {
                format!("FAILURES#{window}")
            },
        };
        let source_count = source_count?;
        let account_count = Box::pin(self.add(&by_account, 1)).await?;
        let attempt = Attempt {
            attempts: self,
            account: by_account,
            source: by_source,
            known,
        };
        let wait = account_count
            .wait(FREE_PER_ACCOUNT, now)
            .max(source_count.wait(FREE_PER_SOURCE, now));
        if wait > 0 {
            attempt.take_back().await;
            return Err(too_many(wait));
        }
        Ok(attempt)
    }

    /// Counts a request of this source for a one-time token.
    ///
    /// 429 if there were too many, 503 if the table does not answer.
    pub(crate) async fn message(&self, source: &Source) -> Result<(), Problem> {
        let now = Utc::now().timestamp();
        let key = Key {
            pk: format!("SOURCE#{}", source.0),
            sk: format!("MESSAGES#{}", now / WINDOW),
        };
        if self.add(&key, 1).await?.attempts > i64::from(MESSAGES_PER_SOURCE) {
            return Err(too_many(WINDOW - now % WINDOW));
        }
        Ok(())
    }

    async fn is_known(&self, known: &Key, now: DateTime<Utc>) -> Result<bool, AttemptsUnavailable> {
        let found = self
            .table
            .client()
            .await
            .get_item()
            .table_name(self.table.name())
            .key("pk", text(&known.pk))
            .key("sk", text(&known.sk))
            .send()
            .await
            .map_err(|error| AttemptsUnavailable(failure_code(&error)))?;
        let until = number_in(found.item(), "expiresAt");
        Ok(until.is_some_and(|until| until > now.timestamp()))
    }

    async fn add(&self, key: &Key, number: i64) -> Result<Count, AttemptsUnavailable> {
        let expires_at = Utc::now().timestamp() + 2 * WINDOW;
        let updated = self
            .table
            .client()
            .await
            .update_item()
            .table_name(self.table.name())
            .key("pk", text(&key.pk))
            .key("sk", text(&key.sk))
            .update_expression("ADD attempts :number SET expiresAt = :expiresAt")
            .expression_attribute_values(":number", self::number(number))
            .expression_attribute_values(":expiresAt", self::number(expires_at))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| AttemptsUnavailable(failure_code(&error)))?;
        Ok(Count {
            attempts: number_in(updated.attributes(), "attempts").unwrap_or(0),
            failed_at: number_in(updated.attributes(), "failedAt"),
        })
    }

    async fn fail(&self, key: &Key) -> Result<(), AttemptsUnavailable> {
        self.table
            .client()
            .await
            .update_item()
            .table_name(self.table.name())
            .key("pk", text(&key.pk))
            .key("sk", text(&key.sk))
            .update_expression("SET failedAt = :now")
            .expression_attribute_values(":now", number(Utc::now().timestamp_millis()))
            .send()
            .await
            .map_err(|error| AttemptsUnavailable(failure_code(&error)))?;
        Ok(())
    }

    async fn remember(&self, known: &Key) -> Result<(), AttemptsUnavailable> {
        let until = (Utc::now() + KNOWN_FOR).timestamp();
        self.table
            .client()
            .await
            .put_item()
            .table_name(self.table.name())
            .item("pk", text(&known.pk))
            .item("sk", text(&known.sk))
            .item("expiresAt", number(until))
            .send()
            .await
            .map_err(|error| AttemptsUnavailable(failure_code(&error)))?;
        Ok(())
    }
}

impl Attempt<'_> {
    /// It failed: from now on the next one has to wait.
    pub(crate) async fn failed(self) -> Result<(), AttemptsUnavailable> {
        let (account, source) = tokio::join!(
            Box::pin(self.attempts.fail(&self.account)),
            Box::pin(self.attempts.fail(&self.source)),
        );
        account.and(source)
    }

    /// It succeeded: it does not count, and the source is known from now on. That this
    /// cannot be written down is no reason to send anybody away.
    pub(crate) async fn succeeded(self) {
        let (remembered, ()) = tokio::join!(
            Box::pin(self.attempts.remember(&self.known)),
            self.take_back(),
        );
        if let Err(error) = remembered {
            tracing::warn!(cause = %error, "a source is not known for its success");
        }
    }

    async fn take_back(&self) {
        let taken_back = tokio::join!(
            Box::pin(self.attempts.add(&self.account, -1)),
            Box::pin(self.attempts.add(&self.source, -1)),
        );
        for result in [taken_back.0, taken_back.1] {
            if let Err(error) = result {
                tracing::warn!(cause = %error, "an attempt that did not fail counts all the same");
            }
        }
    }
}

struct Count {
    /// With the one that was just counted.
    attempts: i64,
    /// When the last one failed, in milliseconds since 1970.
    failed_at: Option<i64>,
}

impl Count {
    /// How many seconds the attempt that was just counted has to wait.
    fn wait(&self, free: u32, now: DateTime<Utc>) -> i64 {
        let before = self.attempts - 1;
        let more = before - i64::from(free);
        if more < 0 {
            return 0;
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let delay = 2_i64
            .saturating_pow(more)
            .saturating_mul(SHORTEST_WAIT)
            .min(LONGEST_WAIT);
        // More than are free at once, and none of them has failed yet: as if one had.
        let since = self
            .failed_at
            .map_or(0, |failed| now.timestamp_millis() - failed);
        let left = delay * 1000 - since;
        if left <= 0 { 0 } else { (left + 999) / 1000 }
    }
}

fn too_many(seconds: i64) -> Problem {
    Problem::too_many_requests(u32::try_from(seconds).unwrap_or(1).max(1))
}

fn number_in(item: Option<&HashMap<String, AttributeValue>>, name: &str) -> Option<i64> {
    item?.get(name)?.as_n().ok()?.parse().ok()
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_is_bounded() {
        let now = Utc::now();
        let wait = |attempts, ago_seconds: i64| {
            let failed_at = Some(now.timestamp_millis() - ago_seconds * 1000);
            Count {
                attempts,
                failed_at,
            }
            .wait(10, now)
        };
        assert_eq!(wait(1, 0), 0);
        assert_eq!(wait(10, 0), 0);
        assert_eq!([wait(11, 0), wait(12, 0), wait(13, 0)], [8, 16, 32]);
        assert_eq!([wait(13, 31), wait(13, 32), wait(13, 100)], [1, 0, 0]);
        assert_eq!(
            [wait(30, 0), wait(1000, 0), wait(i64::MAX, 0)],
            [300, 300, 300]
        );
        let at_once = Count {
            attempts: 11,
            failed_at: None,
        };
        assert_eq!(at_once.wait(10, now), 8);
    }

    #[test]
    fn a_source_is_an_address_or_a_network() {
        for (address, source) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("", "unknown"),
            ("192.0.2.7, 198.51.100.1", "unknown"),
        ] {
            assert_eq!(Source::of(address).0, source, "{address}");
        }
    }
}
