"""Reads the records of a mapping's topics and keeps its consumer group's offsets.

The reader assigns itself all partitions instead of joining the group. On AWS, a group may belong to
only one mapping, so there is nobody to share with, and a mapping that starts, changes or comes back
after a crash neither waits for a rebalance nor gets records in two places.
"""

from __future__ import annotations

import logging
import threading
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from patient_stack.kafka_event_sources.event import TIMESTAMP_TYPES, Record
from patient_stack.kafka_event_sources.settings import MappingSettings

LOG = logging.getLogger(__name__)
# While a broker is down, the client logs a line for each attempt to reach it.
CLIENT_LOG = logging.getLogger(f"{__name__}.client")
CLIENT_LOG.setLevel(logging.CRITICAL)

CONNECTION_FAILED = (
    "PROBLEM: Connection error. Please check your event source connection configuration."
)
# https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-troubleshoot.html
REFUSALS = {
    KafkaError._AUTHENTICATION: "PROBLEM: SASL authentication failed.",
    KafkaError._SSL: "PROBLEM: Lambda failed to authenticate server.",
}
RECORDS_PER_ROUND = 1000
CALL_SECONDS = 3.0
LOOK_SECONDS = 1.0
CLOSING_SECONDS = 1.0
DISCOVERY_SECONDS = 5.0
DISCOVERY_SECONDS_WITH_TROUBLE = 0.5


class PartitionReader:
    """A consumer of all partitions of a mapping's topics.

    `trouble` says what keeps it from reading, in the form of AWS's processing results.
    """

    def __init__(
        self, settings: MappingSettings, bootstrap_servers: str, access: dict[str, str]
    ) -> None:
        """Open the consumer, with these settings for its access; it connects and reconnects by
        itself.
        """
        self._settings = settings
        self._bootstrap_servers = bootstrap_servers
        self._assigned: set[tuple[str, int]] = set()
        self._paused: set[tuple[str, int]] = set()
        self._has_looked = False
        self._next_discovery = 0.0
        self._refusal: str | None = None
        self.trouble: str | None = None
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                **access,
                "group.id": settings.group_id,
                "client.id": f"event-source-mapping-{settings.uuid}",
                # Only offsets passed to `store` are committed, soon afterwards and at the end.
                "enable.auto.commit": True,
                "auto.commit.interval.ms": 100,
                "enable.auto.offset.store": False,
                # For a committed offset that no longer exists: what is still there must not be
                # skipped.
                "auto.offset.reset": "earliest",
                # The broker looks for records at half of this interval, and ever more often towards
                # its end: a record is up to 200 ms late. Half of this value costs an idle broker
                # more than twice the work.
                "fetch.wait.max.ms": 400,
                "fetch.error.backoff.ms": 100,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 10_000,
                "queued.max.messages.kbytes": 16_384,
                "log.connection.close": False,
                "error_cb": self._on_error,
            },
            logger=CLIENT_LOG,
        )

    def read(self, seconds: float) -> list[Record]:
        """The records that have arrived; waits this long for the first one."""
        self._discover_when_due()
        first = self._consumer.poll(seconds)
        if first is None:
            return []
        arrived = time.monotonic()
        messages = [first, *self._consumer.consume(RECORDS_PER_ROUND, 0)]
        return [_record(message, arrived) for message in messages if self._is_record(message)]

    def store(self, topic: str, partition: int, offset: int) -> None:
        """Set the group's offset to continue from."""
        self._consumer.store_offsets(offsets=[TopicPartition(topic, partition, offset)])

    def hold(self, full: set[tuple[str, int]]) -> None:
        """Pause these partitions, and resume all others."""
        pause, resume = full - self._paused, self._paused - full
        if pause:
            self._consumer.pause([TopicPartition(*partition) for partition in pause])
        if resume:
            self._consumer.resume([TopicPartition(*partition) for partition in resume])
        self._paused = set(full)

    def close(self) -> None:
        """Commit the stored offsets and disconnect, without waiting for a broker that is gone."""
        closing = threading.Thread(target=self._consumer.close, name="kafka-close", daemon=True)
        closing.start()
        closing.join(0 if self.trouble else CLOSING_SECONDS)

    def _on_error(self, error: KafkaError) -> None:
        # Whatever the error is, listing the topics shows whether the cluster can be reached.
        LOG.debug("The Kafka client reports: %s", error)
        self._refusal = REFUSALS.get(error.code(), self._refusal)
        self._next_discovery = min(self._next_discovery, time.monotonic())

    def _is_record(self, message: Message) -> bool:
        if error := message.error():
            self._on_error(error)
        return error is None

    def _discover_when_due(self) -> None:
        """Add new partitions, and check whether the cluster can be reached."""
        if time.monotonic() < self._next_discovery:
            return
        try:
            missing = self._discover()
            self._refusal = None
            trouble = f"PROBLEM: Topic not found: {', '.join(missing)}" if missing else None
        except KafkaException as reason:
            LOG.debug("Kafka at %s cannot be reached: %s", self._bootstrap_servers, reason)
            trouble = self._refusal or CONNECTION_FAILED
        self._next_discovery = time.monotonic() + (
            DISCOVERY_SECONDS_WITH_TROUBLE if trouble else DISCOVERY_SECONDS
        )
        if trouble and trouble != self.trouble:
            LOG.warning("Kafka at %s: %s", self._bootstrap_servers, trouble)
        if self.trouble and not trouble:
            LOG.info("Kafka at %s can be reached again", self._bootstrap_servers)
        self.trouble = trouble

    def _discover(self) -> list[str]:
        known = self._consumer.list_topics(timeout=LOOK_SECONDS).topics
        missing = [topic for topic in self._settings.topics if topic not in known]
        new = [
            TopicPartition(topic, partition)
            for topic in self._settings.topics
            if topic in known and known[topic].error is None
            for partition in known[topic].partitions
            if (topic, partition) not in self._assigned
        ]
        if new:
            self._consumer.incremental_assign(self._with_start(new))
            self._assigned.update((each.topic, each.partition) for each in new)
        self._has_looked = True
        return missing

    def _with_start(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Where to start: after the group's committed offset, or else at the mapping's starting
        position.
        """
        committed = self._consumer.committed(partitions, timeout=CALL_SECONDS)
        begun = [each for each in committed if each.offset >= 0]
        fresh = [each for each in committed if each.offset < 0]
        is_mapping_new = not self._has_looked and not begun
        started = [self._start_of(each, is_mapping_new) for each in fresh]
        # Otherwise, a restart before the first success would start at a later end and skip records.
        if fixed := [each for each in started if each.offset >= 0]:
            self._consumer.commit(offsets=fixed, asynchronous=False)
        return begun + started

    def _start_of(self, partition: TopicPartition, is_mapping_new: bool) -> TopicPartition:
        topic, number = partition.topic, partition.partition
        timestamp = self._settings.starting_timestamp_ms
        if self._settings.starting_position == "AT_TIMESTAMP" and timestamp is not None:
            wanted = TopicPartition(topic, number, timestamp)
            found = self._consumer.offsets_for_times([wanted], timeout=CALL_SECONDS)[0]
            return found if found.offset >= 0 else self._end_of(partition)
        # A partition created after the mapping contains nothing older than the mapping.
        if self._settings.starting_position == "LATEST" and is_mapping_new:
            return self._end_of(partition)
        return TopicPartition(topic, number, OFFSET_BEGINNING)

    def _end_of(self, partition: TopicPartition) -> TopicPartition:
        _, end = self._consumer.get_watermark_offsets(partition, timeout=CALL_SECONDS)
        return TopicPartition(partition.topic, partition.partition, end)


def _record(message: Message, arrived: float) -> Record:
    timestamp_type, timestamp = message.timestamp()
    return Record(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp=timestamp,
        timestamp_type=TIMESTAMP_TYPES.get(timestamp_type, "NO_TIMESTAMP_TYPE"),
        key=message.key(),
        value=message.value(),
        headers=tuple(message.headers() or ()),
        arrived=arrived,
    )
