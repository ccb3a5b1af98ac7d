"""The HTTP side of the Lambda Runtime API, for one process of a function.

Every process has its own listener, so requests need no routing and no threads: h11 parses them
(keep-alive, chunked bodies), and they are passed to the `Runtime`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Protocol

import h11

from patient_stack.lambda_processes.invocation import Invocation

PREFIX = "/2018-06-01/runtime/"


class Runtime(Protocol):
    """The requests of a function's process."""

    def poll(self) -> asyncio.Future[tuple[Invocation, float]]:
        """Get the next invocation, with its deadline in seconds since the epoch."""

    def respond(self, request_id: str, payload: bytes) -> bool:
        """Respond to the invocation; False if it is not the current one."""

    def fail(self, request_id: str, payload: bytes) -> bool:
        """Respond to the invocation with an error; False if it is not the current one."""

    def fail_init(self, payload: bytes) -> None:
        """Report that the function cannot be initialized."""


async def serve(runtime: Runtime) -> asyncio.Server:
    """Listen for the process on its own port."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Connection(runtime), "127.0.0.1", 0)


class _Connection(asyncio.Protocol):
    """A connection of the process: HTTP in, calls of `Runtime` out."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._http = h11.Connection(h11.SERVER)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._polling: asyncio.Future[tuple[Invocation, float]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        # A poll whose connection is lost must not consume the next invocation.
        if self._polling is not None:
            self._polling.cancel()

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._advance()

    def _advance(self) -> None:
        try:
            while self._take(self._http.next_event()):
                pass
        except h11.RemoteProtocolError:
            self._transport.close()

    def _take(self, event: h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]) -> bool:
        """Process one event; False if there is nothing more to do for now."""
        if event is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                self._transport.write(self._http.send(go_on))
            return False
        if isinstance(event, h11.Request):
            self._request, self._body = event, bytearray()
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self._answer(self._request.method.decode(), self._request.target.decode())
        else:  # paused until the current request is answered, or closed
            return False
        return True

    def _answer(self, method: str, target: str) -> None:
        payload = bytes(self._body)
        match method, target.removeprefix(PREFIX).split("/"):
            case "GET", ["invocation", "next"]:
                self._polling = self._runtime.poll()
                self._polling.add_done_callback(self._hand_over)
            case "POST", ["invocation", request_id, "response"]:
                self._accept(self._runtime.respond(request_id, payload))
            case "POST", ["invocation", request_id, "error"]:
                self._accept(self._runtime.fail(request_id, payload))
            case "POST", ["init", "error"]:
                self._runtime.fail_init(payload)
                self._accept(True)
            case _:
                self._refuse(404, "NotFound", f"no {method} {target} in the Runtime API")

    def _hand_over(self, polling: asyncio.Future[tuple[Invocation, float]]) -> None:
        self._polling = None
        if polling.cancelled():
            self._transport.close()
            return
        invocation, deadline = polling.result()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        if invocation.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        self._send(200, invocation.payload, headers)

    def _accept(self, accepted: bool) -> None:
        if accepted:
            self._send(202, b'{"status":"OK"}')
        else:
            self._refuse(400, "InvalidRequestID", "Invalid request ID")

    def _refuse(self, status: int, error_type: str, message: str) -> None:
        problem = {"errorType": error_type, "errorMessage": message}
        self._send(status, json.dumps(problem).encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        head = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        send = self._http.send
        self._transport.write(
            send(h11.Response(status_code=status, headers=list(head.items())))
            + send(h11.Data(data=body))
            + send(h11.EndOfMessage())
        )
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
            return
        self._http.start_next_cycle()
        self._advance()
