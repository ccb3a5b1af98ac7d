"""Moves the records of one mapping from its partitions through lanes to the function."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from botocore.client import BaseClient
from localstack.services.lambda_.event_source_mapping.esm_event_processor import EsmEventProcessor
from localstack.services.lambda_.event_source_mapping.pollers.poller import Poller

from patient_stack.kafka_event_sources.access import AccessProblem, client_settings
from patient_stack.kafka_event_sources.cluster import ClusterNotFound, find_source
from patient_stack.kafka_event_sources.event import Record, Source
from patient_stack.kafka_event_sources.failure_destination import Discard, FailureDestination
from patient_stack.kafka_event_sources.invocation import Function
from patient_stack.kafka_event_sources.lane import IDLE_WAIT_SECONDS, Lane
from patient_stack.kafka_event_sources.outcome import Outcome
from patient_stack.kafka_event_sources.reader import CONNECTION_FAILED, PartitionReader
from patient_stack.kafka_event_sources.settings import NO_RECORDS_PROCESSED, MappingSettings

LOG = logging.getLogger(__name__)

SUCCESS = "OK"
FUNCTION_FAILED = "PROBLEM: Function call failed"
ERROR_WAIT_SECONDS = 1.0
CLOSING_WAIT_SECONDS = 0.02


@dataclass
class Connection:
    """A connected cluster."""

    source: Source
    reader: PartitionReader


class KafkaPoller(Poller):
    """LocalStack's poller for a Kafka mapping: one call of `poll_events` is one short round."""

    def __init__(
        self, settings: MappingSettings, kafka_api: BaseClient | None, processor: EsmEventProcessor
    ) -> None:
        """Prepare to read; `processor` is what LocalStack would invoke the function with."""
        super().__init__(source_arn=None, processor=processor)
        self.source_arn = settings.cluster_arn
        self._settings = settings
        self._kafka_api = kafka_api
        self._function = Function(
            client=processor.sender.target_client,
            arn=settings.function_arn,
            reports_item_failures=settings.reports_item_failures,
            filters=settings.filters,
        )
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._connection: Connection | None = None
        self._cluster_is_known = True
        self._access_problem: str | None = None
        self._last_invocation = NO_RECORDS_PROCESSED
        self.abandons_attempts = False

    @property
    def last_processing_result(self) -> str:
        """What GetEventSourceMapping reports about the last round."""
        if not self._cluster_is_known:
            return CONNECTION_FAILED
        if self._access_problem:
            return self._access_problem
        trouble = self._connection.reader.trouble if self._connection else None
        return trouble or self._last_invocation

    def event_source(self) -> str:
        """The name in the events."""
        return "aws:kafka" if self._settings.cluster_arn else "SelfManagedKafka"

    def poll_events(self) -> None:
        """Read what has arrived and advance every lane. Never raises."""
        try:
            self._poll()
        except ClusterNotFound as reason:
            if self._cluster_is_known:
                LOG.warning("The mapping %s has to wait: %s", self._settings.uuid, reason)
            self._cluster_is_known = False
            time.sleep(ERROR_WAIT_SECONDS)
        except AccessProblem as problem:
            if self._access_problem != str(problem):
                LOG.warning("The mapping %s has to wait: %s", self._settings.uuid, problem)
            self._access_problem = str(problem)
            time.sleep(ERROR_WAIT_SECONDS)
        except Exception:
            LOG.exception("A round of the mapping %s failed", self._settings.uuid)
            time.sleep(ERROR_WAIT_SECONDS)

    def close(self) -> None:
        """Let current attempts finish, commit what was done, and disconnect."""
        try:
            while not self.abandons_attempts and self._lanes_attempting():
                self._advance(starts_more=False)
                time.sleep(CLOSING_WAIT_SECONDS)
            if self._connection:
                self._connection.reader.close()
        except Exception:
            LOG.exception("The mapping %s did not close cleanly", self._settings.uuid)

    def _poll(self) -> None:
        if self._connection is None:
            source = find_source(self._settings, self._kafka_api)
            access = client_settings(self._settings)
            reader = PartitionReader(self._settings, source.bootstrap_servers, access)
            self._connection = Connection(source, reader)
            self._cluster_is_known = True
            self._access_problem = None
        reader = self._connection.reader
        waits = (lane.seconds_to_wait() for lane in self._lanes.values())
        for record in reader.read(min(waits, default=IDLE_WAIT_SECONDS)):
            self._lane(record.topic, record.partition).add(record)
        self._advance()
        reader.hold({partition for partition, lane in self._lanes.items() if lane.is_full})

    def _advance(self, *, starts_more: bool = True) -> None:
        if self.abandons_attempts:
            # Functions are being killed: their outcomes say nothing about their records.
            return
        for (topic, partition), lane in self._lanes.items():
            offset = lane.advance(starts_more=starts_more)
            if offset is not None:
                self._connection.reader.store(topic, partition, offset)

    def _lanes_attempting(self) -> bool:
        return any(lane.is_attempting for lane in self._lanes.values())

    def _lane(self, topic: str, partition: int) -> Lane:
        key = (topic, partition)
        if key not in self._lanes:
            self._lanes[key] = Lane(self._settings, self._invoke, self._give_up, self._note_result)
        return self._lanes[key]

    def _note_result(self, is_success: bool) -> None:
        self._last_invocation = SUCCESS if is_success else FUNCTION_FAILED

    def _invoke(self, records: Sequence[Record]) -> Outcome:
        return self._function.invoke(self._connection.source, records)

    def _give_up(self, records: Sequence[Record], discard: Discard) -> Outcome:
        destination = FailureDestination(
            arn=self._settings.failure_destination,
            mapping_uuid=self._settings.uuid,
            function_arn=self._settings.function_arn,
        )
        return destination.send(self._connection.source, records, discard)
