//! Which request it is, and what it asks for.

use api::canonical_json;
use http::{header, request::Parts};
use identity::Caller;
use sha2::{Digest as _, Sha256};

use crate::key::Key;

/// A request with a key. Requests are the same if all of this is equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestIdentity {
    /// Whose key it is and what it was used for: SHA-256 over the caller's id, the method, the path
    /// and the key. So keys of other users, or of the same user on another route, never collide.
    pub(crate) id: [u8; 32],
    /// What was asked for: SHA-256 over the method, the path with the query, the precondition, and
    /// the body in canonical JSON.
    pub(crate) fingerprint: [u8; 32],
}

impl RequestIdentity {
    /// `path` is the canonical path of the request.
    pub(crate) fn of(caller: Caller, key: &Key, path: &str, request: &Parts, body: &[u8]) -> Self {
        let method = request.method.as_str().as_bytes();
        let path = path.as_bytes();
        let body = canonical_json(body);
        let query = request.uri.query().unwrap_or_default().as_bytes();
        let id = sha_256([
            caller.user.as_bytes(),
            method,
            path,
            key.as_str().as_bytes(),
        ]);
        let preconditions = request.headers.get_all(header::IF_MATCH).into_iter();
        let fingerprint = sha_256(
            [method, path, query, &body]
                .into_iter()
                .chain(preconditions.map(http::HeaderValue::as_bytes)),
        );
        Self { id, fingerprint }
    }

    /// The key of the request's advisory lock in PostgreSQL: 64 bits of the id. Two requests with
    /// the same bits are merely never processed at the same time.
    pub(crate) fn lock(&self) -> i64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.id[..8]);
        i64::from_be_bytes(first)
    }
}

/// The hash of the parts, each with its length, so that nothing can move from one part to the next
/// unnoticed.
fn sha_256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Request};
    use identity::Role;
    use uuid::Uuid;

    use super::*;

    fn identity(
        user: u128,
        uri: &str,
        key: &str,
        if_match: Option<&'static str>,
    ) -> RequestIdentity {
        let headers = |key: &str| {
            HeaderMap::from_iter([(crate::IDEMPOTENCY_KEY, HeaderValue::from_str(key).unwrap())])
        };
        let mut request = Request::put(uri);
        if let Some(tag) = if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let user = Uuid::from_u128(user);
        let role = Role::Admin;
        let key = Key::of(&headers(key)).unwrap().unwrap();
        let caller = Caller {
            user,
            role,
            session: None,
        };
        RequestIdentity::of(caller, &key, parts.uri.path(), &parts, b"{}")
    }

    #[test]
    fn the_id_depends_on_the_caller_the_route_and_the_key() {
        let one = identity(1, "/a", "k", None);
        assert_eq!(one, identity(1, "/a", "\"k\"", None));
        assert_ne!(one.id, identity(2, "/a", "k", None).id);
        assert_ne!(one.id, identity(1, "/ak", "k", None).id);
        assert_ne!(
            identity(1, "/a", "bk", None).id,
            identity(1, "/ab", "k", None).id
        );
    }

    #[test]
    fn a_different_precondition_makes_a_different_request() {
        let one = identity(1, "/a", "k", Some("\"1\""));
        let other = identity(1, "/a", "k", Some("\"2\""));
        assert_eq!(one.id, other.id);
        assert_ne!(one.fingerprint, other.fingerprint);
        assert_ne!(
            one.fingerprint,
            identity(1, "/a?b", "k", Some("\"1\"")).fingerprint
        );
    }
}
