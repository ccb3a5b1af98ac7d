use auth::authorizer::authorize;
use aws_lambda_events::apigw::ApiGatewayCustomAuthorizerRequest;
use identity::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    aws::{Aws, Key},
    forged_tokens::forged_tokens,
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
async fn the_answer_says_who_calls_and_all_that_they_may_call() {
    let key = Key::generate();
    let public_keys = Aws::with(&key).await.public_keys();
    let user = Uuid::now_v7();
    let token = key.tokens.issue(user, Role::Clinician).unwrap();
    let claims = identity::verify(&token, &key.public).unwrap();

    let response = authorize(&request(&format!("Bearer {token}"), METHOD), &public_keys).await;
    let response: Value = serde_json::to_value(response.unwrap()).unwrap();
    let arn = |path| format!("arn:aws:execute-api:us-east-1:000000000000:a1b2c3/local/{path}");
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
                        "Resource": [
                            arn("GET/api/patients"),
                            arn("POST/api/patients"),
                            arn("GET/api/patients/*"),
                            arn("PUT/api/patients/*"),
                            arn("GET/api/analytics/patients"),
                        ],
                    },
                    {
                        "Action": ["execute-api:Invoke"],
                        "Effect": "Deny",
                        "Resource": [arn("GET/api/patients/*/billing-account")],
                    },
                ],
            },
            "context": { "sub": user, "role": "CLINICIAN", "jti": claims.jti },
            "usageIdentifierKey": null,
        })
    );
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_unauthorized() {
    let key = Key::generate();
    let public_keys = Aws::with(&key).await.public_keys();
    let token = key.tokens.issue(Uuid::now_v7(), Role::Admin).unwrap();

    let mut attempts = vec![
        ("no scheme".to_owned(), token),
        ("empty".to_owned(), String::new()),
    ];
    attempts.extend(
        forged_tokens(&key)
            .into_iter()
            .map(|(attack, token)| (attack, format!("Bearer {token}"))),
    );
    for (attempt, authorization) in attempts {
        let error = authorize(&request(&authorization, METHOD), &public_keys).await;
        // The exact text that API Gateway answers 401 to.
        assert_eq!(
            error.unwrap_err().error_message,
            "Unauthorized",
            "{attempt}"
        );
    }
    let nothing = serde_json::from_value(json!({ "type": "TOKEN", "methodArn": METHOD })).unwrap();
    let error = authorize(&nothing, &public_keys).await.unwrap_err();
    assert_eq!(error.error_message, "Unauthorized");
}

#[tokio::test]
async fn without_public_keys_or_a_method_there_is_no_answer() {
    let key = Key::generate();
    let bearer = format!(
        "Bearer {}",
        key.tokens.issue(Uuid::now_v7(), Role::Admin).unwrap()
    );
    let no_answer = "the token cannot be checked right now";

    let no_keys = Aws::empty().await.public_keys();
    let error = authorize(&request(&bearer, METHOD), &no_keys)
        .await
        .unwrap_err();
    assert_eq!(error.error_message, no_answer);

    let keys = Aws::with(&key).await.public_keys();
    for method in ["", "*", "arn:aws:execute-api:us-east-1:000000000000:*/*"] {
        let error = authorize(&request(&bearer, method), &keys)
            .await
            .unwrap_err();
        assert_eq!(error.error_message, no_answer, "{method}");
    }
}
