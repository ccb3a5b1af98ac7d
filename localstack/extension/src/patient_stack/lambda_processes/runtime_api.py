"""The requests of the Lambda Runtime API."""

from __future__ import annotations

import asyncio
from typing import Protocol

from patient_stack.lambda_processes.http_listener import (
    Later,
    Request,
    Response,
    accepted,
    refused,
)
from patient_stack.lambda_processes.invocation import Invocation

PREFIX = "/2018-06-01/runtime/"


class Runtime(Protocol):
    """What a function's process asks for and reports."""

    def poll(self) -> asyncio.Future[tuple[Invocation, float]]:
        """Get the next invocation, with its deadline in seconds since the epoch."""

    def respond(self, request_id: str, payload: bytes) -> bool:
        """Respond to the invocation; False if it is not the current one."""

    def fail(self, request_id: str, payload: bytes) -> bool:
        """Respond to the invocation with an error; False if it is not the current one."""

    def fail_init(self, payload: bytes) -> None:
        """Report that the function cannot be initialized."""


def answer(runtime: Runtime, request: Request) -> Response | Later:
    """Answer a request of the process."""
    match request.method, request.path.removeprefix(PREFIX).split("/"):
        case "GET", ["invocation", "next"]:
            return Later(runtime.poll(), _invocation)
        case "POST", ["invocation", request_id, "response"]:
            return _receipt(runtime.respond(request_id, request.body))
        case "POST", ["invocation", request_id, "error"]:
            return _receipt(runtime.fail(request_id, request.body))
        case "POST", ["init", "error"]:
            runtime.fail_init(request.body)
            return accepted()
    message = f"no {request.method} {request.path} in the Runtime API"
    return refused(404, "NotFound", message)


def _invocation(polled: tuple[Invocation, float]) -> Response:
    invocation, deadline = polled
    headers = {
        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
        "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
        "Lambda-Runtime-Trace-Id": invocation.trace_id,
    }
    if invocation.client_context is not None:
        headers["Lambda-Runtime-Client-Context"] = invocation.client_context
    return Response(200, invocation.payload, headers)


def _receipt(accepts: bool) -> Response:
    return accepted() if accepts else refused(400, "InvalidRequestID", "Invalid request ID")
