"""Records, and the event in which a function receives them."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TIMESTAMP_TYPES = {1: "CREATE_TIME", 2: "LOG_APPEND_TIME"}


@dataclass(frozen=True)
class Record:
    """A record as it was read.

    Attributes:
        timestamp: milliseconds since 1970.
        arrived: when it was read, in seconds of the monotonic clock.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    arrived: float

    @property
    def topic_partition(self) -> str:
        """The partition's name in events and responses."""
        return f"{self.topic}-{self.partition}"

    def event_size(self) -> int:
        """The approximate size of the record in an event, in bytes."""
        content = len(self.key or b"") + len(self.value or b"")
        headers = sum(len(name) + 5 * len(value or b"") for name, value in self.headers)
        return 200 + content * 4 // 3 + headers

    def as_event(self) -> dict[str, Any]:
        """The record in the form that Lambda uses."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp,
            "timestampType": self.timestamp_type,
            "key": _base64(self.key),
            "value": _base64(self.value),
            "headers": [{name: _signed_bytes(value)} for name, value in self.headers],
        }


@dataclass(frozen=True)
class Source:
    """The cluster that records come from."""

    bootstrap_servers: str
    cluster_arn: str | None = None

    def event(self, records: Sequence[Record]) -> dict[str, Any]:
        """The event with these records, grouped by partition in order."""
        groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for record in records:
            groups[record.topic_partition].append(record.as_event())
        event = {
            "eventSource": "aws:kafka" if self.cluster_arn else "SelfManagedKafka",
            "bootstrapServers": self.bootstrap_servers,
            "records": dict(groups),
        }
        return {**event, "eventSourceArn": self.cluster_arn} if self.cluster_arn else event


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _signed_bytes(content: bytes | None) -> list[int]:
    """Lambda represents bytes as in Java, signed."""
    return [byte - 256 if byte > 127 else byte for byte in content or b""]
