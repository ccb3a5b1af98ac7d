"""One partition's records on their way to the function: in order, one batch at a time.

A lane never blocks. Its owner calls `advance` repeatedly, and learns the partition's progress.
Invocations run on their own threads, so that partitions do not hold each other up.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from patient_stack.kafka_event_sources.event import Record
from patient_stack.kafka_event_sources.failure_destination import Discard
from patient_stack.kafka_event_sources.outcome import (
    Delivered,
    DeliveredUpTo,
    FunctionFailed,
    NotAttempted,
    Outcome,
    TooLarge,
)
from patient_stack.kafka_event_sources.settings import MappingSettings, RetryPolicy

LOG = logging.getLogger(__name__)

# Leaves room for the rest of the event.
MAXIMUM_BATCH_BYTES = 5_500_000
FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 10.0
BUSY_WAIT_SECONDS = 0.01
IDLE_WAIT_SECONDS = 0.2

Invoke = Callable[[Sequence[Record]], Outcome]
GiveUp = Callable[[Sequence[Record], Discard], Outcome]


@dataclass(frozen=True)
class Batch:
    """Records that are sent to the function together.

    Attributes:
        invocations: how often the function failed with them.
        setbacks: how often anything failed since the last progress; determines the next delay.
        due: when to try, in seconds of the monotonic clock.
        failure: the function's last failure.
        discard: set once the batch is discarded and only has to be reported to the destination.
    """

    records: tuple[Record, ...]
    invocations: int = 0
    setbacks: int = 0
    due: float = 0.0
    failure: FunctionFailed | None = None
    discard: Discard | None = None

    @property
    def next_offset(self) -> int:
        """The offset to continue from once the batch is finished."""
        return self.records[-1].offset + 1

    def delayed(self, now: float) -> Batch:
        """The batch, due for a retry with a growing, randomised delay."""
        longest = min(FIRST_RETRY_SECONDS * 2**self.setbacks, LONGEST_RETRY_SECONDS)
        delay = longest * random.uniform(0.5, 1)
        return replace(self, setbacks=self.setbacks + 1, due=now + delay)

    def halves(self) -> tuple[Batch, Batch]:
        """The batch split in two, to be processed one after the other."""
        middle = len(self.records) // 2
        return (
            replace(self, records=self.records[:middle]),
            replace(self, records=self.records[middle:]),
        )


class Attempt:
    """Work on its own thread, which does not delay the end of the process."""

    def __init__(self, work: Callable[[], Outcome]) -> None:
        """Start the work."""
        self.outcome: Outcome | None = None
        self._work = work
        threading.Thread(target=self._run, name="kafka-batch", daemon=True).start()

    def _run(self) -> None:
        try:
            self.outcome = self._work()
        except Exception as reason:
            LOG.exception("An attempt to deliver a batch raised an exception")
            self.outcome = NotAttempted(repr(reason))


class Lane:
    """The unfinished records of one partition."""

    def __init__(
        self,
        settings: MappingSettings,
        invoke: Invoke,
        give_up: GiveUp,
        on_result: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start empty; `on_result` is told whether an attempt succeeded."""
        self._settings = settings
        self._invoke = invoke
        self._give_up = give_up
        self._on_result = on_result
        self._clock = clock
        self._waiting: deque[Record] = deque()
        self._waiting_bytes = 0
        self._batches: deque[Batch] = deque()
        self._batch: Batch | None = None
        self._attempt: Attempt | None = None
        self._done_up_to: int | None = None

    @property
    def is_attempting(self) -> bool:
        """Whether a batch is being delivered to the function or the destination."""
        return self._attempt is not None

    @property
    def is_full(self) -> bool:
        """Whether enough has been read ahead."""
        return (
            len(self._waiting) >= 2 * self._settings.batch_size
            or self._waiting_bytes >= MAXIMUM_BATCH_BYTES
        )

    def add(self, record: Record) -> None:
        """Add the partition's next record."""
        self._waiting.append(record)
        self._waiting_bytes += record.event_size()

    def advance(self, *, starts_more: bool = True) -> int | None:
        """Do what can be done now; return the offset to commit if it has changed."""
        before = self._done_up_to
        if self._attempt is not None and self._attempt.outcome is not None:
            batch, outcome = self._batch, self._attempt.outcome
            self._batch = self._attempt = None
            self._finish(batch, outcome)
        if starts_more and self._attempt is None:
            self._start_next()
        return self._done_up_to if self._done_up_to != before else None

    def seconds_to_wait(self) -> float:
        """How long nothing will happen unless a record arrives."""
        if self.is_attempting:
            return BUSY_WAIT_SECONDS
        if self._batches:
            due = self._batches[0].due
        elif self._waiting:
            due = self._waiting[0].arrived + self._settings.batching_window_seconds
        else:
            return IDLE_WAIT_SECONDS
        return min(max(due - self._clock(), 0), IDLE_WAIT_SECONDS)

    def _start_next(self) -> None:
        if not self._batches and self._is_batch_ready():
            self._batches.append(Batch(self._take()))
        if not self._batches or self._batches[0].due > self._clock():
            return
        batch = self._batches.popleft()
        if batch.discard is None:
            batch = self._without_expired(batch)
        if batch is None:
            return
        self._batch = batch
        records, discard = batch.records, batch.discard
        if discard is None:
            self._attempt = Attempt(lambda: self._invoke(records))
        else:
            self._attempt = Attempt(lambda: self._give_up(records, discard))

    def _is_batch_ready(self) -> bool:
        if not self._waiting:
            return False
        window_ends = self._waiting[0].arrived + self._settings.batching_window_seconds
        return self._is_batch_full() or self._clock() >= window_ends

    def _is_batch_full(self) -> bool:
        return (
            len(self._waiting) >= self._settings.batch_size
            or self._waiting_bytes >= MAXIMUM_BATCH_BYTES
        )

    def _take(self) -> tuple[Record, ...]:
        records: list[Record] = []
        size = 0
        while self._waiting and len(records) < self._settings.batch_size:
            size += self._waiting[0].event_size()
            if records and size > MAXIMUM_BATCH_BYTES:
                break
            records.append(self._waiting.popleft())
        self._waiting_bytes -= sum(record.event_size() for record in records)
        return tuple(records)

    def _without_expired(self, batch: Batch) -> Batch | None:
        """The part of the batch that is not too old; the rest is discarded first."""
        maximum_age = self._policy.maximum_age_seconds
        if maximum_age is None:
            return batch
        oldest = (time.time() - maximum_age) * 1000
        expired = tuple(record for record in batch.records if record.timestamp < oldest)
        if not expired:
            return batch
        rest = tuple(record for record in batch.records if record.timestamp >= oldest)
        if rest:
            self._batches.appendleft(replace(batch, records=rest))
        self._discard(replace(batch, records=expired), "RecordAgeExceeded")
        return None

    def _finish(self, batch: Batch, outcome: Outcome) -> None:
        if batch.discard is None:
            self._on_result(isinstance(outcome, Delivered))
        match outcome:
            case Delivered():
                self._done_up_to = batch.next_offset
            case DeliveredUpTo(first_failed_offset):
                self._retry_from(batch, first_failed_offset)
            case FunctionFailed():
                self._retry(replace(batch, invocations=batch.invocations + 1, failure=outcome))
            case TooLarge() if len(batch.records) > 1:
                self._batches.extendleft(reversed(batch.halves()))
            case TooLarge():
                self._discard(batch, "MaximumPayloadSizeExceeded")
            case NotAttempted(reason):
                self._warn_once(batch, f"has to wait: {reason}")
                self._batches.appendleft(batch.delayed(self._clock()))

    def _retry_from(self, batch: Batch, first_failed_offset: int) -> None:
        """Continue after the records that succeeded: that is progress, so counting restarts."""
        rest = tuple(record for record in batch.records if record.offset >= first_failed_offset)
        if len(rest) == len(batch.records):
            self._retry(replace(batch, invocations=batch.invocations + 1))
            return
        self._done_up_to = rest[0].offset
        self._retry(Batch(rest, invocations=1))

    def _retry(self, batch: Batch) -> None:
        limit = self._policy.maximum_retries
        if limit is not None and batch.invocations > limit:
            self._discard(batch, "RetryAttemptsExhausted")
            return
        self._warn_once(batch, "failed and will be retried")
        later = batch.delayed(self._clock())
        if self._policy.splits_batches and len(batch.records) > 1:
            # A split does not count as a retry: it isolates the failing record.
            halves = replace(later, invocations=batch.invocations - 1).halves()
            self._batches.extendleft(reversed(halves))
        else:
            self._batches.appendleft(later)

    def _discard(self, batch: Batch, condition: str) -> None:
        self._warn(batch, f"is discarded: {condition}")
        if self._settings.failure_destination is None:
            self._done_up_to = batch.next_offset
            return
        discard = Discard(condition, batch.invocations, batch.failure)
        self._batches.appendleft(replace(batch, discard=discard, due=0.0, setbacks=0))

    def _warn_once(self, batch: Batch, what: str) -> None:
        """Warn, but not again until there was progress."""
        if batch.setbacks == 0:
            self._warn(batch, what)

    def _warn(self, batch: Batch, what: str) -> None:
        first = batch.records[0]
        LOG.warning(
            "A batch of %d from %s offset %d for %s %s",
            len(batch.records),
            first.topic_partition,
            first.offset,
            self._settings.function_arn,
            what,
        )

    @property
    def _policy(self) -> RetryPolicy:
        return self._settings.retry
