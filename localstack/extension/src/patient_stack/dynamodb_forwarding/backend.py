"""The dynoxide server: DynamoDB's own protocol over HTTP, with persistent connections."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

# The server has no regions: its ARNs contain its name instead.
NAMELESS_REGION = re.compile(rb"(\"arn:aws:[a-z]+:)dynoxide(:)")

TARGET_PREFIX = "DynamoDB_20120810"


class BackendUnavailable(Exception):
    """The server does not respond; it may come back."""


@dataclass(frozen=True)
class Answer:
    """The server's response to a call."""

    status: int
    body: bytes

    @property
    def error(self) -> str | None:
        """The short name of the exception, or None if the call succeeded."""
        if self.status < 400:
            return None
        return self.parsed.get("__type", "").rpartition("#")[2] or "InternalServerError"

    @property
    def parsed(self) -> dict[str, Any]:
        """The body, which is always JSON."""
        return json.loads(self.body)


class Backend:
    """A thread-safe client of the server."""

    def __init__(self, url: str) -> None:
        """Connects when needed, and reconnects after an outage."""
        self._url = url
        self._connections = urllib3.PoolManager(
            maxsize=64, retries=False, timeout=urllib3.Timeout(connect=2, read=60)
        )

    def forward(self, headers: Mapping[str, str], body: bytes, region: str) -> Answer:
        """Forward a call unchanged; ARNs in the response get this region."""
        wanted = ("Content-Type", "Authorization", "X-Amz-Target", "X-Amz-Date")
        passed = {name: headers[name] for name in wanted if name in headers}
        try:
            response = self._connections.request("POST", self._url, body=body, headers=passed)
        except urllib3.exceptions.HTTPError as error:
            raise BackendUnavailable(
                f"DynamoDB at {self._url} does not respond: {error}"
            ) from error
        body = NAMELESS_REGION.sub(rb"\g<1>" + region.encode() + rb"\g<2>", response.data)
        return Answer(response.status, body)

    def call(self, operation: str, request: Mapping[str, Any], region: str) -> Answer:
        """Make our own call."""
        # The server requires a signature, and accepts any.
        signature = f"AWS4-HMAC-SHA256 Credential=test/20260101/{region}/dynamodb/aws4_request"
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"{TARGET_PREFIX}.{operation}",
            "Authorization": f"{signature}, SignedHeaders=host, Signature=none",
            "X-Amz-Date": "20260101T000000Z",
        }
        return self.forward(headers, json.dumps(request).encode(), region)
