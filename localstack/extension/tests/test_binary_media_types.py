"""A file that a function answers with reaches every client byte for byte."""

from __future__ import annotations

import base64

import pytest

from rest_api import RestApi
from sam import deploy, function, upload
from stack import LocalStack, python_function

FILE = b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n"

ANSWER = python_function(
    f"""
shown = {{"body": event["body"], "isBase64Encoded": event["isBase64Encoded"]}}
if event["path"].endswith("/file"):
    return {{"statusCode": 200, "headers": {{"Content-Type": "application/pdf"}},
            "isBase64Encoded": True, "body": "{base64.b64encode(FILE).decode()}"}}
return {{"statusCode": 200, "body": json.dumps(shown)}}
"""
)

ACCEPTED = [
    "application/pdf",
    "*/*",
    "application/json, text/plain, */*",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "application/json",
    None,
]


def api_with(localstack: LocalStack, types: list[str]) -> RestApi:
    """An API with these binary media types."""
    event = {"Type": "Api", "Properties": {"RestApiId": {"Ref": "Api"}}}
    properties = event["Properties"]
    events = {
        name: {**event, "Properties": {**properties, "Path": f"/{name.lower()}", "Method": method}}
        for name, method in [("File", "get"), ("Echo", "post")]
    }
    resources = {
        "Answer": function(upload(localstack, ANSWER), Events=events),
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {"StageName": "test", "BinaryMediaTypes": types},
        },
    }
    return RestApi(localstack, deploy(localstack, resources, ApiId={"Ref": "Api"})["ApiId"])


@pytest.fixture(scope="module")
def everything(localstack: LocalStack) -> RestApi:
    """An API that takes everything for binary."""
    return api_with(localstack, ["*~1*"])


@pytest.mark.parametrize("accepted", ACCEPTED)
def test_a_file_reaches_whoever_asks(everything: RestApi, accepted: str | None) -> None:
    """Whatever the client accepts."""
    answer = everything.call("GET", "/file", headers={"Accept": accepted})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.content == FILE


def test_the_body_of_a_request_is_encoded(everything: RestApi) -> None:
    """As API Gateway does with what is binary; an answer in text stays as it is."""
    answer = everything.call(
        "POST", "/echo", data="{}", headers={"Content-Type": "application/json"}
    )
    assert answer.json() == {"body": "e30=", "isBase64Encoded": True}
    empty = everything.call("POST", "/echo")
    assert empty.json() == {"body": None, "isBase64Encoded": False}


def test_other_types_count_as_before(localstack: LocalStack) -> None:
    """Without the wildcard, it depends on what the client accepts."""
    api = api_with(localstack, ["application~1pdf"])
    answer = api.call("GET", "/file", headers={"Accept": "application/pdf"})
    assert answer.content == FILE
    answer = api.call("GET", "/file", headers={"Accept": "*/*"})
    assert base64.b64decode(answer.content) == FILE
    answer = api.call("POST", "/echo", data="{}", headers={"Content-Type": "application/json"})
    assert answer.json() == {"body": "{}", "isBase64Encoded": False}
