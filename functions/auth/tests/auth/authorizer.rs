use auth::authorizer::authorize;
use aws_lambda_events::apigw::ApiGatewayCustomAuthorizerRequest;
use identity::{
    Role,
    testing::{Forger, Key},
};
use serde_json::{Value, json};
use uuid::Uuid;

use auth::bearer_token::Gate;

use crate::{
    fixtures::{Deployment, no_sessions},
    published::Published,
};

const METHOD: &str =
    "arn:aws:execute-api:us-east-1:000000000000:a1b2c3/local/GET/api/patients/0199f7a2";

fn request(authorization: &str, method_arn: &str) -> ApiGatewayCustomAuthorizerRequest {
    let event = json!({
        "type": "TOKEN",
        "authorizationToken": authorization,
        "methodArn": method_arn,
    });
    serde_json::from_value(event).unwrap()
}

#[tokio::test]
async fn the_authorizer_returns_the_caller_and_everything_they_may_call() {
    let deployment = Deployment::new().await;
    let user = Uuid::now_v7();
    let token = deployment.token(user, Role::Clinician).await;
    let claims = identity::verify(&token, &deployment.key.public).unwrap();

    let gate = deployment.gate().await;
    let response = authorize(&request(&format!("Bearer {token}"), METHOD), &gate).await;
    let response: Value = serde_json::to_value(response.unwrap()).unwrap();
    let arns = |requests: &[&str]| -> Vec<String> {
        let stage = "arn:aws:execute-api:us-east-1:000000000000:a1b2c3/local";
        let arn = |request: &&str| format!("{stage}/{request}");
        requests.iter().map(arn).collect()
    };
    assert_eq!(
        response,
        json!({
            "principalId": user,
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Action": ["execute-api:Invoke"],
                        "Effect": "Allow",
                        "Resource": arns(&[
                            "GET/api/analytics/appointments",
                            "GET/api/analytics/appointments/",
                            "GET/api/analytics/patients",
                            "GET/api/analytics/patients/",
                            "GET/api/appointments",
                            "GET/api/appointments/*",
                            "GET/api/availability",
                            "GET/api/availability/*",
                            "GET/api/charges",
                            "GET/api/charges/*",
                            "GET/api/groups",
                            "GET/api/groups/*",
                            "GET/api/locations",
                            "GET/api/locations/",
                            "GET/api/me",
                            "GET/api/me/",
                            "GET/api/patients",
                            "GET/api/patients/*",
                            "GET/api/prices",
                            "GET/api/prices/",
                            "GET/api/resources",
                            "GET/api/resources/*",
                            "GET/api/services",
                            "GET/api/services/",
                            "GET/api/waitlist",
                            "GET/api/waitlist/",
                            "HEAD/api/analytics/appointments",
                            "HEAD/api/analytics/appointments/",
                            "HEAD/api/analytics/patients",
                            "HEAD/api/analytics/patients/",
                            "HEAD/api/appointments",
                            "HEAD/api/appointments/*",
                            "HEAD/api/availability",
                            "HEAD/api/availability/*",
                            "HEAD/api/charges",
                            "HEAD/api/charges/*",
                            "HEAD/api/groups",
                            "HEAD/api/groups/*",
                            "HEAD/api/locations",
                            "HEAD/api/locations/",
                            "HEAD/api/me",
                            "HEAD/api/me/",
                            "HEAD/api/patients",
                            "HEAD/api/patients/*",
                            "HEAD/api/prices",
                            "HEAD/api/prices/",
                            "HEAD/api/resources",
                            "HEAD/api/resources/*",
                            "HEAD/api/services",
                            "HEAD/api/services/",
                            "HEAD/api/waitlist",
                            "HEAD/api/waitlist/",
                            "POST/api/appointment-series",
                            "POST/api/appointment-series/",
                            "POST/api/appointments",
                            "POST/api/appointments/*",
                            "POST/api/charges/*/cancellation",
                            "POST/api/charges/*/cancellation/",
                            "POST/api/groups",
                            "POST/api/groups/",
                            "POST/api/patients",
                            "POST/api/patients/",
                            "POST/api/patients/duplicates",
                            "POST/api/patients/duplicates/",
                            "POST/api/patients/search",
                            "POST/api/patients/search/",
                            "POST/api/patients/*/charges",
                            "POST/api/patients/*/charges/",
                            "POST/api/patients/*/emergency-access",
                            "POST/api/patients/*/emergency-access/",
                            "POST/api/patients/*/relationships",
                            "POST/api/patients/*/relationships/",
                            "POST/api/resources/*/absences",
                            "POST/api/resources/*/absences/",
                            "POST/api/waitlist",
                            "POST/api/waitlist/",
                            "POST/auth",
                            "POST/auth/*",
                            "PUT/api/groups",
                            "PUT/api/groups/*",
                            "PUT/api/patients/*",
                            "DELETE/api/groups/*/members/*",
                            "DELETE/api/patients/*/relationships/*",
                            "DELETE/api/resources/*/absences/*",
                            "DELETE/api/waitlist/*",
                        ]),
                    },
                    {
                        "Action": ["execute-api:Invoke"],
                        "Effect": "Deny",
                        "Resource": arns(&[
                            "GET/api/patients/*/billing-account",
                            "GET/api/patients/*/billing-account/",
                            "GET/api/patients/*/invoices",
                            "GET/api/patients/*/invoices/",
                            "GET/api/patients/*/payments",
                            "GET/api/patients/*/payments/",
                            "GET/api/patients/*/statement",
                            "GET/api/patients/*/statement/",
                            "GET/api/patients/*/statement/document",
                            "GET/api/patients/*/statement/document/",
                            "GET/api/patients/*/notification-preferences",
                            "GET/api/patients/*/notification-preferences/",
                            "GET/api/patients/imports/*",
                            "GET/api/patients/exports/*",
                            "HEAD/api/patients/*/billing-account",
                            "HEAD/api/patients/*/billing-account/",
                            "HEAD/api/patients/*/invoices",
                            "HEAD/api/patients/*/invoices/",
                            "HEAD/api/patients/*/payments",
                            "HEAD/api/patients/*/payments/",
                            "HEAD/api/patients/*/statement",
                            "HEAD/api/patients/*/statement/",
                            "HEAD/api/patients/*/statement/document",
                            "HEAD/api/patients/*/statement/document/",
                            "HEAD/api/patients/*/notification-preferences",
                            "HEAD/api/patients/*/notification-preferences/",
                            "HEAD/api/patients/imports/*",
                            "HEAD/api/patients/exports/*",
                            "PUT/api/patients/*/notification-preferences",
                            "PUT/api/patients/*/notification-preferences/",
                            "PUT/api/patients/*/restriction",
                            "PUT/api/patients/*/restriction/",
                        ]),
                    },
                ],
            },
            "context": { "sub": user, "role": "CLINICIAN", "sid": claims.sid, "jti": claims.jti },
            "usageIdentifierKey": null,
        })
    );
}

#[tokio::test]
async fn the_authorizer_rejects_an_invalid_token() {
    let deployment = Deployment::new().await;
    let gate = deployment.gate().await;
    let user = Uuid::now_v7();
    let forger = Forger {
        key: &deployment.key,
        user,
        session: deployment.begin(user).await.session,
    };
    let untwisted = forger.untwisted();
    let valid = request(&format!("Bearer {untwisted}"), METHOD);
    assert!(authorize(&valid, &gate).await.is_ok());

    let mut attempts = vec![
        ("no scheme".to_owned(), untwisted),
        ("empty".to_owned(), String::new()),
    ];
    attempts.extend(
        forger
            .tokens()
            .into_iter()
            .map(|(attack, token)| (attack, format!("Bearer {token}"))),
    );
    for (attempt, authorization) in attempts {
        refused(&attempt, &request(&authorization, METHOD), &gate).await;
    }
    let nothing = serde_json::from_value(json!({ "type": "TOKEN", "methodArn": METHOD })).unwrap();
    refused("nothing", &nothing, &gate).await;
}

/// With the exact message for which API Gateway returns 401.
async fn refused(attempt: &str, request: &ApiGatewayCustomAuthorizerRequest, gate: &Gate) {
    let error = authorize(request, gate).await.unwrap_err();
    assert_eq!(error.error_message, "Unauthorized", "{attempt}");
}

#[tokio::test]
async fn the_authorizer_rejects_a_token_whose_session_has_ended() {
    let deployment = Deployment::new().await;
    let (gate, sessions) = (deployment.gate().await, deployment.sessions().await);
    let user = Uuid::now_v7();
    let token = async || {
        let session = deployment.begin(user).await.session;
        let token = deployment.key.tokens.issue(user, Role::Admin, session);
        let bearer = request(&format!("Bearer {}", token.unwrap()), METHOD);
        assert!(authorize(&bearer, &gate).await.is_ok());
        (session, bearer)
    };
    let (first, first_token) = token().await;
    let (_, second_token) = token().await;
    sessions.end(first).await.unwrap();
    refused("logged out", &first_token, &gate).await;
    assert!(authorize(&second_token, &gate).await.is_ok());
    sessions.end_all(user).await.unwrap();
    refused("logged out of all", &second_token, &gate).await;

    let (session, _) = token().await;
    for (attempt, user, session) in [
        ("somebody else's session", Uuid::now_v7(), session),
        ("a session that never existed", user, Uuid::new_v4()),
    ] {
        let token = deployment.key.tokens.issue(user, Role::Admin, session);
        let bearer = request(&format!("Bearer {}", token.unwrap()), METHOD);
        refused(attempt, &bearer, &gate).await;
    }
}

#[tokio::test]
async fn the_authorizer_fails_without_public_keys_sessions_or_a_method_arn() {
    let deployment = Deployment::new().await;
    let user = Uuid::now_v7();
    let bearer = format!("Bearer {}", deployment.token(user, Role::Admin).await);
    let cannot_check = "the token cannot be checked right now";

    let public_keys = || deployment.published.keys();
    let no_keys = Published::nothing().await.keys().await;
    for gate in [
        Gate::new(no_keys, deployment.sessions().await),
        Gate::new(public_keys().await, no_sessions()),
    ] {
        let error = authorize(&request(&bearer, METHOD), &gate).await;
        assert_eq!(error.unwrap_err().error_message, cannot_check);
    }

    let gate = deployment.gate().await;
    for method in ["", "*", "arn:aws:execute-api:us-east-1:000000000000:*/*"] {
        let error = authorize(&request(&bearer, method), &gate).await;
        assert_eq!(error.unwrap_err().error_message, cannot_check, "{method}");
    }

    // Without one of our keys, a caller learns nothing about this, and causes no read of the table.
    let stranger = Key::generate();
    let forged = stranger.tokens.issue(user, Role::Admin, Uuid::new_v4());
    let forged = request(&format!("Bearer {}", forged.unwrap()), METHOD);
    let gate = Gate::new(public_keys().await, no_sessions());
    refused("forged", &forged, &gate).await;
}
