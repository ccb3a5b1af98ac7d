//! The caller of a request, as determined by the authorizer.

use api::{Problem, Within, layers::Permitted, request_context};
use axum::extract::FromRequestParts;
use http::{Extensions, request::Parts};
use serde_json::Value;
use uuid::Uuid;

use crate::{Permission, Role};

/// A user whose access token the authorizer has verified.
///
/// A handler that takes a `Caller` is closed to everybody else: without the authorizer's result the
/// response is 401, however the function was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The id of the user.
    pub user: Uuid,
    /// Their role.
    pub role: Role,
    /// Their session. Whatever concerns a session is closed to callers without one, see
    /// [`session`](Self::session).
    pub session: Option<Uuid>,
}

impl Caller {
    /// The caller whom the authorizer has identified.
    ///
    /// # Errors
    /// 401 if it has identified nobody, or was not called.
    pub fn of(request: &Extensions) -> Result<Self, Problem> {
        let authorizer = request_context(request).map(|context| &context.authorizer);
        let field = |name: &str| authorizer?.fields.get(name).and_then(Value::as_str);
        let caller = || {
            Some(Self {
                user: field("sub")?.parse().ok()?,
                role: field("role")?.parse().ok()?,
                session: field("sid").and_then(|id| id.parse().ok()),
            })
        };
        caller().ok_or_else(Problem::unauthorized)
    }

    /// The caller's session.
    ///
    /// # Errors
    /// 401 if the authorizer has named none.
    pub fn session(self) -> Result<Uuid, Problem> {
        self.session.ok_or_else(Problem::unauthorized)
    }

    /// Rejects callers without this permission.
    ///
    /// # Errors
    /// 403 for them. The authorizer's policy has already rejected those that came through the
    /// gateway; this is for those that did not.
    pub fn must(self, permission: Permission) -> Result<(), Problem> {
        if self.role.may(permission) {
            Ok(())
        } else {
            Err(Problem::forbidden())
        }
    }
}

/// Only available in routes behind the authorizer.
impl<S, R, I> FromRequestParts<Within<S, (Permitted, R, I)>> for Caller
where
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Within<S, (Permitted, R, I)>,
    ) -> Result<Self, Self::Rejection> {
        Self::of(&parts.extensions)
    }
}
