"""Calls a REST API whose authorizer responds as a test specifies."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any

import requests

from stack import LocalStack, python_function

# Responds as its token specifies, so that a test defines an authorizer's response itself. `callId`
# shows whether a response came from the cache, `event` what the function received.
AUTHORIZER = python_function(
    """
import base64, uuid
headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
token = event.get("authorizationToken") or headers.get("authorization")
wanted = json.loads(base64.urlsafe_b64decode(token.removeprefix("Bearer ")))
if "fail" in wanted:
    raise RuntimeError(wanted["fail"])
if "hang" in wanted:
    time.sleep(wanted["hang"])
if "raw" in wanted:
    return wanted["raw"]
statements = json.loads(json.dumps(wanted["statements"]).replace("$METHOD", event["methodArn"]))
document = {"Version": "2012-10-17", "Statement": statements}
known = {"callId": uuid.uuid4().hex, "event": json.dumps(event), **wanted.get("context", {})}
return {"principalId": "the-principal", "policyDocument": document, "context": known}
"""
)

# Returns what the integration received.
BACKEND = python_function(
    """
shown = {"authorizer": event["requestContext"].get("authorizer"), "path": event["path"]}
return {"statusCode": 200, "body": json.dumps(shown)}
"""
)


def token(**wanted: Any) -> str:
    """A token that makes `AUTHORIZER` respond like this."""
    return "Bearer " + base64.urlsafe_b64encode(json.dumps(wanted).encode()).decode()


def allow(*resources: str, **context: Any) -> str:
    """A token that allows invoking these resources; `unique` makes it distinct in the cache."""
    statement = statement_for("Allow", *(resources or ("*",)))
    return token(statements=[statement], context=context, unique=uuid.uuid4().hex)


def statement_for(effect: str, *resources: str, **parts: Any) -> dict[str, Any]:
    """A policy statement for invoking these resources."""
    return {
        "Effect": effect,
        "Action": "execute-api:Invoke",
        "Resource": list(resources),
        **parts,
    }


@dataclass
class RestApi:
    """A deployed API."""

    localstack: LocalStack
    api_id: str
    stage: str = "test"

    @property
    def url(self) -> str:
        """The URL of the stage."""
        return f"{self.localstack.url}/_aws/execute-api/{self.api_id}/{self.stage}"

    def get(self, path: str, authorization: str | None = None, **settings: Any) -> Any:
        """Call a route with GET."""
        return self.call("GET", path, authorization, **settings)

    def call(
        self, method: str, path: str, authorization: str | None = None, **settings: Any
    ) -> requests.Response:
        """Call a route."""
        headers = settings.pop("headers", {})
        if authorization is not None:
            headers = {**headers, "Authorization": authorization}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **settings)


def route(path: str, authorizer: str = "NONE", method: str = "any") -> dict[str, Any]:
    """An event that invokes a function for a path."""
    return {
        "Type": "Api",
        "Properties": {
            "RestApiId": {"Ref": "Api"},
            "Path": path,
            "Method": method,
            "Auth": {"Authorizer": authorizer},
        },
    }
