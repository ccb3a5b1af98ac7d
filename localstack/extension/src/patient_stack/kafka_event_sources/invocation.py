"""Invokes the function with a batch and determines the outcome."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.client import BaseClient
from localstack.utils.event_matcher import matches_event

from patient_stack.kafka_event_sources.event import Record, Source
from patient_stack.kafka_event_sources.outcome import (
    Delivered,
    DeliveredUpTo,
    FunctionFailed,
    NotAttempted,
    Outcome,
    TooLarge,
)

LOG = logging.getLogger(__name__)

MAXIMUM_EVENT_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class Function:
    """The function behind a mapping."""

    client: BaseClient
    arn: str
    reports_item_failures: bool
    filters: tuple[str, ...] = ()

    def invoke(self, source: Source, records: Sequence[Record]) -> Outcome:
        """Invoke the function with records of one partition and wait for its response."""
        records = [record for record in records if self._wants(record)]
        if not records:
            return Delivered()
        event = json.dumps(source.event(records)).encode()
        if len(event) > MAXIMUM_EVENT_BYTES:
            return TooLarge()
        try:
            result = self.client.invoke(FunctionName=self.arn, Payload=event)
            answer = result["Payload"].read()
        except Exception as reason:
            return NotAttempted(str(reason))
        failure = FunctionFailed(
            request_id=result["ResponseMetadata"].get("RequestId"),
            status_code=result["StatusCode"],
            executed_version=result.get("ExecutedVersion", "$LATEST"),
            function_error=result.get("FunctionError"),
        )
        if failure.function_error:
            return failure
        if not self.reports_item_failures:
            return Delivered()
        return _partial_outcome(answer, records, failure)

    def _wants(self, record: Record) -> bool:
        if not self.filters:
            return True
        event = {**record.as_event(), "value": _readable(record.value)}
        return any(matches_event(pattern, event) for pattern in self.filters)


def _readable(value: bytes | None) -> Any:
    """A record's value as filters see it: JSON if it is valid JSON, otherwise text."""
    text = (value or b"").decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _partial_outcome(answer: bytes, records: Sequence[Record], failure: FunctionFailed) -> Outcome:
    """Read a report of failed records; an invalid one fails the whole batch."""
    try:
        failed = [_failed_offset(item, records) for item in _reported_items(answer)]
    except (ValueError, TypeError, KeyError, AttributeError) as reason:
        LOG.warning("A report of failed records could not be read: %r", reason)
        return failure
    return DeliveredUpTo(min(failed)) if failed else Delivered()


def _reported_items(answer: bytes) -> list[Any]:
    report = json.loads(answer or b"null")
    return (report or {}).get("batchItemFailures") or []


def _failed_offset(item: dict[str, Any], records: Sequence[Record]) -> int:
    identifier = item["itemIdentifier"]
    # The documentation used this name for the same thing for a while.
    partition = identifier.get("partition", identifier.get("topic-partition"))
    for record in records:
        if (record.topic_partition, record.offset) == (partition, identifier["offset"]):
            return record.offset
    raise ValueError(f"{identifier} is not in the batch")
