//! What a handler writes its record with.

use std::sync::{Arc, OnceLock};

use api::{ClientAddress, Problem, RequestId, Within, layers::Recorded};
use axum::extract::FromRequestParts;
use http::request::Parts;
use identity::{Caller, Role};
use sqlx::PgExecutor;
use store::Connection;
use uuid::Uuid;

use crate::{Action, Outcome, Record, Subject};

/// The trail that a request leaves: what is known of it without its handler.
#[derive(Debug, Clone)]
pub struct Trail(Arc<Facts>);

/// The record of a success, but for whose data it is about.
#[derive(Debug, Clone, Copy)]
pub struct Success<'a> {
    /// Names the record.
    pub id: Uuid,
    /// Who did it.
    pub actor: Option<Uuid>,
    /// Their role.
    pub role: Option<&'static str>,
    /// What was done.
    pub action: &'static str,
    /// The network address that the request came from.
    pub source: Option<&'a str>,
    /// Names the request in the logs.
    pub request_id: Option<&'a str>,
}

#[derive(Debug)]
struct Facts {
    database: Connection,
    action: Action,
    caller: Option<Caller>,
    source: Option<String>,
    request_id: Option<String>,
    /// Whom a login, or a token that is not an access token, turned out to be of.
    user: OnceLock<(Uuid, Option<Role>)>,
    /// Whose data it turned out to be about.
    about: OnceLock<Subject<'static>>,
    /// What was made.
    made: OnceLock<Subject<'static>>,
    written: OnceLock<Outcome>,
}

impl Trail {
    pub(crate) fn of(database: Connection, action: Action, parts: &Parts) -> Self {
        let caller = Caller::of(&parts.extensions).ok();
        let ClientAddress(source) = ClientAddress::of(parts);
        let request_id = parts.extensions.get::<RequestId>();
        let facts = Facts {
            database,
            action,
            caller,
            source: source.map(|address| address.to_string()),
            request_id: request_id.map(|id| id.as_str().to_owned()),
            user: OnceLock::new(),
            about: OnceLock::new(),
            made: OnceLock::new(),
            written: OnceLock::new(),
        };
        Self(Arc::new(facts))
    }

    /// The connection of this request: for what it reads, and for the record of that. What the layer
    /// records is written with it, too.
    #[must_use]
    pub fn database(&self) -> &Connection {
        &self.0.database
    }

    /// Says whose password or token it is about. What is written from here on names them:
    /// as who did it, if it succeeds, and as whom somebody wanted to be, if not.
    pub fn found(&self, user: Uuid, role: Option<Role>) {
        // The first one stays: a request has one user.
        let _ = self.0.user.set((user, role));
    }

    /// Says whose data it is about, where the request does not name them: what the layer writes
    /// from here on does.
    pub fn about(&self, subject: Subject<'static>) {
        let _ = self.0.about.set(subject);
    }

    /// Says what was made, which the request cannot name.
    pub(crate) fn made(&self, subject: Subject<'static>) {
        let _ = self.0.made.set(subject);
    }

    /// What the handler has said that it has made, or whose data it has said it is about.
    pub(crate) fn is_about(&self) -> Option<Subject<'static>> {
        let Facts { made, about, .. } = &*self.0;
        made.get().or_else(|| about.get()).copied()
    }

    /// Writes that it was done, to this patient or account.
    ///
    /// # Errors
    /// If the database does not take it. Then it must not be done.
    pub async fn succeeded(
        &self,
        database: impl PgExecutor<'_>,
        subject: Subject<'_>,
    ) -> Result<(), sqlx::Error> {
        self.write(database, Outcome::Succeeded, None, subject, None)
            .await
    }

    /// What a statement that reads calls `audit.append` with, so that reading and recording are one round
    /// trip. Once it has, [`written_with_read`](Self::written_with_read) says so.
    #[must_use]
    pub fn success(&self) -> Success<'_> {
        let facts = &*self.0;
        Success {
            id: Uuid::now_v7(),
            actor: facts.caller.map(|caller| caller.user),
            role: facts.caller.map(|caller| caller.role.name()),
            action: facts.action.name(),
            source: facts.source.as_deref(),
            request_id: facts.request_id.as_deref(),
        }
    }

    /// Notes that the statement that has read has written the record of that.
    pub fn written_with_read(&self) {
        let _ = self.0.written.set(Outcome::Succeeded);
    }

    /// Whether what was read is on record.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.written() == Some(Outcome::Succeeded)
    }

    /// Writes that it was done, for the reason that the caller has stated.
    ///
    /// # Errors
    /// If the database does not take it. Then it must not be done.
    pub async fn succeeded_because(
        &self,
        database: impl PgExecutor<'_>,
        subject: Subject<'_>,
        reason: &str,
    ) -> Result<(), sqlx::Error> {
        self.write(database, Outcome::Succeeded, None, subject, Some(reason))
            .await
    }

    /// Writes that it was refused, for what the layer does not take for a refusal: a wrong
    /// password that is an invalid field.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn refused(
        &self,
        database: impl PgExecutor<'_>,
        problem: &Problem,
    ) -> Result<(), sqlx::Error> {
        self.not_done(database, Outcome::Refused, problem.kind().name(), None)
            .await
    }

    /// Writes that it was not done, and the name of the problem that the client is told.
    pub(crate) async fn not_done(
        &self,
        database: impl PgExecutor<'_>,
        outcome: Outcome,
        problem: &str,
        subject: Option<Subject<'_>>,
    ) -> Result<(), sqlx::Error> {
        let found = self.0.user.get().map(|(user, _)| Subject::Account(*user));
        let subject = subject.or(found).unwrap_or(Subject::Nobody);
        self.write(database, outcome, Some(problem), subject, None)
            .await
    }

    async fn write(
        &self,
        database: impl PgExecutor<'_>,
        outcome: Outcome,
        problem: Option<&str>,
        subject: Subject<'_>,
        reason: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let facts = &*self.0;
        // Who only wants to be somebody is not them.
        let found = facts.user.get().filter(|_| outcome == Outcome::Succeeded);
        let found = found.and_then(|(user, role)| Some((*user, (*role)?)));
        let caller = facts.caller.map(|caller| (caller.user, caller.role));
        let record = Record {
            id: Uuid::now_v7(),
            actor: caller.or(found),
            action: facts.action,
            outcome,
            problem,
            subject,
            reason,
            source: facts.source.as_deref(),
            request_id: facts.request_id.as_deref(),
        };
        record.append(database).await?;
        let _ = facts.written.set(outcome);
        Ok(())
    }

    /// Notes that a service has written the record of a success, in the transaction of the change.
    pub(crate) fn recorded_by_service(&self) {
        let _ = self.0.written.set(Outcome::Succeeded);
    }

    pub(crate) fn caller(&self) -> Result<Caller, Problem> {
        self.0.caller.ok_or_else(Problem::unauthorized)
    }

    pub(crate) fn source(&self) -> Option<&str> {
        self.0.source.as_deref()
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// What the handler has written, if anything.
    pub(crate) fn written(&self) -> Option<Outcome> {
        self.0.written.get().copied()
    }
}

/// Within the routes of the [`layer`](crate::layer) alone.
impl<S, A, I> FromRequestParts<Within<S, (A, Recorded, I)>> for Trail
where
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Within<S, (A, Recorded, I)>,
    ) -> Result<Self, Problem> {
        let trail = parts.extensions.get::<Self>().cloned();
        trail.ok_or_else(|| Problem::internal("the route is not in the layer of the audit trail"))
    }
}
