"""A stack's API has the same URL at each deployment."""

from __future__ import annotations

from typing import Any

from rest_api import BACKEND, RestApi
from sam import deploy, function, upload
from stack import LocalStack

REST_API: dict[str, Any] = {
    "Type": "AWS::ApiGateway::RestApi",
    "Properties": {"Name": "api"},
}

OPEN_ROUTE: dict[str, Any] = {
    "Type": "Api",
    "Properties": {"RestApiId": {"Ref": "Api"}, "Path": "/open", "Method": "get"},
}


def test_the_id_of_a_stacks_api_is_the_name_of_the_stack(localstack: LocalStack) -> None:
    """And the API works under it."""
    resources = {
        "Api": {"Type": "AWS::Serverless::Api", "Properties": {"StageName": "test"}},
        "Backend": function(upload(localstack, BACKEND), Events={"Open": OPEN_ROUTE}),
    }
    stack = deploy(localstack, resources, ApiId={"Ref": "Api"})
    assert stack["ApiId"] == stack["StackName"]
    assert RestApi(localstack, stack["StackName"]).get("/open").status_code == 200


def test_a_second_api_of_a_stack_keeps_its_own_id(localstack: LocalStack) -> None:
    """Two APIs cannot have the same id."""
    resources = {"First": REST_API, "Second": {**REST_API, "DependsOn": "First"}}
    stack = deploy(localstack, resources, First={"Ref": "First"}, Second={"Ref": "Second"})
    assert stack["First"] == stack["StackName"]
    assert stack["Second"] != stack["First"]


def test_an_api_without_a_stack_is_not_changed(localstack: LocalStack) -> None:
    """Its id is generated, or chosen by its creator."""
    gateway = localstack.client("apigateway")
    api = gateway.create_rest_api(name="api")
    chosen = gateway.create_rest_api(name="api", tags={"_custom_id_": "chosen"})
    assert gateway.get_rest_api(restApiId=api["id"])["name"] == "api"
    assert chosen["id"] == "chosen"
