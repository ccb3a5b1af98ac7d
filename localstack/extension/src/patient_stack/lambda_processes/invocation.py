"""Invocations and their outcomes, with AWS's messages for failures."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Invocation:
    """One invocation of a function."""

    request_id: str
    function_arn: str
    trace_id: str
    payload: bytes
    client_context: str | None = None
    """The caller's context as JSON text, if there is one."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of an invocation."""

    payload: bytes
    error_type: str | None = None
    """None means success."""
    log_lines: tuple[str, ...] = ()
    """Log lines of the platform about a failure."""
    status: str | None = None
    """The `Status` of the report: None, `error` or `timeout`."""


@dataclass(frozen=True)
class Answer:
    """What the caller of an invocation gets."""

    outcome: Outcome
    log: str
    """The log so far."""
    rest: asyncio.Task[str] | None = None
    """What the environment does after the response, if it has extensions; results in the rest of
    the log. The environment is busy until then.
    """


def _failure(
    error_type: str, message: str, *, log_lines: tuple[str, ...], status: str = "error"
) -> Outcome:
    payload = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    return Outcome(payload, error_type=error_type, log_lines=log_lines, status=status)


def function_error(payload: bytes) -> Outcome:
    """The function reported an error itself, which is returned unchanged."""
    try:
        error_type = json.loads(payload).get("errorType") or "Unhandled"
    except (ValueError, AttributeError):
        error_type = "Unhandled"
    return Outcome(payload, error_type=str(error_type))


def exited(request_id: str, return_code: int) -> Outcome:
    """The process ended before it responded."""
    if return_code == 0:
        reason = "Runtime exited without providing a reason"
    elif return_code > 0:
        reason = f"Runtime exited with error: exit status {return_code}"
    else:
        name = signal.strsignal(-return_code) or f"signal {-return_code}"
        reason = f"Runtime exited with error: signal: {name.lower()}"
    message = f"RequestId: {request_id} Error: {reason}"
    return _failure("Runtime.ExitError", message, log_lines=(message, "Runtime.ExitError"))


def extension_failed(request_id: str, phase: str, reason: str) -> Outcome:
    """An extension reported an error, in the `Init` or the `Exit` phase."""
    message = f"RequestId: {request_id} Error: {reason}"
    error_type = f"Extension.{phase}Error"
    return _failure(error_type, message, log_lines=(message, error_type))


def not_startable(request_id: str, reason: str) -> Outcome:
    """The process could not be started."""
    message = f"RequestId: {request_id} Error: {reason}"
    log_lines = (message, "Runtime.InvalidEntrypoint")
    return _failure("Runtime.InvalidEntrypoint", message, log_lines=log_lines)


def timed_out(request_id: str, seconds: float) -> Outcome:
    """The process did not respond in time."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = f"{now} {request_id} Task timed out after {seconds:.2f} seconds"
    return _failure("Sandbox.Timedout", message, log_lines=(message,), status="timeout")


def too_large(size: int, limit: int) -> Outcome:
    """The response is larger than Lambda allows. Sizes are in bytes."""
    message = (
        f"Response payload size ({size} bytes) exceeded maximum allowed payload size "
        f"({limit} bytes)."
    )
    return _failure("Function.ResponseSizeTooLarge", message, log_lines=(message,))
