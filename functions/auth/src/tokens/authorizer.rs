//! The Lambda authorizer of the API: verifies the access token of a request before any other
//! function is called, and returns what its owner may call.
//!
//! API Gateway returns 401 for the error `Unauthorized`, 403 for a policy that does not allow the
//! request, and 500 for every other error. It fails closed: without the public keys or the table of
//! sessions, it returns an error.
//!
//! API Gateway caches a result for 30 seconds (`ReauthorizeEvery` in the template). That is how
//! long a token may still work after it has expired or its session has ended.

use std::{
    error::Error,
    iter,
    time::{Duration, Instant},
};

use aws_lambda_events::apigw::{
    ApiGatewayCustomAuthorizerRequest, ApiGatewayCustomAuthorizerResponse,
};
use identity::Claims;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::json;
use telemetry::{Metrics, TraceContext, Unit};
use tracing::Instrument as _;

use super::{
    bearer_token::{Gate, Refusal},
    policy::{StageArn, policy_for},
};

/// The name of the function.
const FUNCTION: &str = "authorizer";

/// How long a result may take, including reading keys and session.
const DEADLINE: Duration = Duration::from_secs(8);

/// Serves as the Lambda authorizer until Lambda stops it.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn serve(gate: Gate) -> Result<(), lambda_runtime::Error> {
    let gate = &gate;
    lambda_runtime::run(service_fn(
        |event: LambdaEvent<ApiGatewayCustomAuthorizerRequest>| async move {
            let LambdaEvent { payload, context } = event;
            let trace = context
                .xray_trace_id
                .as_deref()
                .and_then(|header| TraceContext::from_xray(header).ok())
                .unwrap_or_else(TraceContext::start);
            let span = tracing::info_span!(
                "request",
                requestId = %context.request_id,
                traceId = %trace.trace_id(),
                function = FUNCTION,
            );
            trace
                .scope(authorize(&payload, gate))
                .instrument(span)
                .await
        },
    ))
    .await
}

/// Authorizes one request. The policy in the result applies to every request with the same token,
/// so it lists everything that the caller may call.
///
/// # Errors
/// `Unauthorized` if the token is not valid; any other text if that cannot be determined.
pub async fn authorize(
    request: &ApiGatewayCustomAuthorizerRequest,
    gate: &Gate,
) -> Result<ApiGatewayCustomAuthorizerResponse, Diagnostic> {
    let started = Instant::now();
    let token = request.authorization_token.as_deref().unwrap_or_default();
    let verified = tokio::time::timeout(DEADLINE, gate.verify(token));
    let answer = match verified.await {
        Ok(Ok(claims)) => respond(request, &claims),
        Ok(Err(Refusal::KeysUnavailable(error))) => Err(failed(&error)),
        Ok(Err(Refusal::SessionsUnavailable(error))) => Err(failed(&error)),
        Ok(Err(refusal)) => Err(unauthorized(&refusal)),
        Err(elapsed) => Err(failed(&elapsed)),
    };
    measure(&answer, started.elapsed());
    answer
}

fn respond(
    request: &ApiGatewayCustomAuthorizerRequest,
    claims: &Claims,
) -> Result<ApiGatewayCustomAuthorizerResponse, Diagnostic> {
    let method_arn = request.method_arn.as_deref().unwrap_or_default();
    let stage: StageArn = method_arn.parse().map_err(|error| failed(&error))?;

    let mut response = ApiGatewayCustomAuthorizerResponse::default();
    response.principal_id = Some(claims.sub.to_string());
    response.policy_document = policy_for(claims.role, &stage, route::table());
    response.context = json!({
        "sub": claims.sub,
        "role": claims.role,
        "sid": claims.sid,
        "jti": claims.jti,
    });
    Ok(response)
}

/// API Gateway recognises this exact message.
const UNAUTHORIZED: &str = "Unauthorized";

fn unauthorized(reason: &Refusal) -> Diagnostic {
    tracing::info!(%reason, "rejected a token");
    diagnostic(UNAUTHORIZED)
}

fn failed(error: &(dyn Error + 'static)) -> Diagnostic {
    let causes: Vec<String> = iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect();
    tracing::error!(cause = %causes.join(": "), "the token cannot be checked");
    diagnostic("the token cannot be checked right now")
}

fn diagnostic(message: &str) -> Diagnostic {
    Diagnostic {
        error_type: "AuthorizerError".to_owned(),
        error_message: message.to_owned(),
    }
}

fn measure(answer: &Result<ApiGatewayCustomAuthorizerResponse, Diagnostic>, duration: Duration) {
    let refused = answer
        .as_ref()
        .is_err_and(|error| error.error_message == UNAUTHORIZED);
    let count = |yes: bool| if yes { 1.0 } else { 0.0 };
    Metrics::of_function(FUNCTION)
        .metric("Requests", Unit::Count, 1.0)
        .metric("ClientErrors", Unit::Count, count(refused))
        .metric(
            "ServerErrors",
            Unit::Count,
            count(answer.is_err() && !refused),
        )
        .metric(
            "Duration",
            Unit::Milliseconds,
            duration.as_secs_f64() * 1000.0,
        )
        .property("message", "authorization")
        .property("traceId", TraceContext::current().trace_id())
        .emit();
}
