"""A stack update changes the existing API."""

from __future__ import annotations

from typing import Any

from rest_api import AUTHORIZER, BACKEND, RestApi, allow, route
from sam import deploy, function, redeploy, upload
from stack import LocalStack


def resources(code: dict[str, Any], missing: str, *paths: str) -> dict[str, Any]:
    """An API with an authorizer and a gateway response for unknown routes."""
    api = {
        "StageName": "test",
        "Auth": {"Authorizers": {"Token": {"FunctionArn": {"Fn::GetAtt": ["Guard", "Arn"]}}}},
        "GatewayResponses": {
            "MISSING_AUTHENTICATION_TOKEN": {
                "StatusCode": 404,
                "ResponseTemplates": {"application/json": missing},
            }
        },
    }
    routes = {f"Route{number}": route(path, "Token", "get") for number, path in enumerate(paths)}
    return {
        "Api": {"Type": "AWS::Serverless::Api", "Properties": api},
        "Guard": function(code["guard"]),
        "Backend": function(code["backend"], Events=routes),
    }


def test_a_changed_api_is_served(localstack: LocalStack) -> None:
    """With new routes, without removed ones, and with new gateway responses; and again after
    that.
    """
    code = {"guard": upload(localstack, AUTHORIZER), "backend": upload(localstack, BACKEND)}
    name = deploy(localstack, resources(code, '{"missing": 1}', "/one", "/both"))["StackName"]
    api = RestApi(localstack, name)
    served: tuple[str, ...] = ("/one", "/both")
    for number, paths in enumerate([("/two", "/both"), ("/one", "/two", "/both")], start=2):
        for path in served:
            assert api.get(path, allow()).json()["path"] == path
            assert api.get(path).status_code == 401
        redeploy(localstack, name, resources(code, f'{{"missing": {number}}}', *paths))
        for path in set(served) - set(paths):
            gone = api.get(path, allow())
            assert (gone.status_code, gone.json()) == (404, {"missing": number})
        served = paths
    authorizers = localstack.client("apigateway").get_authorizers(restApiId=name)["items"]
    assert [authorizer["name"] for authorizer in authorizers] == ["Token"]
    for path in served:
        assert api.get(path, allow()).status_code == 200


def test_an_unchanged_api_keeps_working(localstack: LocalStack) -> None:
    """Only the function beside it changes."""
    code = {"guard": upload(localstack, AUTHORIZER), "backend": upload(localstack, BACKEND)}
    name = deploy(localstack, resources(code, "{}", "/one"))["StackName"]
    code["backend"] = upload(localstack, BACKEND.replace('"path"', '"way"', 1))
    redeploy(localstack, name, resources(code, "{}", "/one"))
    answer = RestApi(localstack, name).get("/one", allow())
    assert answer.json()["way"] == "/one"
