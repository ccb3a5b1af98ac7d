//! Requests for tests, with what API Gateway and the authorizer add.

mod forged_tokens;
mod key;

use http::Request;
use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayProxyRequestContext, request::RequestContext,
};
use uuid::Uuid;

use crate::Role;

pub use crate::signature::with_other_s;
pub use forged_tokens::{Forged, Forger, with_hmac};
pub use key::{Key, encoding_key};

/// The user whom [`as_caller`] makes the caller.
pub const CALLER: Uuid = Uuid::from_u128(0x0199_f7a2_6c1e_7c35_9b6c_0d2a_54f3_c1aa);

/// The caller's session in [`as_caller`].
pub const SESSION: Uuid = Uuid::from_u128(0x2b1f_6a0d_93c8_4e5f_8a77_6c1d_0e2f_4b55);

/// The request as it arrives through API Gateway from [`CALLER`], after the authorizer has
/// determined this role. Other requests in a test have no caller.
#[must_use]
pub fn as_caller<B>(request: Request<B>, role: Role) -> Request<B> {
    as_user(request, CALLER, role)
}

/// The same for this user instead of [`CALLER`].
#[must_use]
pub fn as_user<B>(request: Request<B>, user: Uuid, role: Role) -> Request<B> {
    in_session(request, user, role, SESSION)
}

/// The same for this user in this session.
#[must_use]
pub fn in_session<B>(mut request: Request<B>, user: Uuid, role: Role, session: Uuid) -> Request<B> {
    let mut context = ApiGatewayProxyRequestContext::default();
    context.request_id = Some(Uuid::now_v7().to_string());
    context.stage = Some("test".to_owned());
    context.path = Some(format!("/test{}", request.uri().path()));
    context.http_method = request.method().clone();
    context.authorizer.fields.extend([
        ("sub".to_owned(), user.to_string().into()),
        ("role".to_owned(), role.name().into()),
        ("sid".to_owned(), session.to_string().into()),
        ("jti".to_owned(), Uuid::now_v7().to_string().into()),
    ]);
    request
        .extensions_mut()
        .insert(RequestContext::ApiGatewayV1(context));
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Caller;

    #[test]
    fn the_caller_is_whom_the_authorizer_identified() {
        let request = as_caller(Request::new(()), Role::Clinician);
        let (parts, ()) = request.into_parts();
        let caller = Caller::of(&parts.extensions).unwrap();
        assert_eq!((caller.user, caller.role), (CALLER, Role::Clinician));
        assert_eq!(caller.session().unwrap(), SESSION);

        let (parts, ()) = Request::new(()).into_parts();
        assert!(Caller::of(&parts.extensions).is_err());
    }
}
