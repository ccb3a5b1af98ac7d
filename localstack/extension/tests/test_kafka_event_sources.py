"""Kafka event source mappings deliver every record to the function as on AWS."""

from __future__ import annotations

import base64
import datetime
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from kafka import USER, KafkaBroker
from patient_stack.kafka_event_sources.cluster import ClusterNotFound, find_source
from patient_stack.kafka_event_sources.settings import MappingSettings
from sam import deploy, function, upload
from stack import REGION, LocalStack, python_function, wait_until

CONNECTION_FAILED = (
    "PROBLEM: Connection error. Please check your event source connection configuration."
)

# Records each event, then does what the test planned.
RECORDER = python_function(
    """
folder = os.environ["FOLDER"]
with open(folder + "/events", "a") as log:
    log.write(json.dumps({"event": event, "began": time.time(), "pid": os.getpid()}) + "\\n")
try:
    with open(folder + "/plan") as file:
        plan = json.load(file)
except FileNotFoundError:
    plan = {}
import base64
records = [record for group in event["records"].values() for record in group]
values = [base64.b64decode(record["value"] or "").decode("utf-8", "replace") for record in records]
time.sleep(plan.get("sleep", 0))
if plan.get("dies"):
    os._exit(1)
if "fail" in plan and (not plan["fail"] or set(plan["fail"]) & set(values)):
    raise RuntimeError("as planned")
with open(folder + "/done", "a") as log:
    log.write("".join(json.dumps(value) + "\\n" for value in values))
return plan.get("answers", {}).get(next(iter(event["records"])), plan.get("answer"))
"""
)


@dataclass
class Recorder:
    """A deployed function that records its events, and fails when told to."""

    localstack: LocalStack
    folder: Path
    name: str

    def plan(self, **behaviour: Any) -> None:
        """Behave like this from now on."""
        file = self.folder / "plan.new"
        file.write_text(json.dumps(behaviour))
        file.rename(self.folder / "plan")

    @property
    def invocations(self) -> list[dict[str, Any]]:
        """The invocations so far."""
        return self._lines("events")

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events so far."""
        return [invocation["event"] for invocation in self.invocations]

    @property
    def batches(self) -> list[list[str]]:
        """The values of each event so far."""
        return [
            [decoded(record["value"]) for group in event["records"].values() for record in group]
            for event in self.events
        ]

    @property
    def done(self) -> list[str]:
        """The values that were processed without an error, in order."""
        return self._lines("done")

    def _lines(self, name: str) -> list[Any]:
        file = self.folder / name
        if not file.exists():
            return []
        lines = file.read_text().splitlines(keepends=True)
        # The function may still be writing the last one.
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for(self, *values: str, seconds: float = 30) -> None:
        """Wait until exactly these values were processed, in this order."""
        wait_until(
            lambda: len(self.done) >= len(values), f"{values}, not {self.done}", seconds=seconds
        )
        assert self.done == list(values)


def decoded(content: str) -> str:
    """A record's key or value as text."""
    return base64.b64decode(content).decode()


@pytest.fixture
def recorder(localstack: LocalStack, tmp_path: Path) -> Recorder:
    """A new function for each test."""
    return deploy_recorder(localstack, tmp_path / "recorder")


def deploy_recorder(localstack: LocalStack, folder: Path, timeout: int = 30) -> Recorder:
    """Deploy a function that writes to this folder."""
    folder.mkdir()
    name = localstack.create_function(
        RECORDER, timeout=timeout, environment={"FOLDER": str(folder)}
    )
    return Recorder(localstack, folder, name)


class Mappings:
    """Creates mappings, and deletes them after the test."""

    def __init__(self, localstack: LocalStack, kafka: KafkaBroker) -> None:
        """Use this cluster unless a test specifies another."""
        self.api = localstack.client("lambda")
        self._servers = kafka.servers
        self._created: list[str] = []

    def create(self, recorder: Recorder, topic: str, **settings: Any) -> str:
        """Create a mapping, wait until it is enabled, and return its UUID."""
        defaults: dict[str, Any] = {"StartingPosition": "TRIM_HORIZON"}
        if "EventSourceArn" not in settings:
            endpoints = {"KAFKA_BOOTSTRAP_SERVERS": [self._servers]}
            defaults["SelfManagedEventSource"] = {"Endpoints": endpoints}
            defaults["SourceAccessConfigurations"] = []
        mapping = self.api.create_event_source_mapping(
            FunctionName=recorder.name, Topics=[topic], **{**defaults, **settings}
        )
        self._created.append(mapping["UUID"])
        if settings.get("Enabled", True):
            self.wait_for_state(mapping["UUID"], "Enabled")
        return mapping["UUID"]

    def get(self, uuid: str) -> dict[str, Any]:
        """The mapping as returned by the API."""
        return self.api.get_event_source_mapping(UUID=uuid)

    def wait_for_state(self, uuid: str, state: str) -> None:
        """Wait until the mapping is in this state."""
        wait_until(lambda: self.get(uuid)["State"] == state, f"the mapping is {state}")

    def wait_for_result(self, uuid: str, result: str) -> None:
        """Wait until this is the mapping's last result."""
        wait_until(
            lambda: self.get(uuid)["LastProcessingResult"] == result, f"the result is {result}"
        )

    def update(self, uuid: str, **changes: Any) -> dict[str, Any]:
        """Change a mapping."""
        return self.api.update_event_source_mapping(UUID=uuid, **changes)

    def delete(self, uuid: str) -> dict[str, Any]:
        """Delete a mapping."""
        self._created.remove(uuid)
        return self.api.delete_event_source_mapping(UUID=uuid)

    def listed(self, recorder: Recorder) -> list[str]:
        """The mappings of a function."""
        found = self.api.list_event_source_mappings(FunctionName=recorder.name)
        return [mapping["UUID"] for mapping in found["EventSourceMappings"]]

    def delete_all(self) -> None:
        """Clean up."""
        for uuid in list(self._created):
            self.delete(uuid)


@pytest.fixture
def mappings(localstack: LocalStack, kafka: KafkaBroker) -> Iterator[Mappings]:
    """The mappings of a test."""
    created = Mappings(localstack, kafka)
    yield created
    created.delete_all()


def commits(kafka: KafkaBroker, group: str, topic: str, offset: int, partition: int = 0) -> None:
    """Wait until the group has committed this offset, and not more."""
    wait_until(
        lambda: (kafka.committed(group, topic, partition) or 0) >= offset,
        f"{group} commits {offset}",
    )
    assert kafka.committed(group, topic, partition) == offset


def test_the_event_from_a_self_managed_cluster(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Every field is as on AWS, with signed bytes in headers."""
    topic = kafka.create_topic()
    mappings.create(recorder, topic)
    kafka.produce(
        topic,
        b"\x00\xffvalue",
        key=b"patient-1",
        headers=[("trace", b"ab\xff\x80"), ("trace", b"c")],
        timestamp=1_545_084_650_987,
    )
    kafka.produce(topic, None)
    wait_until(lambda: recorder.events, "the first record")
    first = recorder.events[0]
    assert first == {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": kafka.servers,
        "records": {f"{topic}-0": first["records"][f"{topic}-0"]},
    }
    assert first["records"][f"{topic}-0"][0] == {
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "timestamp": 1_545_084_650_987,
        "timestampType": "CREATE_TIME",
        "key": base64.b64encode(b"patient-1").decode(),
        "value": base64.b64encode(b"\x00\xffvalue").decode(),
        "headers": [{"trace": [97, 98, -1, -128]}, {"trace": [99]}],
    }
    wait_until(lambda: len(recorder.done) >= 2, "the record without key and value")
    last = recorder.events[-1]["records"][f"{topic}-0"][-1]
    assert (last["key"], last["value"], last["headers"]) == (None, None, [])


def test_the_event_from_an_msk_cluster(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """The brokers are those of KAFKA_BOOTSTRAP_SERVERS_FOR_MSK."""
    topic = kafka.create_topic()
    arn = f"arn:aws:kafka:{REGION}:000000000000:cluster/patients/{'0' * 8}-1"
    uuid = mappings.create(recorder, topic, EventSourceArn=arn)
    kafka.produce(topic, "a")
    recorder.wait_for("a")
    event = recorder.events[0]
    assert event["eventSource"] == "aws:kafka"
    assert event["eventSourceArn"] == arn
    assert event["bootstrapServers"] == kafka.servers
    assert mappings.get(uuid)["AmazonManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": uuid}


def test_a_new_mapping_has_the_same_defaults_as_on_aws(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """As returned by GetEventSourceMapping; CloudFormation's name for the brokers is accepted."""
    topic = kafka.create_topic()
    uuid = mappings.create(
        recorder,
        topic,
        SelfManagedEventSource={"Endpoints": {"KafkaBootstrapServers": [kafka.servers]}},
    )
    mapping = mappings.get(uuid)
    assert mapping["BatchSize"] == 100
    assert mapping["MaximumBatchingWindowInSeconds"] == 0
    assert mapping["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": uuid}
    assert mapping["SelfManagedEventSource"] == {
        "Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [kafka.servers]}
    }
    assert mapping["Topics"] == [topic]
    assert mapping["StateTransitionReason"] == "USER_INITIATED"
    assert mapping["LastProcessingResult"] == "No records processed"
    kafka.produce(topic, "a")
    recorder.wait_for("a")
    mappings.wait_for_result(uuid, "OK")


def test_a_record_arrives_soon(recorder: Recorder, mappings: Mappings, kafka: KafkaBroker) -> None:
    """About as soon as at any other consumer, apart from the time for invoking the function.

    The delay of the broker itself does not matter. Polling now and then, instead of all the time,
    would take a hundred times as long.
    """
    topic = kafka.create_topic()
    mappings.create(recorder, topic)
    kafka.produce(topic, "warm")
    recorder.wait_for("warm")
    to_function = []
    for number in range(9):
        sent = time.time()
        kafka.produce(topic, str(number))
        wait_until(lambda count=number + 2: len(recorder.done) == count, "it arrives")
        to_function.append(recorder.invocations[-1]["began"] - sent)
    other_topic = kafka.create_topic()
    to_consumer = []
    with kafka.consumer(other_topic) as consumer:
        for number in range(9):
            sent = time.time()
            kafka.produce(other_topic, str(number))
            assert consumer.poll(20), "no record arrived"
            to_consumer.append(time.time() - sent)
    mapping, plain = statistics.median(to_function), statistics.median(to_consumer)
    print(f"record to function: {mapping * 1000:.0f} ms, to consumer: {plain * 1000:.0f} ms")
    assert mapping < 6 * plain


def test_the_batch_size_limits_the_records_of_a_batch(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Waiting records are delivered in several batches, in order."""
    topic = kafka.create_topic()
    values = [str(number) for number in range(25)]
    kafka.produce(topic, *values)
    mappings.create(recorder, topic, BatchSize=10)
    recorder.wait_for(*values)
    assert all(len(batch) <= 10 for batch in recorder.batches)
    assert max(len(batch) for batch in recorder.batches) == 10


def test_large_records_lead_to_smaller_batches(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """An event stays below the 6 MB that an invocation may have."""
    topic = kafka.create_topic()
    large = "x" * 900_000
    kafka.produce(topic, *[large] * 8)
    mappings.create(recorder, topic)
    wait_until(lambda: len(recorder.done) == 8, "all records")
    assert all(len(json.dumps(event)) < 6 * 1024 * 1024 for event in recorder.events)


def test_a_batch_that_is_too_large_is_split(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """The bytes of headers become up to six characters each."""
    topic = kafka.create_topic()
    for value in "abcdefghi":
        kafka.produce(topic, value, headers=[("large", b"\x80" * 120_000)])
    mappings.create(recorder, topic, BatchSize=9, MaximumBatchingWindowInSeconds=1)
    recorder.wait_for(*"abcdefghi")
    assert [len(batch) for batch in recorder.batches] == [4, 5]


def test_filters_choose_records(recorder: Recorder, mappings: Mappings, kafka: KafkaBroker) -> None:
    """The others count as processed."""
    topic = kafka.create_topic()
    wanted = {"value": {"kind": ["created"]}}
    uuid = mappings.create(
        recorder, topic, FilterCriteria={"Filters": [{"Pattern": json.dumps(wanted)}]}
    )
    kafka.produce(topic, '{"kind":"created"}', '{"kind":"deleted"}', "text")
    recorder.wait_for('{"kind":"created"}')
    commits(kafka, uuid, topic, 3)
    assert len(recorder.done) == 1


def test_the_batching_window_collects_records(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Successive records come together if the window is long enough."""
    topic = kafka.create_topic()
    mappings.create(recorder, topic, BatchSize=4, MaximumBatchingWindowInSeconds=3)
    began = time.time()
    for value in "abc":
        kafka.produce(topic, value)
    recorder.wait_for("a", "b", "c")
    assert recorder.batches == [["a", "b", "c"]]
    assert recorder.invocations[0]["began"] - began >= 2.9
    began = time.time()
    kafka.produce(topic, *"defg")
    recorder.wait_for(*"abcdefg")
    assert recorder.batches[1:] == [["d", "e", "f", "g"]]
    assert recorder.invocations[1]["began"] - began < 2.9, "a full batch must not wait"


def test_starting_positions(
    localstack: LocalStack, mappings: Mappings, kafka: KafkaBroker, tmp_path: Path
) -> None:
    """All records, new records, and records since a point in time."""
    topic = kafka.create_topic(partitions=2)
    kafka.produce(topic, "old", timestamp=1_000_000_000_000)
    kafka.produce(topic, "recent", timestamp=1_600_000_000_000)
    recorders = {
        name: deploy_recorder(localstack, tmp_path / name)
        for name in ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
    }
    moment = datetime.datetime.fromtimestamp(1_500_000_000, datetime.UTC)
    mappings.create(recorders["TRIM_HORIZON"], topic)
    latest = mappings.create(recorders["LATEST"], topic, StartingPosition="LATEST")
    mappings.create(
        recorders["AT_TIMESTAMP"],
        topic,
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=moment,
    )
    commits(kafka, latest, topic, 2)
    kafka.produce(topic, "new")
    recorders["TRIM_HORIZON"].wait_for("old", "recent", "new")
    recorders["LATEST"].wait_for("new")
    recorders["AT_TIMESTAMP"].wait_for("recent", "new")


def test_a_topic_may_be_created_after_its_mapping(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """A deployment creates the mapping first; even LATEST misses none of the later records."""
    uuid = mappings.create(recorder, "topic.of.later", StartingPosition="LATEST")
    mappings.wait_for_result(uuid, "PROBLEM: Topic not found: topic.of.later")
    kafka.create_topic(name="topic.of.later")
    kafka.produce("topic.of.later", "first")
    recorder.wait_for("first")
    mappings.wait_for_result(uuid, "OK")


def test_looking_for_a_topic_does_not_create_it(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Whoever creates it later decides its number of partitions."""
    name = "topic.that.was.looked.for"
    mapping = mappings.create(recorder, name)
    mappings.wait_for_result(mapping, f"PROBLEM: Topic not found: {name}")
    assert name not in kafka.topics()
    kafka.create_topic(3, name)
    kafka.produce(name, "a", partition=2)
    recorder.wait_for("a")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_records(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker, codec: str
) -> None:
    """Whatever compression a producer uses, the function gets the decompressed records."""
    topic = kafka.create_topic()
    mappings.create(recorder, topic)
    values = [f"{number}: {'compressible ' * 20}" for number in range(20)]
    kafka.produce(topic, *values, settings={"compression.type": codec, "linger.ms": 50})
    recorder.wait_for(*values)


def test_records_of_transactions(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Aborted records never arrive, and the markers of transactions are not records."""
    topic = kafka.create_topic()
    mapping = mappings.create(recorder, topic)
    producer = kafka.transactional_producer()
    for values, is_meant in ((["a", "b"], True), (["given up"], False), (["c"], True)):
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value)
        # Records aborted before they were sent leave no trace.
        assert producer.flush(20) == 0
        producer.commit_transaction() if is_meant else producer.abort_transaction()
    kafka.produce(topic, "d")
    recorder.wait_for("a", "b", "c", "d")
    # Five records and three markers.
    commits(kafka, mapping, topic, 8)


def test_a_mapping_continues_from_the_offset_of_its_consumer_group(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """A new mapping with the same group takes over."""
    topic = kafka.create_topic()
    group = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"group.{topic}"}}
    first = mappings.create(recorder, topic, **group)
    kafka.produce(topic, "a", "b")
    recorder.wait_for("a", "b")
    commits(kafka, f"group.{topic}", topic, 2)
    mappings.delete(first)
    wait_until(lambda: first not in mappings.listed(recorder), "the mapping is gone")
    kafka.produce(topic, "c")
    mappings.create(recorder, topic, **group)
    recorder.wait_for("a", "b", "c")


def test_two_functions_on_one_topic_both_get_every_record(
    localstack: LocalStack, mappings: Mappings, kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Each mapping has a group of its own."""
    topic = kafka.create_topic()
    both = [deploy_recorder(localstack, tmp_path / name) for name in ("one", "two")]
    for each in both:
        mappings.create(each, topic)
    kafka.produce(topic, *"abc")
    for each in both:
        each.wait_for(*"abc")


def test_the_order_within_a_partition(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Slow, failing or fast: a partition's records arrive one batch after another."""
    topic = kafka.create_topic(partitions=3)
    mappings.create(recorder, topic, BatchSize=3)
    recorder.plan(fail=["1-4"], sleep=0.02)
    for number in range(12):
        for partition in range(3):
            kafka.produce(topic, f"{partition}-{number}", partition=partition)
    wait_until(lambda: len([v for v in recorder.done if v[0] != "1"]) == 24, "two partitions")
    recorder.plan()
    wait_until(lambda: len(recorder.done) == 36, "the third one")
    for partition in range(3):
        own = [value for value in recorder.done if value.startswith(f"{partition}-")]
        assert own == [f"{partition}-{number}" for number in range(12)]


def test_offsets_are_committed_only_after_success(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Not while the function is running, and not when it failed."""
    topic = kafka.create_topic()
    uuid = mappings.create(recorder, topic)
    kafka.produce(topic, "good")
    recorder.wait_for("good")
    commits(kafka, uuid, topic, 1)
    recorder.plan(fail=[], sleep=0.5)
    kafka.produce(topic, "bad")
    wait_until(lambda: len(recorder.batches) >= 3, "a second attempt")
    assert kafka.committed(uuid, topic) == 1
    recorder.plan()
    recorder.wait_for("good", "bad")
    commits(kafka, uuid, topic, 2)


def test_a_failed_batch_is_retried_with_growing_delays(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """With the same records, until the function succeeds."""
    topic = kafka.create_topic()
    recorder.plan(fail=[])
    kafka.produce(topic, *"abc")
    uuid = mappings.create(recorder, topic)
    wait_until(lambda: len(recorder.batches) >= 4, "four attempts")
    mappings.wait_for_result(uuid, "PROBLEM: Function call failed")
    recorder.plan()
    recorder.wait_for(*"abc")
    mappings.wait_for_result(uuid, "OK")
    assert all(batch == ["a", "b", "c"] for batch in recorder.batches)
    began = [invocation["began"] for invocation in recorder.invocations]
    # Delays double, and each is at least half of its maximum.
    assert began[1] - began[0] >= 0.12
    assert began[3] - began[2] >= 0.49


def test_a_timeout_fails_the_batch(
    localstack: LocalStack, mappings: Mappings, kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Not only an error reported by the function itself."""
    recorder = deploy_recorder(localstack, tmp_path / "slow", timeout=1)
    topic = kafka.create_topic()
    recorder.plan(sleep=60)
    uuid = mappings.create(recorder, topic)
    kafka.produce(topic, "a")
    mappings.wait_for_result(uuid, "PROBLEM: Function call failed")
    assert kafka.committed(uuid, topic) is None
    recorder.plan()
    recorder.wait_for("a")


def test_retries_end_at_the_limit_of_the_mapping(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Without a destination the batch is skipped."""
    topic = kafka.create_topic()
    recorder.plan(fail=["bad"])
    uuid = mappings.create(recorder, topic, MaximumRetryAttempts=1, BatchSize=1)
    kafka.produce(topic, "bad", "good")
    recorder.wait_for("good")
    assert recorder.batches == [["bad"], ["bad"], ["good"]]
    commits(kafka, uuid, topic, 2)


def test_a_discarded_batch_is_reported_to_a_queue(
    localstack: LocalStack, recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """In the form of AWS, without the records."""
    queues = localstack.client("sqs")
    url = queues.create_queue(QueueName=f"failed-{recorder.name}")["QueueUrl"]
    attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    topic = kafka.create_topic()
    recorder.plan(fail=[])
    uuid = mappings.create(
        recorder,
        topic,
        MaximumRetryAttempts=2,
        DestinationConfig={"OnFailure": {"Destination": attributes["Attributes"]["QueueArn"]}},
    )
    kafka.produce(topic, "a", "b", timestamp=1_545_084_650_987)
    message = json.loads(received(queues, url))
    assert message["requestContext"].pop("requestId")
    assert message["requestContext"] == {
        "functionArn": mappings.get(uuid)["FunctionArn"],
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 3,
    }
    assert message["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert message["version"] == "1.0"
    assert message["timestamp"].endswith("Z")
    assert message["KafkaBatchInfo"].pop("payloadSize") > 100
    assert message["KafkaBatchInfo"] == {
        "batchSize": 2,
        "bootstrapServers": kafka.servers,
        "recordsInfo": {
            f"{topic}-0": {
                "firstRecordOffset": "0",
                "lastRecordOffset": "1",
                "firstRecordTimestamp": "2018-12-17T22:10:50.987Z",
                "lastRecordTimestamp": "2018-12-17T22:10:50.987Z",
            }
        },
    }
    assert "payload" not in message
    commits(kafka, uuid, topic, 2)
    recorder.plan()
    kafka.produce(topic, "c")
    recorder.wait_for("c")


def received(queues: Any, url: str) -> str:
    """The body of the next message."""
    answer = wait_until(
        lambda: queues.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"),
        "a message",
    )
    return answer[0]["Body"]


def test_a_discarded_batch_is_reported_to_a_topic(
    localstack: LocalStack, recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Records that are too old are discarded before the function sees them."""
    notifications, queues = localstack.client("sns"), localstack.client("sqs")
    arn = notifications.create_topic(Name=f"failed-{recorder.name}")["TopicArn"]
    url = queues.create_queue(QueueName=f"notified-{recorder.name}")["QueueUrl"]
    attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    notifications.subscribe(
        TopicArn=arn,
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    topic = kafka.create_topic()
    kafka.produce(topic, "too old", timestamp=1_545_084_650_987)
    kafka.produce(topic, "young")
    mappings.create(
        recorder,
        topic,
        MaximumRecordAgeInSeconds=60,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    recorder.wait_for("young")
    message = json.loads(received(queues, url))
    assert message["requestContext"]["condition"] == "RecordAgeExceeded"
    assert message["requestContext"]["approximateInvokeCount"] == 0
    assert message["responseContext"] is None
    assert message["KafkaBatchInfo"]["batchSize"] == 1
    assert recorder.batches == [["young"]]


def test_a_discarded_batch_is_stored_in_a_bucket(
    localstack: LocalStack, recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """With the whole event; the batch waits as long as the bucket does not exist."""
    storage = localstack.client("s3")
    bucket = f"failed-{recorder.name}"
    topic = kafka.create_topic()
    recorder.plan(fail=["bad"])
    uuid = mappings.create(
        recorder,
        topic,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}},
    )
    kafka.produce(topic, "bad")
    wait_until(lambda: f"arn:aws:s3:::{bucket} cannot be reached" in localstack.log, "an attempt")
    assert kafka.committed(uuid, topic) is None
    storage.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    found = wait_until(lambda: storage.list_objects_v2(Bucket=bucket).get("Contents"), "an object")
    assert found[0]["Key"].startswith(f"aws/lambda/{uuid}/{topic}-0/")
    document = json.load(storage.get_object(Bucket=bucket, Key=found[0]["Key"])["Body"])
    event = json.loads(document["payload"])
    assert event == recorder.events[0]
    assert document["KafkaBatchInfo"]["payloadSize"] == len(document["payload"])
    commits(kafka, uuid, topic, 1)


def test_splitting_a_batch_isolates_the_failing_record(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Its neighbours are processed, and only it is discarded."""
    topic = kafka.create_topic()
    recorder.plan(fail=["c"])
    kafka.produce(topic, *"abcdefgh")
    uuid = mappings.create(recorder, topic, BisectBatchOnFunctionError=True, MaximumRetryAttempts=1)
    recorder.wait_for(*"abdefgh")
    commits(kafka, uuid, topic, 8)


def test_a_report_of_failed_records(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Records before the first failed one are not delivered again."""
    topic = kafka.create_topic()
    kafka.produce(topic, *"abcd")
    recorder.plan(answer={"batchItemFailures": [failed(topic, 3), failed(topic, 2)]})
    uuid = mappings.create(recorder, topic, FunctionResponseTypes=["ReportBatchItemFailures"])
    wait_until(lambda: len(recorder.batches) >= 3, "retries")
    assert recorder.batches[:3] == [list("abcd"), list("cd"), list("cd")]
    commits(kafka, uuid, topic, 2)
    recorder.plan(answer={"batchItemFailures": []})
    commits(kafka, uuid, topic, 4)


def test_a_report_holds_up_only_its_own_partition(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """The reported record and those behind it are redelivered; other partitions are committed."""
    topic = kafka.create_topic(partitions=2)
    kafka.produce(topic, *"abcd", partition=0)
    kafka.produce(topic, *"wxyz", partition=1)
    report = {"batchItemFailures": [failed(topic, 2, partition=0)]}
    recorder.plan(answers={f"{topic}-0": report, f"{topic}-1": {"batchItemFailures": []}})
    uuid = mappings.create(recorder, topic, FunctionResponseTypes=["ReportBatchItemFailures"])
    commits(kafka, uuid, topic, 4, partition=1)
    commits(kafka, uuid, topic, 2, partition=0)
    wait_until(lambda: recorder.batches.count(list("cd")) >= 2, "retries")
    assert recorder.batches.count(list("abcd")) == 1
    assert recorder.batches.count(list("wxyz")) == 1

    kafka.produce(topic, "!", partition=1)
    commits(kafka, uuid, topic, 5, partition=1)
    assert kafka.committed(uuid, topic, 0) == 2
    recorder.plan(answer={"batchItemFailures": []})
    commits(kafka, uuid, topic, 4, partition=0)


def test_a_batch_is_redelivered_as_a_whole_if_the_function_dies(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """The function has reported nothing."""
    topic = kafka.create_topic()
    recorder.plan(dies=True)
    kafka.produce(topic, *"abc")
    uuid = mappings.create(recorder, topic, FunctionResponseTypes=["ReportBatchItemFailures"])
    wait_until(lambda: len(recorder.batches) >= 2, "another attempt")
    assert recorder.batches[:2] == [list("abc"), list("abc")]
    recorder.plan(answer={"batchItemFailures": []})
    commits(kafka, uuid, topic, 3)


def failed(topic: str, offset: int, partition: int = 0) -> dict[str, Any]:
    """An item of a report."""
    return {"itemIdentifier": {"partition": f"{topic}-{partition}", "offset": offset}}


@pytest.mark.parametrize("kind", ["unknown offset", "unknown partition", "no report", "broken"])
def test_an_invalid_report_fails_the_batch(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker, kind: str
) -> None:
    """The whole batch is retried."""
    topic = kafka.create_topic()
    answer = {
        "unknown offset": {"batchItemFailures": [failed(topic, 1), failed(topic, 99)]},
        "unknown partition": {"batchItemFailures": [failed(topic, 1, partition=7)]},
        "no report": "done",
        "broken": {"batchItemFailures": [{"itemIdentifier": "1"}]},
    }[kind]
    kafka.produce(topic, *"ab")
    recorder.plan(answer=answer)
    mappings.create(recorder, topic, FunctionResponseTypes=["ReportBatchItemFailures"])
    wait_until(lambda: len(recorder.batches) >= 2, "another attempt")
    assert recorder.batches[:2] == [["a", "b"], ["a", "b"]]


def test_a_response_is_not_a_report_unless_the_mapping_says_so(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """The function succeeded, whatever it returned."""
    topic = kafka.create_topic()
    kafka.produce(topic, *"ab")
    recorder.plan(answer={"batchItemFailures": [failed(topic, 0)]})
    uuid = mappings.create(recorder, topic)
    commits(kafka, uuid, topic, 2)
    assert recorder.batches == [["a", "b"]]


def test_disabling_and_enabling(recorder: Recorder, mappings: Mappings, kafka: KafkaBroker) -> None:
    """Nothing arrives while it is disabled, and nothing is missed or repeated afterwards."""
    topic = kafka.create_topic()
    uuid = mappings.create(recorder, topic)
    kafka.produce(topic, "a")
    recorder.wait_for("a")
    assert mappings.update(uuid, Enabled=False)["State"] == "Disabling"
    mappings.wait_for_state(uuid, "Disabled")
    kafka.produce(topic, "b")
    assert kafka.committed(uuid, topic) == 1
    assert mappings.update(uuid, Enabled=True)["State"] == "Enabling"
    mappings.wait_for_state(uuid, "Enabled")
    recorder.wait_for("a", "b")
    assert recorder.batches == [["a"], ["b"]]


def test_disabling_lets_the_current_batch_finish(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """Its offset is committed before the mapping is disabled."""
    topic = kafka.create_topic()
    recorder.plan(sleep=1.5)
    uuid = mappings.create(recorder, topic)
    kafka.produce(topic, "a")
    wait_until(lambda: recorder.batches, "the function has it")
    mappings.update(uuid, Enabled=False)
    assert mappings.get(uuid)["State"] == "Disabling"
    mappings.wait_for_state(uuid, "Disabled")
    assert recorder.done == ["a"]
    assert kafka.committed(uuid, topic) == 1


def test_a_mapping_that_starts_disabled(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """It can be enabled, and deleted before that."""
    topic = kafka.create_topic()
    kafka.produce(topic, "a")
    uuid = mappings.create(recorder, topic, Enabled=False)
    mappings.wait_for_state(uuid, "Disabled")
    mappings.delete(uuid)
    wait_until(lambda: uuid not in mappings.listed(recorder), "the mapping is gone")
    again = mappings.create(recorder, topic, Enabled=False)
    mappings.update(again, Enabled=True)
    recorder.wait_for("a")


def test_deletion(recorder: Recorder, mappings: Mappings, kafka: KafkaBroker) -> None:
    """Nothing arrives afterwards, and the mapping is no longer listed."""
    topic = kafka.create_topic()
    uuid = mappings.create(recorder, topic)
    kafka.produce(topic, "a")
    recorder.wait_for("a")
    assert mappings.delete(uuid)["State"] == "Deleting"
    wait_until(lambda: uuid not in mappings.listed(recorder), "the mapping is gone")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        mappings.get(uuid)
    kafka.produce(topic, "b")
    # A mapping created after the record gets it: so would the old one, if it still existed.
    successor = mappings.create(recorder, topic)
    commits(kafka, successor, topic, 2)
    assert recorder.done == ["a", "a", "b"]


def test_a_change_of_the_mapping_takes_effect(
    localstack: LocalStack,
    recorder: Recorder,
    mappings: Mappings,
    kafka: KafkaBroker,
    tmp_path: Path,
) -> None:
    """Another batch size and another function, while records are processed."""
    other = deploy_recorder(localstack, tmp_path / "other")
    topic = kafka.create_topic()
    uuid = mappings.create(recorder, topic, BatchSize=1)
    kafka.produce(topic, *"ab")
    recorder.wait_for("a", "b")
    mappings.update(uuid, BatchSize=10, FunctionName=other.name, MaximumBatchingWindowInSeconds=1)
    mappings.wait_for_state(uuid, "Enabled")
    kafka.produce(topic, *"cde")
    other.wait_for(*"cde")
    assert other.batches == [["c", "d", "e"]]
    assert recorder.batches == [["a"], ["b"]]
    changed = mappings.get(uuid)
    assert (changed["BatchSize"], changed["MaximumBatchingWindowInSeconds"]) == (10, 1)


def test_a_change_does_not_deliver_a_batch_twice(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """The changed mapping starts when the function has finished its batch."""
    topic = kafka.create_topic()
    recorder.plan(sleep=1.5)
    uuid = mappings.create(recorder, topic)
    kafka.produce(topic, "a")
    wait_until(lambda: recorder.batches, "the function has it")
    mappings.update(uuid, BatchSize=10)
    assert mappings.get(uuid)["State"] == "Updating"
    recorder.plan()
    kafka.produce(topic, "b")
    recorder.wait_for("a", "b")
    assert recorder.batches == [["a"], ["b"]]


def test_a_function_that_is_temporarily_missing(
    recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """The batch waits, and no retry is used up."""
    topic = kafka.create_topic()
    api = mappings.api
    mappings.create(recorder, topic, MaximumRetryAttempts=0)
    api.put_function_concurrency(FunctionName=recorder.name, ReservedConcurrentExecutions=0)
    kafka.produce(topic, "a")
    wait_until(
        lambda: f"for {function_arn(recorder)} has to wait" in recorder.localstack.log,
        "an attempt that is throttled",
    )
    api.delete_function_concurrency(FunctionName=recorder.name)
    recorder.wait_for("a")


def function_arn(recorder: Recorder) -> str:
    """The ARN of a function."""
    return f"arn:aws:lambda:{REGION}:000000000000:function:{recorder.name}"


def test_a_mapping_of_a_sam_template(
    localstack: LocalStack, kafka: KafkaBroker, tmp_path: Path
) -> None:
    """It is created and deleted with its stack."""
    topic = kafka.create_topic()
    event = {
        "Type": "SelfManagedKafka",
        "Properties": {
            "KafkaBootstrapServers": [kafka.servers],
            "Topics": [topic],
            "BatchSize": 5,
            "ConsumerGroupId": f"group.{topic}",
            "StartingPosition": "TRIM_HORIZON",
            "SourceAccessConfigurations": [
                {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"},
                {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-1"},
            ],
        },
    }
    consumer = function(
        upload(localstack, RECORDER),
        Environment={"Variables": {"FOLDER": str(tmp_path)}},
        Events={"Records": event},
    )
    stack = deploy(localstack, {"Consumer": consumer}, Name={"Ref": "Consumer"})
    recorder = Recorder(localstack, tmp_path, stack["Name"])
    kafka.produce(topic, *"ab")
    recorder.wait_for("a", "b")
    commits(kafka, f"group.{topic}", topic, 2)
    listed = Mappings(localstack, kafka).listed
    assert len(listed(recorder)) == 1
    formation = localstack.client("cloudformation")
    formation.delete_stack(StackName=stack["StackName"])
    wait_until(lambda: not listed(recorder), "the mapping is gone")


def store_secret(localstack: LocalStack, **content: str) -> str:
    """Store a secret of this content, and return its ARN."""
    secrets = localstack.client("secretsmanager")
    name = f"test-{uuid4().hex}"
    return secrets.create_secret(Name=name, SecretString=json.dumps(content))["ARN"]


def test_brokers_that_want_a_password_over_tls(
    localstack: LocalStack, recorder: Recorder, mappings: Mappings, tmp_path: Path
) -> None:
    """The mapping logs in with one secret, and trusts the certificate in another. A wrong password
    and a certificate of somebody else are told apart, and a secret that is mended is read again.
    """
    broker = KafkaBroker(tmp_path / "broker", password="of the broker")
    broker.start()
    topic = broker.create_topic()
    broker.produce(topic, "a")
    login = store_secret(localstack, username=USER, password=broker.password)
    authority = store_secret(localstack, certificate=broker.authority)
    servers = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [broker.servers]}}

    def create(login: str, authority: str) -> str:
        return mappings.create(
            recorder,
            topic,
            SelfManagedEventSource=servers,
            SourceAccessConfigurations=[
                {"Type": "SASL_SCRAM_512_AUTH", "URI": login},
                {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": authority},
            ],
        )

    def delete(mapping: str) -> None:
        mappings.delete(mapping)
        wait_until(lambda: mapping not in mappings.listed(recorder), "the mapping is gone")

    wrong = store_secret(localstack, username=USER, password="another")
    refused = create(wrong, authority)
    mappings.wait_for_result(refused, "PROBLEM: SASL authentication failed.")
    delete(refused)

    another = KafkaBroker(tmp_path / "another", password="of another")
    another.start()
    another.kill()
    foreign = store_secret(localstack, certificate=another.authority)
    refused = create(login, foreign)
    mappings.wait_for_result(refused, "PROBLEM: Lambda failed to authenticate server.")
    delete(refused)

    incomplete = store_secret(localstack, username=USER)
    waiting = create(incomplete, authority)
    mappings.wait_for_result(waiting, "PROBLEM: A secret has no password")
    assert recorder.done == []
    content = json.dumps({"username": USER, "password": broker.password})
    localstack.client("secretsmanager").put_secret_value(SecretId=incomplete, SecretString=content)
    recorder.wait_for("a")
    mappings.wait_for_result(waiting, "OK")
    assert broker.password not in localstack.log
    mappings.delete(waiting)
    broker.kill()


@pytest.mark.parametrize("is_gone_at_start", [False, True])
def test_a_broker_that_stops_and_comes_back(
    localstack: LocalStack,
    recorder: Recorder,
    mappings: Mappings,
    tmp_path: Path,
    is_gone_at_start: bool,
) -> None:
    """Nothing is lost or repeated, and a few lines in the log say what happened."""
    broker = KafkaBroker(tmp_path / "broker")
    broker.start()
    topic = broker.create_topic()
    if is_gone_at_start:
        broker.kill()
    cluster = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [broker.servers]}}
    uuid = mappings.create(recorder, topic, SelfManagedEventSource=cluster)
    if not is_gone_at_start:
        broker.produce(topic, "a")
        recorder.wait_for("a")
        commits(broker, uuid, topic, 1)
        broker.kill()
    mappings.wait_for_result(uuid, CONNECTION_FAILED)
    broker.start()
    if is_gone_at_start:
        broker.produce(topic, "a")
    broker.produce(topic, "b")
    recorder.wait_for("a", "b")
    mappings.wait_for_result(uuid, "OK")
    commits(broker, uuid, topic, 2)
    about_it = [line for line in localstack.log.splitlines() if broker.servers in line]
    assert len(about_it) <= 4, about_it
    mappings.delete(uuid)
    broker.kill()


def test_a_mapping_can_be_deleted_while_its_broker_is_down(
    recorder: Recorder, mappings: Mappings, tmp_path: Path
) -> None:
    """Nothing waits for a broker that may never come back."""
    broker = KafkaBroker(tmp_path / "broker")
    broker.start()
    topic = broker.create_topic()
    cluster = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [broker.servers]}}
    uuid = mappings.create(recorder, topic, SelfManagedEventSource=cluster)
    broker.produce(topic, "a")
    recorder.wait_for("a")
    broker.kill()
    mappings.delete(uuid)
    wait_until(lambda: uuid not in mappings.listed(recorder), "the mapping is gone", seconds=15)


def test_a_mapping_without_brokers_is_reported(
    localstack: LocalStack, recorder: Recorder, mappings: Mappings, kafka: KafkaBroker
) -> None:
    """In its state and in the log; it can still be deleted."""
    uuid = mappings.create(recorder, "any", SelfManagedEventSource={"Endpoints": {}})
    mappings.wait_for_result(uuid, CONNECTION_FAILED)
    assert f"{uuid} has to wait: the mapping names neither brokers nor a cluster" in localstack.log


def test_an_unknown_cluster(localstack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable, LocalStack's own Kafka API is asked, which the free one lacks."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS_FOR_MSK", raising=False)
    cluster = f"arn:aws:kafka:{REGION}:000000000000:cluster/nobody/{'0' * 8}-1"
    settings = MappingSettings("uuid", "function", ("topic",), "group", cluster_arn=cluster)
    with pytest.raises(ClusterNotFound, match="name them in KAFKA_BOOTSTRAP_SERVERS_FOR_MSK"):
        find_source(settings, localstack.client("kafka"))


def test_localstack_stops_in_the_middle_of_a_batch(
    extension: Path, kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Killing the function is not a failure of the batch: it is redelivered, even without
    retries.
    """
    topic = kafka.create_topic()
    settings = {
        "MaximumRetryAttempts": 0,
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"group.{topic}"},
    }
    localstack = LocalStack(tmp_path / "localstack", extension)
    localstack.start()
    try:
        before = deploy_recorder(localstack, tmp_path / "before")
        before.plan(sleep=20)
        Mappings(localstack, kafka).create(before, topic, **settings)
        kafka.produce(topic, "a")
        wait_until(lambda: before.batches, "the function has the batch")
        localstack.stop()
        assert kafka.committed(f"group.{topic}", topic) is None
        localstack.start()
        after = deploy_recorder(localstack, tmp_path / "after")
        Mappings(localstack, kafka).create(after, topic, **settings)
        after.wait_for("a")
    finally:
        localstack.stop()
