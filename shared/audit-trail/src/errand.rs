//! What a handler has a service do.

use api::{Problem, Within, layers::ByService};
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, request::Parts};
use idempotency::{IDEMPOTENCY_REPLAYED, RequestKey};
use identity::Caller;
use uuid::Uuid;

use crate::{Resource, Subject, Trail};

/// On whose behalf a service is asked for a change, and the id that makes it happen once.
///
/// The service writes the record, as it has the transaction of the change. So all that the record
/// says of the request travels with the call.
#[derive(Debug, Clone)]
pub struct Errand {
    trail: Trail,
    caller: Caller,
    key: Uuid,
}

impl Errand {
    /// Who wants it done.
    #[must_use]
    pub const fn caller(&self) -> Caller {
        self.caller
    }

    /// The network address that the request came from.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.trail.source()
    }

    /// Names the request in the logs.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.trail.request_id()
    }

    /// The same when the request is repeated with its `Idempotency-Key`: see [`RequestKey`].
    #[must_use]
    pub const fn key(&self) -> Uuid {
        self.key
    }

    /// Says whose data it is about, where the request does not name them: what is refused from here
    /// on is recorded with them.
    pub fn about(&self, subject: Subject<'static>) {
        self.trail.about(subject);
    }

    /// Says what the service has made, which the request cannot name: a repetition is recorded with
    /// it.
    pub fn made(&self, resource: Resource, patient: Option<Uuid>) {
        self.trail.made(match patient {
            Some(patient) => Subject::ResourceOfPatient(resource, patient),
            None => Subject::Resource(resource),
        });
    }

    /// The response, once the service has done it and recorded it. If it was `replayed`, because it
    /// had been done before, then somebody has looked at the answer once more, which the layer
    /// records.
    pub fn done(self, replayed: bool, response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        if replayed {
            let headers = response.headers_mut();
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        } else {
            self.trail.recorded_by_service();
        }
        response
    }
}

/// Only available in routes that a service carries out.
impl<S, A> FromRequestParts<Within<S, (A, ByService, ByService)>> for Errand
where
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Within<S, (A, ByService, ByService)>,
    ) -> Result<Self, Problem> {
        let trail = parts.extensions.get::<Trail>().cloned();
        let trail = trail
            .ok_or_else(|| Problem::internal("the route is not in the layer of the audit trail"))?;
        let RequestKey(key) = RequestKey::of(parts).await?;
        let caller = trail.caller()?;
        Ok(Self { trail, caller, key })
    }
}
