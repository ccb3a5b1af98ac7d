"""The dynoxide server: DynamoDB's own protocol over HTTP, with connections that are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

# The server knows no regions: what its ARNs say in that place is its name.
NAMELESS_REGION = re.compile(rb"(\"arn:aws:[a-z]+:)dynoxide(:)")

TARGET_PREFIX = "DynamoDB_20120810"


class BackendUnavailable(Exception):
    """The server does not answer; it may come back."""


@dataclass(frozen=True)
class Answer:
    """What the server says to one call."""

    status: int
    body: bytes

    @property
    def error(self) -> str | None:
        """The short name of the exception, None if the call succeeded."""
        if self.status < 400:
            return None
        return self.parsed.get("__type", "").rpartition("#")[2] or "InternalServerError"

    @property
    def parsed(self) -> dict[str, Any]:
        """The body, which is JSON in every case."""
        return json.loads(self.body)


class Backend:
    """A client of the server that may be shared by threads."""

    def __init__(self, url: str) -> None:
        """Connect when needed, and again when the server was away."""
        self._url = url
        self._connections = urllib3.PoolManager(
            maxsize=64, retries=False, timeout=urllib3.Timeout(connect=2, read=60)
        )

    def forward(self, headers: Mapping[str, str], body: bytes, region: str) -> Answer:
        """Pass a call on as it came; ARNs in the answer are of this region."""
        wanted = ("Content-Type", "Authorization", "X-Amz-Target", "X-Amz-Date")
        passed = {name: headers[name] for name in wanted if name in headers}
        try:
            response = self._connections.request("POST", self._url, body=body, headers=passed)
        except urllib3.exceptions.HTTPError as error:
            raise BackendUnavailable(f"DynamoDB at {self._url} does not answer: {error}") from error
        body = NAMELESS_REGION.sub(rb"\g<1>" + region.encode() + rb"\g<2>", response.data)
        return Answer(response.status, body)

    def call(self, operation: str, request: Mapping[str, Any], region: str) -> Answer:
        """Make a call of our own."""
        # The server wants a signature, and accepts any.
        signature = f"AWS4-HMAC-SHA256 Credential=test/20260101/{region}/dynamodb/aws4_request"
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"{TARGET_PREFIX}.{operation}",
            "Authorization": f"{signature}, SignedHeaders=host, Signature=none",
            "X-Amz-Date": "20260101T000000Z",
        }
        return self.forward(headers, json.dumps(request).encode(), region)
