"""Each request to a REST API is logged to the log group that its stage names."""

from __future__ import annotations

import http.client
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from patient_stack.access_logs.rendering import render_line
from rest_api import AUTHORIZER, BACKEND, RestApi, allow, route, token
from sam import deploy, function, redeploy, upload
from stack import REGION, LocalStack, wait_until

VARIABLES = {
    "requestId": "$context.requestId",
    "requestTimeEpoch": "$context.requestTimeEpoch",
    "sourceIp": "$context.identity.sourceIp",
    "status": "$context.status",
    "responseType": "$context.error.responseType",
    "principalId": "$context.authorizer.principalId",
    "role": "$context.authorizer.role",
    "httpMethod": "$context.httpMethod",
    "resourcePath": "$context.resourcePath",
    "path": "$context.path",
    "agent": "$context.identity.userAgent",
    "length": "$context.responseLength",
    "unknown": "$context.nothing.at.all",
    "notAText": "$context.identity",
    "constant": "$stageVariables.tenant costs 5$",
    "message": "$context.error.message",
}
FORMAT = json.dumps(VARIABLES)


def resources(localstack: LocalStack, group: str, line_format: str | None = FORMAT) -> dict:
    """A template of an API, with or without an access log."""
    settings = {
        "DestinationArn": {"Fn::GetAtt": ["AccessLog", "Arn"]},
        "Format": line_format,
    }
    return {
        "AccessLog": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": group}},
        "Authorizer": function(upload(localstack, AUTHORIZER)),
        "Backend": function(
            upload(localstack, BACKEND),
            Events={
                "Closed": route("/patients/{id}", "ByToken"),
                "Open": route("/open"),
            },
        ),
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {
                "StageName": "test",
                **({"AccessLogSetting": settings} if line_format else {}),
                "Auth": {
                    "DefaultAuthorizer": "ByToken",
                    "Authorizers": {
                        "ByToken": {"FunctionArn": {"Fn::GetAtt": ["Authorizer", "Arn"]}}
                    },
                },
            },
        },
    }


@dataclass
class LoggedApi(RestApi):
    """An API and the log group of its access log."""

    group: str = ""
    stack_name: str = ""

    def lines(self) -> list[str]:
        """All lines so far."""
        return lines_of(self.localstack, self.group)

    def line_of(self, response: Any) -> dict[str, Any]:
        """The line for this response, once it is written; there must be only one."""
        return self.line_with(response.headers["x-amzn-RequestId"])

    def line_with(self, text: str) -> dict[str, Any]:
        """The line containing this text, once it is written; there must be only one."""

        def found() -> list[str]:
            return [line for line in self.lines() if text in line]

        lines = wait_until(found, f"there is a line with {text}")
        assert len(lines) == 1
        return json.loads(lines[0])


def lines_of(localstack: LocalStack, group: str) -> list[str]:
    """All lines of a log group, in the order of writing."""
    pages = localstack.client("logs").get_paginator("filter_log_events")
    return [
        event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]
    ]


def deploy_logged(localstack: LocalStack, **settings: Any) -> LoggedApi:
    """Deploy a new API."""
    group = f"/aws/apigateway/{uuid.uuid4()}"
    stack = deploy(localstack, resources(localstack, group, **settings), ApiId={"Ref": "Api"})
    return LoggedApi(localstack, stack["ApiId"], group=group, stack_name=stack["StackName"])


@pytest.fixture(scope="module")
def api(localstack: LocalStack) -> LoggedApi:
    """An API with an access log."""
    return deploy_logged(localstack)


def test_a_response_of_a_function_is_logged_with_all_variables(api: LoggedApi) -> None:
    """A missing value becomes a hyphen; other text than `$context` variables is unchanged."""
    response = api.get(
        "/patients/7?name=secret", allow(role="NURSE"), headers={"User-Agent": "a browser"}
    )
    assert response.status_code == 200
    line = api.line_of(response)
    assert int(line.pop("requestTimeEpoch")) > 1_700_000_000_000
    assert line == {
        "requestId": response.headers["x-amzn-RequestId"],
        "sourceIp": "127.0.0.1",
        "status": "200",
        "responseType": "-",
        "principalId": "the-principal",
        "role": "NURSE",
        "httpMethod": "GET",
        "resourcePath": "/patients/{id}",
        "path": "/test/patients/7",
        "agent": "a browser",
        "length": str(len(response.content)),
        "unknown": "-",
        "notAText": "-",
        "constant": "$stageVariables.tenant costs 5$",
        "message": "-",
    }


def test_a_denial_is_logged_with_the_caller_even_if_cached(api: LoggedApi) -> None:
    """The second request does not reach the authorizer's function, but is logged as well."""
    denied = token(statements=[], context={"role": "NURSE"}, unique=uuid.uuid4().hex)
    for _ in range(2):
        response = api.call("DELETE", "/patients/7", denied)
        assert response.status_code == 403
        line = api.line_of(response)
        assert line["status"] == "403"
        assert line["responseType"] == "ACCESS_DENIED"
        assert line["principalId"] == "the-principal"
        assert line["role"] == "NURSE"
        assert line["httpMethod"] == "DELETE"
        assert line["resourcePath"] == "/patients/{id}"
        assert line["path"] == "/test/patients/7"
        assert line["message"] == "User is not authorized to access this resource"


@pytest.mark.parametrize("authorization", [None, token(fail="Unauthorized")])
def test_an_unauthenticated_request_is_logged_without_a_caller(
    api: LoggedApi, authorization: str | None
) -> None:
    """Without a token, and with one that the authorizer rejects."""
    response = api.get("/patients/7", authorization)
    assert response.status_code == 401
    line = api.line_of(response)
    assert line["status"] == "401"
    assert line["responseType"] == "UNAUTHORIZED"
    assert line["principalId"] == line["role"] == "-"
    assert line["resourcePath"] == "/patients/{id}"


def test_a_broken_authorizer_and_an_unknown_route_are_logged(api: LoggedApi) -> None:
    """Even a request that was never routed has a path."""
    failed = api.line_of(api.get("/patients/7", token(fail="something else")))
    assert failed["status"] == "500"
    assert failed["responseType"] == "AUTHORIZER_FAILURE"
    unknown = api.line_of(api.get("/nowhere"))
    assert unknown["status"] == "403"
    assert unknown["responseType"] == "MISSING_AUTHENTICATION_TOKEN"
    assert unknown["resourcePath"] == "-"
    assert unknown["path"] == "/test/nowhere"


def test_no_request_can_break_out_of_its_line(api: LoggedApi) -> None:
    """A line remains one JSON object, whatever the path and the headers contain."""
    name = uuid.uuid4().hex
    for path, agent in [
        (f'/patients/a","role":"ADMIN{name}0', '"},{"'),
        (f"/patients/%22%0a%00\\u0022\\{name}1", "\\"),
        (f"/patients/{name}2$context.requestId", "$context.identity.sourceIp"),
        (f"/patients/%F0%9F%A9%BA%ff{name}3", "caf\xe9"),
    ]:
        connection = http.client.HTTPConnection("127.0.0.1", api.localstack.port, timeout=30)
        target = f"/_aws/execute-api/{api.api_id}/{api.stage}{path}"
        connection.putrequest("GET", target)
        connection.putheader("User-Agent", agent.encode("latin-1"))
        connection.endheaders()
        assert connection.getresponse().status == 401
        number = path.partition(name)[2][0]
        line = api.line_with(name + number)
        assert line["path"] == "/test" + path
        assert line["agent"] == agent
        assert line["role"] == "-"


def test_concurrent_requests_are_logged_once_each(api: LoggedApi) -> None:
    """No line is lost or duplicated."""
    names = [uuid.uuid4().hex for _ in range(200)]
    with ThreadPoolExecutor(20) as callers:
        statuses = set(callers.map(lambda name: api.get(f"/patients/{name}").status_code, names))
    assert statuses == {401}

    def logged() -> list[str]:
        paths = [json.loads(line)["path"].rpartition("/")[2] for line in api.lines()]
        found = [path for path in paths if path in names]
        return found if len(found) >= len(names) else []

    assert sorted(wait_until(logged, "all lines are there")) == sorted(names)


def test_a_stage_without_settings_logs_nothing(localstack: LocalStack, api: LoggedApi) -> None:
    """Nor are its requests logged by another stage."""
    silent = deploy_logged(localstack, line_format=None)
    assert silent.get("/open").status_code == 200
    # A later request is logged.
    api.line_of(api.get("/open"))
    assert silent.lines() == []
    assert not [line for line in api.lines() if silent.api_id in line]


def test_settings_change_with_the_template(localstack: LocalStack) -> None:
    """Another format, none, and one again."""
    api = deploy_logged(localstack)
    api.line_of(api.get("/open"))

    def change(line_format: str | None) -> None:
        redeploy(localstack, api.stack_name, resources(localstack, api.group, line_format))

    change('{"only": "$context.requestId"}')
    response = api.get("/open")
    assert api.line_of(response) == {"only": response.headers["x-amzn-RequestId"]}

    change(None)
    unseen = api.get("/open").headers["x-amzn-RequestId"]
    change('{"again": "$context.requestId"}')
    api.line_of(api.get("/open"))
    assert not [line for line in api.lines() if unseen in line]


def test_settings_change_with_update_stage(localstack: LocalStack, api: LoggedApi) -> None:
    """With the ARN in the form that CloudWatch Logs uses."""
    other = deploy_logged(localstack, line_format=None)
    arn = f"arn:aws:logs:{REGION}:000000000000:log-group:{other.group}"
    localstack.client("apigateway").update_stage(
        restApiId=other.api_id,
        stageName=other.stage,
        patchOperations=[
            {"op": "replace", "path": "/accessLogSettings/destinationArn", "value": arn},
            {"op": "replace", "path": "/accessLogSettings/format", "value": "$context.requestId"},
        ],
    )
    request_id = other.get("/open").headers["x-amzn-RequestId"]
    wait_until(lambda: request_id in other.lines(), "the line is there")


def test_requests_are_served_without_their_log_group(localstack: LocalStack) -> None:
    """A deleted group loses its own lines, and no others."""
    api = deploy_logged(localstack)
    other = deploy_logged(localstack)
    localstack.client("logs").delete_log_group(logGroupName=api.group)
    assert api.get("/open").status_code == 200
    other.line_of(other.get("/open"))
    wait_until(lambda: "of an access log are lost" in localstack.log, "LocalStack says so")
    assert api.get("/open").status_code == 200


def test_the_message_string_includes_its_quotes() -> None:
    """The one variable that JSON formats use without quotes."""
    variables = {"error": {"messageString": '"say \\"no\\""'}}
    assert render_line("{$context.error.messageString}", variables) == '{"say \\"no\\""}'
