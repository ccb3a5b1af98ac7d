//! Rate limits on attempts: the more of them fail, the longer the next one has to wait (OWASP ASVS
//! 5, 6.3.1).
//!
//! | counted per 15 minutes | free | then |
//! |---|---|---|
//! | failures on an account from a source known for it | 10 | wait 8, 16, 32, … seconds, at most 5 minutes |
//! | failures on an account from all other sources together | 10 | the same |
//! | failures from a source, on any account | 1000 | the same |
//! | requests for a one-time token for an account | 5 | wait for the rest of the 15 minutes |
//! | requests for one-time tokens from a source, for any account | 500 | the same |
//!
//! A whole clinic may be one source, behind one address: attempts rejected because of their account
//! do not count against their source, and the limit for a source is far above what a clinic's staff
//! need on the morning after a holiday.
//!
//! Nobody is locked out for ever: counts expire with their 15 minutes. A source is known for an
//! account for 30 days after a login from there, or after its password was set there with a token
//! from the mailbox; failures elsewhere do not count there. Everywhere else, somebody who keeps
//! guessing makes everybody wait. The way in is then "forgotten password".
//!
//! Counted is the address that was typed, whether it belongs to an account or not, so that a
//! response does not reveal whether it does.
//!
//! An attempt is counted as failed before it is made, and taken back if it succeeds or if it could
//! not be checked because of a failure on our side. Counting and checking the earlier attempts are
//! one step, so making many attempts concurrently gains nothing over making them one by one.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use api::{ClientAddress, Problem};
use aws_sdk_dynamodb::{
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use axum::extract::FromRequestParts;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use fields::EmailAddress;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use store::{MissingSetting, Table, failure_code};

/// Failures are counted in windows of this many seconds.
const WINDOW: i64 = 15 * 60;

const FREE_PER_ACCOUNT: u32 = 10;
const FREE_PER_SOURCE: u32 = 1000;
const MESSAGES_PER_ACCOUNT: u32 = 5;
const MESSAGES_PER_SOURCE: u32 = 500;

/// The wait after the last free attempt, in seconds: barely noticeable to a person, prohibitive for
/// a script.
const SHORTEST_WAIT: i64 = 8;

/// The longest wait, in seconds.
const LONGEST_WAIT: i64 = 5 * 60;

/// How long a source is known for an account.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);

/// Where a request comes from: an IPv4 address, or the network of an IPv6 address (its first 64
/// bits), all of which belongs to one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source(String);

impl Source {
    fn of(ClientAddress(address): ClientAddress) -> Self {
        Self(match address {
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
            Some(IpAddr::V4(address)) => address.to_string(),
            // Requests without an address count as one source.
            None => "unknown".to_owned(),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Source {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(ClientAddress::of(parts)))
    }
}

/// Attempts cannot be counted, so none is allowed.
#[derive(Debug, thiserror::Error)]
#[error("the table of login attempts did not respond: {0}")]
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

/// An attempt that may be made. It counts as failed unless it is reported otherwise.
#[derive(Debug)]
#[must_use = "an attempt counts as failed unless its success is reported"]
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    account: Counted,
    source: Counted,
    known: Key,
}

/// An attempt as counted under one key.
#[derive(Debug)]
struct Counted {
    key: Key,
    /// When it was counted, in milliseconds since 1970.
    at: i64,
    /// When the previous one was counted.
    before: Option<i64>,
}

/// How often counting an attempt is retried after it collided with another one.
const TRIES: u32 = 5;

store::from_environment!(Attempts);

impl Attempts {
    /// The table that `LOGIN_ATTEMPTS_TABLE` names. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self::new(Table::from_env("LOGIN_ATTEMPTS_TABLE")?))
    }

    /// Counts attempts in this table.
    #[must_use]
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Counts an attempt at the password of this account from this source.
    ///
    /// 429 if it comes too early, 503 if the table does not respond.
    pub(crate) async fn begin(
        &self,
        email: &EmailAddress,
        source: &Source,
    ) -> Result<Attempt<'_>, Problem> {
        let now = Utc::now();
        let window = now.timestamp() / WINDOW;
        let known = known(email, source);
        let by_source = Key {
            pk: format!("SOURCE#{}", source.0),
            sk: format!("FAILURES#{window}"),
        };
        let (is_known, by_source) = tokio::join!(
            Box::pin(self.is_known(&known, now)),
            Box::pin(self.count(by_source, FREE_PER_SOURCE)),
        );
        let source_counted = by_source?.map_err(too_many)?;
        let by_account = async {
            let sk = if is_known? {
                format!("FAILURES#{window}#{}", source.0)
            } else {
                format!("FAILURES#{window}")
            };
            let pk = known.pk.clone();
            let key = Key { pk, sk };
            self.count(key, FREE_PER_ACCOUNT).await
        };
        let refusal = match Box::pin(by_account).await {
            Ok(Ok(account)) => {
                return Ok(Attempt {
                    attempts: self,
                    account,
                    source: source_counted,
                    known,
                });
            }
            Ok(Err(wait)) => too_many(wait),
            Err(unavailable) => unavailable.into(),
        };
        self.take_back(&source_counted).await;
        Err(refusal)
    }

    /// Makes the source known for the account: whoever is there has shown that they can read its
    /// mailbox. If it cannot be stored, the request succeeds all the same.
    pub(crate) async fn know(&self, email: &EmailAddress, source: &Source) {
        self.remember(&known(email, source)).await;
    }

    /// Counts a request of this source for a one-time token for this account.
    ///
    /// 429 if there were too many, 503 if the table does not respond.
    pub(crate) async fn message(
        &self,
        email: &EmailAddress,
        source: &Source,
    ) -> Result<(), Problem> {
        let now = Utc::now().timestamp();
        for (pk, at_most) in [
            (account(email), MESSAGES_PER_ACCOUNT),
            (format!("SOURCE#{}", source.0), MESSAGES_PER_SOURCE),
        ] {
            let sk = format!("MESSAGES#{}", now / WINDOW);
            if self.add(&Key { pk, sk }, 1).await? > i64::from(at_most) {
                return Err(too_many(WINDOW - now % WINDOW));
            }
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

    /// Counts an attempt as having failed just now, or returns how many seconds it has to wait.
    async fn count(
        &self,
        key: Key,
        free: u32,
    ) -> Result<Result<Counted, i64>, AttemptsUnavailable> {
        // The current counts are only read when the condition fails: most attempts are free, and
        // then one call is enough.
        let mut there: Option<Failures> = None;
        for _ in 0..TRIES {
            let now = Utc::now();
            let at = now.timestamp_millis();
            let update = self
                .update(&key)
                .await
                .update_expression("ADD attempts :one SET failedAt = :now, expiresAt = :expiresAt")
                .expression_attribute_values(":one", number(1))
                .expression_attribute_values(":now", number(at))
                .expression_attribute_values(":expiresAt", number(expires_at()))
                .return_values(ReturnValue::UpdatedOld)
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
            let update = match &there {
                None => update
                    .condition_expression("attribute_not_exists(attempts) OR attempts < :free")
                    .expression_attribute_values(":free", number(free.into())),
                // After the wait, one attempt may be made, and the next one has to wait.
                Some(failures) => failures.are_still_there(update),
            };
            let error = match update.send().await {
                Ok(updated) => {
                    let before = number_in(updated.attributes(), "failedAt");
                    return Ok(Ok(Counted { key, at, before }));
                }
                Err(error) => error,
            };
            let Some(UpdateItemError::ConditionalCheckFailedException(refusal)) =
                error.as_service_error()
            else {
                return Err(AttemptsUnavailable(failure_code(&error)));
            };
            let failures = Failures::of(refusal.item());
            let wait = failures.wait(free, now);
            if wait > 0 {
                return Ok(Err(wait));
            }
            there = (failures.attempts >= i64::from(free)).then_some(failures);
        }
        // Other attempts came first each time.
        Ok(Err(SHORTEST_WAIT))
    }

    /// Undoes the count.
    async fn take_back(&self, counted: &Counted) {
        let update = self
            .update(&counted.key)
            .await
            .condition_expression("failedAt = :at")
            .expression_attribute_values(":at", number(counted.at))
            .expression_attribute_values(":less", number(-1));
        let update = match counted.before {
            Some(before) => update
                .update_expression("ADD attempts :less SET failedAt = :before")
                .expression_attribute_values(":before", number(before)),
            None => update.update_expression("ADD attempts :less REMOVE failedAt"),
        };
        let taken_back = match update.send().await {
            Ok(_) => Ok(()),
            // Another attempt was counted after it.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                self.add(&counted.key, -1).await.map(|_| ())
            }
            Err(error) => Err(AttemptsUnavailable(failure_code(&error))),
        };
        if let Err(error) = taken_back {
            tracing::warn!(cause = %error, "an attempt that did not fail could not be taken back");
        }
    }

    /// Adds to a count, and returns the new value.
    async fn add(&self, key: &Key, more: i64) -> Result<i64, AttemptsUnavailable> {
        let updated = self
            .update(key)
            .await
            .update_expression("ADD attempts :more SET expiresAt = :expiresAt")
            .expression_attribute_values(":more", number(more))
            .expression_attribute_values(":expiresAt", number(expires_at()))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| AttemptsUnavailable(failure_code(&error)))?;
        Ok(number_in(updated.attributes(), "attempts").unwrap_or(0))
    }

    async fn update(&self, key: &Key) -> UpdateItemFluentBuilder {
        self.table
            .client()
            .await
            .update_item()
            .table_name(self.table.name())
            .key("pk", text(&key.pk))
            .key("sk", text(&key.sk))
    }

    async fn remember(&self, known: &Key) {
        let until = (Utc::now() + KNOWN_FOR).timestamp();
        let remembered = self
            .table
            .client()
            .await
            .put_item()
            .table_name(self.table.name())
            .item("pk", text(&known.pk))
            .item("sk", text(&known.sk))
            .item("expiresAt", number(until))
            .send()
            .await;
        if let Err(error) = remembered {
            let cause = failure_code(&error);
            tracing::warn!(cause, "a source could not be made known for an account");
        }
    }
}

impl Attempt<'_> {
    /// It succeeded: it does not count, and its source is known for the account from now on.
    pub(crate) async fn succeeded(self) {
        tokio::join!(
            Box::pin(self.attempts.remember(&self.known)),
            self.take_back(),
        );
    }

    /// It could not be checked, through no fault of its own: it does not count.
    pub(crate) async fn take_back(&self) {
        tokio::join!(
            Box::pin(self.attempts.take_back(&self.account)),
            Box::pin(self.attempts.take_back(&self.source)),
        );
    }
}

/// The failures counted so far.
struct Failures {
    attempts: i64,
    /// When the last one was counted, in milliseconds since 1970.
    failed_at: Option<i64>,
}

impl Failures {
    fn of(item: Option<&HashMap<String, AttributeValue>>) -> Self {
        Self {
            attempts: number_in(item, "attempts").unwrap_or(0),
            failed_at: number_in(item, "failedAt"),
        }
    }

    /// How many seconds the next attempt has to wait.
    fn wait(&self, free: u32, now: DateTime<Utc>) -> i64 {
        let more = self.attempts - i64::from(free);
        let Some(failed_at) = self.failed_at.filter(|_| more >= 0) else {
            return 0;
        };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let delay = 2_i64
            .saturating_pow(more)
            .saturating_mul(SHORTEST_WAIT)
            .min(LONGEST_WAIT);
        // By the clock of the host that counted it, which may be ahead of ours.
        let since = (now.timestamp_millis() - failed_at).max(0);
        let left = delay * 1000 - since;
        if left <= 0 { 0 } else { (left + 999) / 1000 }
    }

    /// Makes the update conditional on no other attempt having been counted.
    fn are_still_there(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let update = update.expression_attribute_values(":attempts", number(self.attempts));
        match self.failed_at {
            Some(failed_at) => update
                .condition_expression("attempts = :attempts AND failedAt = :failedAt")
                .expression_attribute_values(":failedAt", number(failed_at)),
            None => update
                .condition_expression("attempts = :attempts AND attribute_not_exists(failedAt)"),
        }
    }
}

/// When DynamoDB may forget what is counted now, in seconds since 1970.
fn expires_at() -> i64 {
    Utc::now().timestamp() + 2 * WINDOW
}

fn account(email: &EmailAddress) -> String {
    let account = URL_SAFE_NO_PAD.encode(Sha256::digest(email.as_str()));
    format!("ACCOUNT#{account}")
}

/// The key of the item that makes a source known for an account.
fn known(email: &EmailAddress, source: &Source) -> Key {
    Key {
        pk: account(email),
        sk: format!("KNOWN#{}", source.0),
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
            Failures {
                attempts,
                failed_at,
            }
            .wait(10, now)
        };
        assert_eq!(wait(0, 0), 0);
        assert_eq!(wait(9, 0), 0);
        assert_eq!([wait(10, 0), wait(11, 0), wait(12, 0)], [8, 16, 32]);
        assert_eq!([wait(12, 31), wait(12, 32), wait(12, 100)], [1, 0, 0]);
        assert_eq!(
            [wait(30, 0), wait(1000, 0), wait(i64::MAX, 0)],
            [300, 300, 300]
        );
        // The clock of another host is ahead.
        assert_eq!(wait(10, -5), 8);
    }

    #[test]
    fn a_source_is_an_address_or_a_network() {
        for (address, source) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ] {
            let address = ClientAddress(Some(address.parse().unwrap()));
            assert_eq!(Source::of(address).0, source, "{address:?}");
        }
        assert_eq!(Source::of(ClientAddress(None)).0, "unknown");
    }
}
