//! A record, and the one way to write it.

use chrono::{DateTime, Utc};
use identity::Role;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Action, Subject};

/// What came of it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE", parse_err_ty = UnknownOutcome, parse_err_fn = UnknownOutcome::of)]
pub enum Outcome {
    /// It was done.
    Succeeded,
    /// It was not allowed.
    Refused,
    /// It was allowed and could not be done: there is no such patient, or somebody else
    /// changed it meanwhile.
    Failed,
}

/// There is no outcome of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such outcome")]
pub struct UnknownOutcome;

impl UnknownOutcome {
    const fn of(_: &str) -> Self {
        Self
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One record. When it happened is when it is written.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Names the record. It is written once, however often that is tried.
    pub id: Uuid,
    /// Who did it; nobody where nobody was logged in.
    pub actor: Option<(Uuid, Role)>,
    /// What was done.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it did not succeed, such as `not-found`: the name of the problem that the client
    /// was told.
    pub problem: Option<&'a str>,
    /// Whose data it was, and which.
    pub subject: Subject<'a>,
    /// The reason that the actor stated, where one is required.
    pub reason: Option<&'a str>,
    /// The network address that the request came from.
    pub source: Option<&'a str>,
    /// Names the request in the logs.
    pub request_id: Option<&'a str>,
}

/// Where requests without a valid token come from, and how many of them from one source in a
/// minute are on record one by one; all others are counted.
#[derive(Debug, Clone, Copy)]
pub struct OfNobody<'a> {
    /// When the request came.
    pub requested_at: DateTime<Utc>,
    /// What is counted together: an address, or a network of which one person may have all.
    pub network: &'a str,
    /// How many are on record one by one.
    pub at_most: i32,
}

impl Record<'_> {
    /// Appends a refusal of nobody to the trail, or counts it if there are too many of them.
    /// Answers whether it is on record by itself.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn append_or_count(
        &self,
        database: impl PgExecutor<'_>,
        of_nobody: OfNobody<'_>,
    ) -> Result<bool, sqlx::Error> {
        let resource = self.subject.resource();
        let statement = match resource {
            None => {
                "SELECT audit.append_refusal_of_nobody($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
            }
            Some(_) => {
                "SELECT audit.append_refusal_of_nobody($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
                                                       $11, $12)"
            }
        };
        let mut query = sqlx::query_scalar(statement)
            .bind(self.id)
            .bind(self.action.name())
            .bind(self.problem)
            .bind(self.subject.patients())
            .bind(self.subject.account())
            .bind(self.source)
            .bind(self.request_id)
            .bind(of_nobody.requested_at)
            .bind(of_nobody.network)
            .bind(of_nobody.at_most);
        if let Some(resource) = resource {
            query = query.bind(resource.kind.name()).bind(resource.id);
        }
        query.fetch_one(database).await
    }

    /// Appends the record to the trail: with everything else in the transaction, if it is one.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn append(&self, database: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
        let resource = self.subject.resource();
        let statement = match resource {
            None => "SELECT audit.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            Some(_) => {
                "SELECT audit.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
            }
        };
        let mut query = sqlx::query(statement)
            .bind(self.id)
            .bind(self.actor.map(|(user, _)| user))
            .bind(self.actor.map(|(_, role)| role.name()))
            .bind(self.action.name())
            .bind(self.outcome.name())
            .bind(self.problem)
            .bind(self.subject.patients())
            .bind(self.subject.account())
            .bind(self.reason)
            .bind(self.source)
            .bind(self.request_id);
        if let Some(resource) = resource {
            query = query.bind(resource.kind.name()).bind(resource.id);
        }
        query.execute(database).await?;
        Ok(())
    }
}
