"""Invokes functions and finds their processes, for the tests of the Lambda executor."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil

from stack import LocalStack, wait_until


@dataclass(frozen=True)
class Answer:
    """The result of an invocation as its caller gets it."""

    payload: Any
    error: str | None
    log: str
    request_id: str

    @property
    def result(self) -> Any:
        """The payload, asserting that the invocation succeeded."""
        assert self.error is None, self
        return self.payload


def invoke(localstack: LocalStack, name: str, event: Any = None, **settings: Any) -> Answer:
    """Invoke the function and wait for its response."""
    response = localstack.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps(event).encode(), LogType="Tail", **settings
    )
    return Answer(
        payload=json.loads(response["Payload"].read() or "null"),
        error=response.get("FunctionError"),
        log=base64.b64decode(response.get("LogResult", "")).decode(),
        request_id=response["ResponseMetadata"]["RequestId"],
    )


def invoke_at_once(localstack: LocalStack, name: str, events: list[Any]) -> list[Answer]:
    """Invoke the function with all events concurrently."""
    with ThreadPoolExecutor(len(events)) as callers:
        return list(callers.map(lambda event: invoke(localstack, name, event), events))


def is_running(pid: int) -> bool:
    """Whether the process is running."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(*pids: int) -> None:
    """Wait until none of the processes is running any more."""
    wait_until(lambda: not any(map(is_running, pids)), f"processes {pids} are gone", seconds=10)
