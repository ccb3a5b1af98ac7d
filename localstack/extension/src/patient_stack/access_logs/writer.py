"""Writes the lines of access logs to CloudWatch Logs, in the background."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import Any

from localstack.aws.connect import connect_to

LOG = logging.getLogger(__name__)

WAITING_LINES = 10_000
"""The most lines in the queue; further lines are lost, with an error in the log."""

LINES_AT_ONCE = 500
"""With lines of up to 2 kB, as many as one call of CloudWatch Logs accepts (1 MB)."""


@dataclass(frozen=True)
class LogStreamPlace:
    """The destination of a line."""

    account_id: str
    region: str
    group: str
    stream: str


@dataclass(frozen=True)
class _Line:
    place: LogStreamPlace
    timestamp: int
    text: str


class AccessLogWriter:
    """A queue, and one thread that empties it."""

    def __init__(self) -> None:
        """Start the thread, which ends with LocalStack."""
        self._waiting: queue.Queue[_Line] = queue.Queue(WAITING_LINES)
        threading.Thread(target=self._run, name="access-logs", daemon=True).start()

    def write(self, place: LogStreamPlace, text: str) -> None:
        """Queue a line without waiting."""
        try:
            self._waiting.put_nowait(_Line(place, int(time.time() * 1000), text))
        except queue.Full:
            LOG.error("A line of an access log is lost: %s are queued", WAITING_LINES)

    def _run(self) -> None:
        while True:
            by_place: dict[LogStreamPlace, list[_Line]] = {}
            for line in self._next_lines():
                by_place.setdefault(line.place, []).append(line)
            for place, lines in by_place.items():
                try:
                    _put(place, lines)
                except Exception as reason:
                    LOG.error("%d lines of an access log are lost: %s", len(lines), reason)

    def _next_lines(self) -> list[_Line]:
        """All queued lines, at least one."""
        lines = [self._waiting.get()]
        while len(lines) < LINES_AT_ONCE:
            try:
                lines.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return lines


def _put(place: LogStreamPlace, lines: list[_Line]) -> None:
    logs = connect_to(aws_access_key_id=place.account_id, region_name=place.region).logs
    stream: dict[str, Any] = {"logGroupName": place.group, "logStreamName": place.stream}
    # Requests that end at the same time may be queued out of order, but one call accepts events
    # only in chronological order.
    lines.sort(key=lambda line: line.timestamp)
    events = [{"timestamp": line.timestamp, "message": line.text} for line in lines]
    try:
        logs.put_log_events(**stream, logEvents=events)
    except logs.exceptions.ResourceNotFoundException:
        logs.create_log_stream(**stream)
        logs.put_log_events(**stream, logEvents=events)
