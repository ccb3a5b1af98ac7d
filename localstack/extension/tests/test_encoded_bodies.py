"""A compressed body reaches the integration of a REST API unchanged."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
import requests

from rest_api import RestApi
from sam import deploy, function, upload
from stack import LocalStack, python_function

SHOW = python_function(
    """
headers = {name.lower(): value for name, value in event["headers"].items()}
shown = {"encoding": headers.get("content-encoding"), "body": event["body"],
         "isBase64Encoded": event["isBase64Encoded"]}
return {"statusCode": 200, "body": json.dumps(shown)}
"""
)


@pytest.fixture(scope="module")
def api(localstack: LocalStack) -> RestApi:
    """An API that returns what its function received."""
    show = {
        "Type": "Api",
        "Properties": {"RestApiId": {"Ref": "Api"}, "Path": "/show", "Method": "post"},
    }
    resources = {
        "Show": function(upload(localstack, SHOW), Events={"Show": show}),
        "Api": {"Type": "AWS::Serverless::Api", "Properties": {"StageName": "test"}},
    }
    return RestApi(localstack, deploy(localstack, resources, ApiId={"Ref": "Api"})["ApiId"])


def test_an_uncompressed_body_with_the_header_is_not_a_server_error(api: RestApi) -> None:
    """Whether it can be decompressed is for the function to decide."""
    answer = api.call("POST", "/show", data=b"{}", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"encoding": "gzip", "body": "{}", "isBase64Encoded": False}


def test_a_compressed_body_is_not_decompressed(api: RestApi) -> None:
    """API Gateway decompresses nothing unless it is configured to."""
    packed = gzip.compress(json.dumps({"a": 1}).encode())
    answer = api.call("POST", "/show", data=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["encoding"] == "gzip"
    assert shown["isBase64Encoded"] is True
    assert base64.b64decode(shown["body"]) == packed


def test_bodies_for_aws_services_are_still_decompressed(localstack: LocalStack) -> None:
    """AWS's own services do that themselves."""
    answer = requests.post(
        localstack.url,
        data=gzip.compress(b"{}"),
        headers={
            "Content-Encoding": "gzip",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "AmazonSQS.ListQueues",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/sqs/"
            "aws4_request, SignedHeaders=host, Signature=none",
        },
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
