"""Lambda authorizers on REST APIs answer as API Gateway does."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rest_api import (
    AUTHORIZER,
    BACKEND,
    RestApi,
    allow,
    route,
    statement_for,
    token,
)
from sam import deploy, function, upload
from stack import REGION, LocalStack, wait_until

DENIED = {"Message": "User is not authorized to access this resource"}
DENIED_EXPLICITLY = {
    "Message": "User is not authorized to access this resource with an explicit deny"
}


@pytest.fixture(scope="module")
def api(localstack: LocalStack) -> RestApi:
    """An API as SAM describes it, with one authorizer of each kind."""
    authorizer_arn = {"Fn::GetAtt": ["Authorizer", "Arn"]}
    resources = {
        "Authorizer": function(upload(localstack, AUTHORIZER), Timeout=2),
        "Backend": function(
            upload(localstack, BACKEND),
            Events={
                "Open": route("/open"),
                "Token": route("/token", "ByToken"),
                "TokenBelow": route("/token/{proxy+}", "ByToken"),
                "Uncached": route("/uncached", "Uncached"),
                "Short": route("/short", "Short"),
                "Request": route("/request/{item}", "ByRequest"),
            },
        ),
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {
                "StageName": "test",
                "Variables": {"tenant": "the-tenant"},
                "Cors": {
                    "AllowOrigin": "'https://front.example'",
                    "AllowHeaders": "'authorization,content-type'",
                    "AllowMethods": "'GET,POST'",
                },
                "Auth": {
                    "DefaultAuthorizer": "ByToken",
                    "AddDefaultAuthorizerToCorsPreflight": False,
                    "Authorizers": {
                        "ByToken": {
                            "FunctionArn": authorizer_arn,
                            "Identity": {"ValidationExpression": "Bearer [-0-9A-Za-z_.=]+"},
                        },
                        "Uncached": {
                            "FunctionArn": authorizer_arn,
                            "Identity": {"ReauthorizeEvery": 0},
                        },
                        "Short": {
                            "FunctionArn": authorizer_arn,
                            "Identity": {"ReauthorizeEvery": 1},
                        },
                        "ByRequest": {
                            "FunctionArn": authorizer_arn,
                            "FunctionPayloadType": "REQUEST",
                            "Identity": {
                                "Headers": ["Authorization"],
                                "QueryStrings": ["clinic"],
                                "StageVariables": ["tenant"],
                                "Context": ["identity.sourceIp"],
                            },
                        },
                    },
                },
            },
        },
    }
    return RestApi(localstack, deploy(localstack, resources, ApiId={"Ref": "Api"})["ApiId"])


def authorizer_context(response: Any) -> dict[str, Any]:
    """What the integration was told by the authorizer."""
    assert response.status_code == 200, response.text
    return response.json()["authorizer"]


def call_id(response: Any) -> str:
    """Which invocation of the authorizer let this request pass."""
    return authorizer_context(response)["callId"]


def authorizer_event(response: Any) -> dict[str, Any]:
    """The event that the authorizer was invoked with."""
    return json.loads(authorizer_context(response)["event"])


def test_a_method_without_authorizer_is_open(api: RestApi) -> None:
    """Nobody asks for a token where the template says so."""
    response = api.get("/open")
    assert response.status_code == 200
    assert response.json()["authorizer"] is None


def test_a_token_authorizer_gets_the_event_of_aws(api: RestApi) -> None:
    """The event has exactly the three fields of API Gateway, with the path as called."""
    authorization = allow()
    response = api.call("POST", "/token/a/b?page=2", authorization)
    assert authorizer_event(response) == {
        "type": "TOKEN",
        "methodArn": f"arn:aws:execute-api:{REGION}:000000000000:{api.api_id}/test/POST/token/a/b",
        "authorizationToken": authorization,
    }


def test_a_request_authorizer_gets_the_event_of_aws(api: RestApi) -> None:
    """The event has all that API Gateway tells about the request."""
    response = api.get("/request/7?clinic=north&tag=a&tag=b", allow(), headers={"X-Extra": "yes"})
    event = authorizer_event(response)
    assert set(event) == {
        *("type", "methodArn", "resource", "path", "httpMethod", "headers", "multiValueHeaders"),
        *("queryStringParameters", "multiValueQueryStringParameters", "pathParameters"),
        *("stageVariables", "requestContext"),
    }
    assert event["type"] == "REQUEST"
    assert event["methodArn"].endswith(f":{api.api_id}/test/GET/request/7")
    assert event["resource"] == "/request/{item}"
    assert event["path"] == "/request/7"
    assert event["httpMethod"] == "GET"
    assert event["headers"]["X-Extra"] == "yes"
    assert event["multiValueHeaders"]["X-Extra"] == ["yes"]
    assert event["queryStringParameters"] == {"clinic": "north", "tag": "b"}
    assert event["multiValueQueryStringParameters"] == {"clinic": ["north"], "tag": ["a", "b"]}
    assert event["pathParameters"] == {"item": "7"}
    assert event["stageVariables"] == {"tenant": "the-tenant"}
    request_context = event["requestContext"]
    assert request_context["resourcePath"] == "/request/{item}"
    assert request_context["path"] == "/test/request/7"
    assert request_context["httpMethod"] == "GET"
    assert request_context["stage"] == "test"
    assert request_context["apiId"] == api.api_id
    assert request_context["accountId"] == "000000000000"
    assert request_context["requestId"]
    assert request_context["identity"]["sourceIp"]
    assert "authorizer" not in request_context


@pytest.mark.parametrize("path", ["/token", "/uncached", "/request/7?clinic=north"])
def test_a_missing_token_is_unauthorized(api: RestApi, path: str) -> None:
    """401 in API Gateway's words."""
    response = api.get(path)
    assert response.status_code == 401
    assert response.json() == {"message": "Unauthorized"}
    assert response.headers["x-amzn-ErrorType"] == "UnauthorizedException"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["x-amzn-RequestId"]


def test_a_missing_part_of_the_identity_is_unauthorized(api: RestApi) -> None:
    """Every identity source of a request authorizer has to be there, and not empty."""
    assert api.get("/request/7", allow()).status_code == 401
    assert api.get("/request/7?clinic=", allow()).status_code == 401
    assert api.get("/request/7?clinic=north", allow()).status_code == 200


def test_a_token_of_the_wrong_form_never_reaches_the_function(api: RestApi) -> None:
    """The function would fail on these (500); the validation expression stops them (401)."""
    for wrong in ("Basic abc", "Bearer", "Bearer a b", "Bearer 1 "):
        assert api.get("/token", wrong + "!").status_code == 401
    assert api.get("/token", "Bearer not-base64-of-json").status_code == 500


@pytest.mark.parametrize(
    ("resource", "is_allowed"),
    [
        ("*", True),
        ("$METHOD", True),
        ("arn:aws:execute-api:*:*:*", True),
        ("arn:aws:execute-api:*:*:*/*/GET/token/*", True),
        ("arn:aws:execute-api:*:*:*/test/*/token/patients/1", True),
        ("arn:aws:execute-api:*:*:*/*/GET/*/?", True),
        ("arn:aws:execute-api:*:*:*/*/GET/token/patients/??", False),
        ("arn:aws:execute-api:*:*:*/*/POST/token/*", False),
        ("arn:aws:execute-api:*:*:*/other/GET/token/*", False),
        ("arn:aws:execute-api:*:*:*/*/get/token/*", False),
        ("arn:aws:execute-api:us-east-1:*:*", False),
        ("arn:aws:s3:*:*:*", False),
        ("arn:aws:execute-api:*/*/GET/token/*", False),
        ("arn:aws:execute-api:*:*:*/*/GET/tok", False),
        ("arn:aws:execute-api:*:*:*/*/GET/token.patients.1", False),
    ],
)
def test_resources_are_compared_as_iam_does(api: RestApi, resource: str, is_allowed: bool) -> None:
    """Wildcards stand for any characters of one field of the ARN; all else is literal."""
    response = api.get("/token/patients/1", allow(resource))
    assert response.status_code == (200 if is_allowed else 403), response.text
    if not is_allowed:
        assert response.json() == DENIED
        assert response.headers["x-amzn-ErrorType"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("action", "is_allowed"),
    [
        ("execute-api:Invoke", True),
        ("EXECUTE-API:invoke", True),
        ("execute-api:*", True),
        ("*", True),
        (["s3:GetObject", "execute-api:Inv*"], True),
        ("execute-api:ManageConnections", False),
        ("s3:*", False),
    ],
)
def test_actions_are_compared_as_iam_does(api: RestApi, action: Any, is_allowed: bool) -> None:
    """Only a statement about invoking counts."""
    authorization = token(statements=[statement_for("Allow", "*", Action=action)])
    assert api.get("/token", authorization).status_code == (200 if is_allowed else 403)


def test_an_explicit_deny_outweighs_any_allow(api: RestApi) -> None:
    """Whatever the order of the statements."""
    everything = statement_for("Allow", "*")
    deleting = statement_for("Deny", "arn:aws:execute-api:*:*:*/*/DELETE/*")
    for statements in ([everything, deleting], [deleting, everything]):
        authorization = token(statements=statements)
        assert api.get("/token/1", authorization).status_code == 200
        refused = api.call("DELETE", "/token/1", authorization)
        assert refused.status_code == 403
        assert refused.json() == DENIED_EXPLICITLY


def test_a_trailing_slash_does_not_get_around_a_deny(api: RestApi) -> None:
    """Routing ignores the slash, so the policy does."""
    denied = statement_for("Deny", "arn:aws:execute-api:*:*:*/*/GET/token/secret")
    authorization = token(statements=[statement_for("Allow", "*"), denied])
    assert api.get("/token/secret", authorization).status_code == 403
    assert api.get("/token/secret/", authorization).status_code == 403


def test_excluding_statements(api: RestApi) -> None:
    """NotAction and NotResource speak about everything else."""
    not_resource = {
        "Effect": "Allow",
        "Action": "execute-api:Invoke",
        "NotResource": "arn:aws:execute-api:*:*:*/*/*/token/secret",
    }
    authorization = token(statements=[not_resource])
    assert api.get("/token/other", authorization).status_code == 200
    assert api.get("/token/secret", authorization).status_code == 403
    not_action = {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}
    assert api.get("/token", token(statements=[not_action])).status_code == 200


def test_an_allow_under_a_condition_does_not_count(api: RestApi) -> None:
    """Conditions are not evaluated: failing closed is the safe side."""
    condition = {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
    authorization = token(statements=[statement_for("Allow", "*", Condition=condition)])
    assert api.get("/token", authorization).status_code == 403


def test_the_context_reaches_the_integration_as_strings(api: RestApi) -> None:
    """Numbers and booleans become strings, as on AWS."""
    authorization = allow(role="CLINICIAN", level=3, share=0.5, active=True)
    context = authorizer_context(api.get("/token", authorization))
    assert context["principalId"] == "the-principal"
    assert context["role"] == "CLINICIAN"
    assert context["level"] == "3"
    assert context["share"] == "0.5"
    assert context["active"] == "true"
    assert isinstance(context["integrationLatency"], int)


VALID_DOCUMENT = {"Version": "2012-10-17", "Statement": [statement_for("Allow", "*")]}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "yes",
        {},
        {"principalId": "p"},
        {"policyDocument": VALID_DOCUMENT},
        {"principalId": 1, "policyDocument": VALID_DOCUMENT},
        {"principalId": "p", "policyDocument": {}},
        {"principalId": "p", "policyDocument": {"Statement": [{"Effect": "Allow"}]}},
        {
            "principalId": "p",
            "policyDocument": {"Statement": statement_for("allow", "*")},
        },
        {"principalId": "p", "policyDocument": VALID_DOCUMENT, "context": {"a": {"b": "c"}}},
        {"principalId": "p", "policyDocument": VALID_DOCUMENT, "context": {"a": ["b"]}},
        {"principalId": "p", "policyDocument": VALID_DOCUMENT, "context": "text"},
    ],
    ids=json.dumps,
)
def test_a_malformed_answer_is_a_configuration_error(api: RestApi, answer: Any) -> None:
    """500 with API Gateway's null message, and nothing of it is remembered."""
    response = api.get("/token", token(raw=answer))
    assert response.status_code == 500, response.text
    assert response.json() == {"message": None}
    assert response.headers["x-amzn-ErrorType"] == "AuthorizerConfigurationException"


def test_the_error_unauthorized_is_answered_with_401(api: RestApi) -> None:
    """Exactly this message, in exactly this spelling."""
    response = api.get("/token", token(fail="Unauthorized"))
    assert response.status_code == 401
    assert response.json() == {"message": "Unauthorized"}
    assert api.get("/token", token(fail="unauthorized")).status_code == 500


@pytest.mark.parametrize("wanted", [{"fail": "no database"}, {"hang": 30}])
def test_a_failing_function_is_an_authorizer_failure(api: RestApi, wanted: dict[str, Any]) -> None:
    """An error and a time-out; the caller learns nothing of the reason."""
    response = api.get("/token", token(**wanted))
    assert response.status_code == 500
    assert response.json() == {"message": None}
    assert response.headers["x-amzn-ErrorType"] == "AuthorizerFailureException"


def test_a_result_is_remembered_per_identity(api: RestApi) -> None:
    """The same token is not asked about twice, another one is."""
    authorization, other = allow(), allow()
    first = call_id(api.get("/token", authorization))
    assert call_id(api.get("/token", authorization)) == first
    assert call_id(api.call("POST", "/token/other", authorization)) == first
    assert call_id(api.get("/token", other)) != first


def test_a_remembered_policy_is_evaluated_for_each_request(api: RestApi) -> None:
    """The cache keeps the policy, not the decision."""
    authorization = allow("arn:aws:execute-api:*:*:*/*/GET/token/mine")
    assert api.get("/token/mine", authorization).status_code == 200
    assert api.get("/token/yours", authorization).status_code == 403
    assert api.get("/token/mine", authorization).status_code == 200
    refused_first = allow("arn:aws:execute-api:*:*:*/*/GET/token/mine")
    assert api.get("/token/yours", refused_first).status_code == 403
    assert api.get("/token/mine", refused_first).status_code == 200


def test_all_identity_sources_make_the_key(api: RestApi) -> None:
    """A request authorizer is asked again when one of them differs."""
    authorization = allow()
    first = call_id(api.get("/request/1?clinic=north", authorization))
    assert call_id(api.get("/request/2?clinic=north&page=2", authorization)) == first
    assert call_id(api.get("/request/1?clinic=south", authorization)) != first


def test_two_authorizers_do_not_share_results(api: RestApi) -> None:
    """Even with the same token and the same function behind them."""
    authorization = allow()
    assert call_id(api.get("/token", authorization)) != call_id(api.get("/short", authorization))


def test_a_ttl_of_zero_turns_the_cache_off(api: RestApi) -> None:
    """Each request is asked about."""
    authorization = allow()
    calls = {call_id(api.get("/uncached", authorization)) for _ in range(3)}
    assert len(calls) == 3


def test_a_result_is_forgotten_after_its_ttl(api: RestApi) -> None:
    """This authorizer's results hold for one second."""
    authorization = allow()
    first = call_id(api.get("/short", authorization))
    wait_until(
        lambda: call_id(api.get("/short", authorization)) != first, "the result is forgotten"
    )


def test_errors_are_not_remembered(api: RestApi, localstack: LocalStack) -> None:
    """A function that failed once is asked again with the same token."""
    marker = uuid.uuid4().hex
    authorization = token(fail=marker)
    for _ in range(2):
        assert api.get("/token", authorization).status_code == 500
    assert localstack.log.count(f"failed: {marker}") == 2


def test_a_redeployment_forgets_results(api: RestApi, localstack: LocalStack) -> None:
    """A new deployment may have another authorizer."""
    authorization = allow()
    first = call_id(api.get("/token", authorization))
    localstack.client("apigateway").create_deployment(restApiId=api.api_id, stageName=api.stage)
    assert call_id(api.get("/token", authorization)) != first


def test_a_preflight_request_is_answered_without_a_token(api: RestApi) -> None:
    """SAM's mock integration, with the origins of the template."""
    response = api.call(
        "OPTIONS",
        "/token",
        headers={"Origin": "https://front.example", "Access-Control-Request-Method": "GET"},
    )
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "https://front.example"
    assert response.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    assert response.headers["Access-Control-Allow-Methods"] == "GET,POST"


def test_concurrent_requests_are_authorized_each(api: RestApi) -> None:
    """Nobody gets another caller's context."""

    def who(number: int) -> str:
        return authorizer_context(api.get("/token", allow(number=number)))["number"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(who, range(24))) == [str(number) for number in range(24)]
