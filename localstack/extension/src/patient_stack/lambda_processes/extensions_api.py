"""The requests of the Lambda Extensions API, for internal extensions."""

from __future__ import annotations

import json
import uuid

from patient_stack.lambda_processes.extensions import Event, Extensions, Refused
from patient_stack.lambda_processes.http_listener import (
    Later,
    Request,
    Response,
    accepted,
    refused,
)
from patient_stack.lambda_processes.settings import FunctionSettings

PREFIX = "/2020-01-01/extension/"

IDENTIFIER = "Lambda-Extension-Identifier"

ERROR_TYPE = "Lambda-Extension-Function-Error-Type"


def answer(
    extensions: Extensions, settings: FunctionSettings, request: Request
) -> Response | Later:
    """Answer a request of an extension."""
    identifier = request.header(IDENTIFIER)
    try:
        match request.method, request.path.removeprefix(PREFIX):
            case "POST", "register":
                return _register(extensions, settings, request)
            case "GET", "event/next":
                headers = {IDENTIFIER: identifier}
                return Later(extensions.poll(identifier), lambda event: _event(event, headers))
            case "POST", "init/error":
                extensions.fail_init(identifier, _reason(request))
                return accepted()
            case "POST", "exit/error":
                extensions.fail(identifier, _reason(request))
                return accepted()
    except Refused as refusal:
        return refused(403, refusal.error_type, str(refusal))
    message = f"no {request.method} {request.path} in the Extensions API"
    return refused(404, "NotFound", message)


def _register(extensions: Extensions, settings: FunctionSettings, request: Request) -> Response:
    extension = extensions.register(request.header("Lambda-Extension-Name"), _events(request.body))
    function = {
        "functionName": settings.name,
        "functionVersion": settings.version,
        "handler": settings.handler,
    }
    features = request.header("Lambda-Extension-Accept-Feature").split(",")
    if "accountId" in (feature.strip() for feature in features):
        function["accountId"] = settings.account_id
    return Response(200, json.dumps(function).encode(), {IDENTIFIER: extension.identifier})


def _events(body: bytes) -> list[str]:
    try:
        events = json.loads(body).get("events") or []
    except (ValueError, AttributeError) as error:
        raise Refused("InvalidRequestFormat", str(error)) from error
    if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
        raise Refused("InvalidRequestFormat", "events is not an array of strings")
    return events


def _event(event: Event, headers: dict[str, str]) -> Response:
    unique = {"Lambda-Extension-Event-Identifier": str(uuid.uuid4())}
    return Response(200, json.dumps(event).encode(), {**headers, **unique})


def _reason(request: Request) -> str:
    error_type = request.header(ERROR_TYPE)
    if not error_type:
        raise Refused("Extension.MissingHeader", f"{ERROR_TYPE} not found")
    try:
        message = json.loads(request.body).get("errorMessage")
    except (ValueError, AttributeError):
        message = None
    return f"{error_type}: {message}" if message else error_type
