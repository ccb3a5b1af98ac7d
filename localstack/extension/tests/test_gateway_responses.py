"""The gateway's own responses have the form that the template defines."""

from __future__ import annotations

import json

import pytest

from rest_api import AUTHORIZER, BACKEND, RestApi, allow, route, token
from sam import deploy, function, upload
from stack import LocalStack

PROBLEM = "application/problem+json"


def problem(title: str) -> str:
    """A body template with all kinds of variables."""
    return (
        '{"type":"about:blank","title":"' + title + '","detail":$context.error.messageString,'
        '"text":"${context.error.message}","kind":"$context.error.responseType",'
        '"instance":"$context.path","requestId":"$context.requestId",'
        '"agent":"$context.identity.userAgent","unknown":"$context.nothing",'
        '"tenant":"$stageVariables.tenant","who":"$context.authorizer.principalId"}'
    )


@pytest.fixture(scope="module")
def api(localstack: LocalStack) -> RestApi:
    """An API with gateway responses as written by SAM."""
    resources = {
        "Authorizer": function(upload(localstack, AUTHORIZER)),
        "Backend": function(
            upload(localstack, BACKEND),
            Events={"Closed": route("/closed", "ByToken"), "Open": route("/open")},
        ),
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {
                "StageName": "test",
                "Variables": {"tenant": "the-tenant"},
                "Auth": {
                    "DefaultAuthorizer": "ByToken",
                    "Authorizers": {
                        "ByToken": {"FunctionArn": {"Fn::GetAtt": ["Authorizer", "Arn"]}}
                    },
                },
                "GatewayResponses": {
                    "UNAUTHORIZED": {
                        "StatusCode": 401,
                        "ResponseTemplates": {PROBLEM: problem("Unauthorized")},
                        "ResponseParameters": {
                            "Headers": {
                                "WWW-Authenticate": "'Bearer realm=\"patients\"'",
                                "Access-Control-Allow-Origin": "method.request.header.Origin",
                                "X-Request": "context.requestId",
                                "X-Missing": "method.request.header.Nothing",
                            }
                        },
                    },
                    "MISSING_AUTHENTICATION_TOKEN": {
                        "StatusCode": 404,
                        "ResponseParameters": {
                            "Headers": {"Content-Type": f"'{PROBLEM}'"},
                        },
                        "ResponseTemplates": {"application/json": problem("Not Found")},
                    },
                    "DEFAULT_5XX": {
                        "ResponseTemplates": {PROBLEM: problem("Server Error")},
                    },
                    "DEFAULT_4XX": {
                        "ResponseParameters": {"Headers": {"X-Default": "'4xx'"}},
                    },
                },
            },
        },
    }
    return RestApi(localstack, deploy(localstack, resources, ApiId={"Ref": "Api"})["ApiId"])


def test_a_problem_document_instead_of_the_default_body(api: RestApi) -> None:
    """The template's media type, with every variable replaced."""
    response = api.get("/closed?page=1", headers={"User-Agent": 'a "quoted" agent'})
    assert response.status_code == 401
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "detail": "Unauthorized",
        "text": "Unauthorized",
        "kind": "UNAUTHORIZED",
        "instance": "/test/closed",
        "requestId": response.headers["x-amzn-RequestId"],
        "agent": 'a "quoted" agent',
        "unknown": "",
        "tenant": "the-tenant",
        "who": "",
    }


def test_headers_come_from_constants_the_request_and_variables(api: RestApi) -> None:
    """A header whose source is missing is omitted."""
    response = api.get("/closed", headers={"Origin": "https://front.example"})
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="patients"'
    assert response.headers["Access-Control-Allow-Origin"] == "https://front.example"
    assert response.headers["X-Request"] == response.headers["x-amzn-RequestId"]
    assert "X-Missing" not in response.headers
    assert "Access-Control-Allow-Origin" not in api.get("/closed").headers


def test_another_status_and_content_type(api: RestApi) -> None:
    """An unknown route is 404 here, where API Gateway's default is 403."""
    response = api.get("/nowhere")
    assert response.status_code == 404
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json()["title"] == "Not Found"
    assert response.json()["detail"] == "Missing Authentication Token"


def test_the_default_of_a_class_covers_its_other_responses(api: RestApi) -> None:
    """DEFAULT_4XX adds its header to a denial, whose status and body are unchanged."""
    response = api.get("/closed", token(statements=[]))
    assert response.status_code == 403
    assert response.headers["X-Default"] == "4xx"
    assert response.json() == {"Message": "User is not authorized to access this resource"}


def test_a_null_message_stays_null(api: RestApi) -> None:
    """DEFAULT_5XX for a broken authorizer, which has no message."""
    response = api.get("/closed", token(raw={}))
    assert response.status_code == 500
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json()["title"] == "Server Error"
    assert response.json()["detail"] is None
    assert response.json()["kind"] == "AUTHORIZER_CONFIGURATION_ERROR"


def test_responses_of_integrations_are_unchanged(api: RestApi) -> None:
    """Gateway responses apply only to the gateway's own responses."""
    response = api.get("/open")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"


def test_a_gateway_response_as_a_separate_resource(api: RestApi, localstack: LocalStack) -> None:
    """`AWS::ApiGateway::GatewayResponse`, effective with the next deployment."""
    gateway = localstack.client("apigateway")
    gateway.put_gateway_response(
        restApiId=api.api_id,
        responseType="ACCESS_DENIED",
        statusCode="404",
        responseTemplates={PROBLEM: '{"title":"Hidden"}'},
    )
    assert api.get("/closed", token(statements=[])).status_code == 403
    gateway.create_deployment(restApiId=api.api_id, stageName=api.stage)
    response = api.get("/closed", token(statements=[]))
    assert response.status_code == 404
    assert response.json() == {"title": "Hidden"}
    assert api.get("/closed", allow()).status_code == 200


def test_a_new_document_replaces_the_responses_of_the_old_one(
    api: RestApi, localstack: LocalStack
) -> None:
    """Responses removed from the template are removed from the API; those created by API calls
    stay.
    """
    gateway = localstack.client("apigateway")
    gateway.put_gateway_response(
        restApiId=api.api_id, responseType="QUOTA_EXCEEDED", statusCode="418"
    )
    document = {
        "openapi": "3.0.1",
        "info": {"title": "without paths", "version": "1"},
        "x-amazon-apigateway-gateway-responses": {"THROTTLED": {"statusCode": "429"}},
    }
    assert "UNAUTHORIZED" in own_responses(api)
    gateway.put_rest_api(restApiId=api.api_id, mode="overwrite", body=json.dumps(document))
    assert own_responses(api) >= {"QUOTA_EXCEEDED", "THROTTLED"}
    assert "UNAUTHORIZED" not in own_responses(api)


def own_responses(api: RestApi) -> set[str]:
    """The responses other than API Gateway's defaults."""
    gateway = api.localstack.client("apigateway")
    responses = gateway.get_gateway_responses(restApiId=api.api_id)["items"]
    return {item["responseType"] for item in responses if not item["defaultResponse"]}
