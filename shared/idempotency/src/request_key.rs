//! What names a request to the service that carries it out.

use api::{Problem, Within, layers::ByService};
use axum::extract::FromRequestParts;
use http::request::Parts;
use identity::Caller;
use uuid::{Builder, Uuid};

use crate::{key::Key, layer::path_of, request_identity::RequestIdentity};

/// An id that is the same whenever the same user sends a request to the same path with the same
/// `Idempotency-Key`, and no other request has. Without a key, it is a new one.
///
/// The service compares what is asked for with it: a key that comes with something else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey(pub Uuid);

impl RequestKey {
    /// The id of this request.
    ///
    /// # Errors
    /// 400 if there are several keys, or an invalid one; 401 without a caller.
    pub async fn of(parts: &mut Parts) -> Result<Self, Problem> {
        let caller = Caller::of(&parts.extensions)?;
        let Some(key) = Key::of(&parts.headers)? else {
            return Ok(Self(Uuid::new_v4()));
        };
        let path = path_of(parts).await;
        let identity = RequestIdentity::of(caller, &key, &path, parts, &[]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&identity.id[..16]);
        Ok(Self(Builder::from_custom_bytes(bytes).into_uuid()))
    }
}

impl<S, A, R> FromRequestParts<Within<S, (A, R, ByService)>> for RequestKey
where
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Within<S, (A, R, ByService)>,
    ) -> Result<Self, Problem> {
        Self::of(parts).await
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use identity::{Role, testing::as_user};

    use super::*;

    async fn key(user: u128, path: &str, key: Option<&str>) -> Result<Uuid, Problem> {
        let mut request = Request::post(path);
        if let Some(key) = key {
            request = request.header(crate::IDEMPOTENCY_KEY, key);
        }
        let request = as_user(
            request.body(()).unwrap(),
            Uuid::from_u128(user),
            Role::Admin,
        );
        let (mut parts, ()) = request.into_parts();
        RequestKey::of(&mut parts).await.map(|RequestKey(id)| id)
    }

    #[tokio::test]
    async fn a_repeated_request_has_the_same_id() {
        let one = key(1, "/a", Some("k")).await.unwrap();
        assert_eq!(one.get_version_num(), 8);
        assert_eq!(key(1, "/a", Some("\"k\"")).await.unwrap(), one);
        for other in [
            key(2, "/a", Some("k")),
            key(1, "/b", Some("k")),
            key(1, "/a", Some("l")),
        ] {
            assert_ne!(other.await.unwrap(), one);
        }
    }

    #[tokio::test]
    async fn a_request_without_a_key_is_always_a_new_one() {
        let ids = [
            key(1, "/a", None).await.unwrap(),
            key(1, "/a", None).await.unwrap(),
        ];
        assert_ne!(ids[0], ids[1]);
        assert!(key(1, "/a", Some("")).await.is_err());
    }
}
