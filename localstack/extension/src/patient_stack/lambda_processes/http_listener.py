"""An HTTP listener for one process of a function.

Every process has its own listener, so requests need no threads: h11 parses them (keep-alive,
chunked bodies), and they are passed to a handler.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import h11


@dataclass(frozen=True)
class Request:
    """A request of the process."""

    method: str
    path: str
    body: bytes
    _headers: h11.Headers

    def header(self, name: str) -> str:
        """The value of a header; empty if it is missing."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self._headers if key == wanted), "")


@dataclass(frozen=True)
class Response:
    """A response with a JSON document."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Later:
    """A response that follows once something has happened.

    If the connection is lost before that, the future is cancelled; if the future is cancelled, the
    connection is closed.
    """

    awaited: asyncio.Future[Any]
    response: Callable[[Any], Response]


Handler = Callable[[Request], Response | Later]


def accepted() -> Response:
    """The response to a report."""
    return Response(202, b'{"status":"OK"}')


def refused(status: int, error_type: str, message: str) -> Response:
    """An error, in the form of AWS's APIs for runtimes and extensions."""
    problem = {"errorType": error_type, "errorMessage": message}
    return Response(status, json.dumps(problem).encode())


async def listen(handler: Handler) -> asyncio.Server:
    """Listen for the process on its own port."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Connection(handler), "127.0.0.1", 0)


class _Connection(asyncio.Protocol):
    """A connection of the process: HTTP in, calls of the handler out."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._http = h11.Connection(h11.SERVER)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._awaited: asyncio.Future[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        # A poll whose connection is lost must not consume the next invocation.
        if self._awaited is not None:
            self._awaited.cancel()

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
            self._answer(self._request)
        else:  # paused until the current request is answered, or closed
            return False
        return True

    def _answer(self, head: h11.Request) -> None:
        method, path = head.method.decode(), head.target.decode()
        answer = self._handler(Request(method, path, bytes(self._body), head.headers))
        if isinstance(answer, Response):
            self._send(answer)
            return
        self._awaited = answer.awaited
        self._awaited.add_done_callback(lambda awaited: self._hand_over(awaited, answer.response))

    def _hand_over(
        self, awaited: asyncio.Future[Any], response: Callable[[Any], Response]
    ) -> None:
        self._awaited = None
        if awaited.cancelled():
            self._transport.close()
        else:
            self._send(response(awaited.result()))

    def _send(self, response: Response) -> None:
        head = {
            "Content-Type": "application/json",
            "Content-Length": str(len(response.body)),
            **response.headers,
        }
        send = self._http.send
        self._transport.write(
            send(h11.Response(status_code=response.status, headers=list(head.items())))
            + send(h11.Data(data=response.body))
            + send(h11.EndOfMessage())
        )
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
            return
        self._http.start_next_cycle()
        self._advance()
