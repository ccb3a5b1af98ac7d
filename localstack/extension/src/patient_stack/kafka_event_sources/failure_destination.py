"""Reports discarded batches to the mapping's on-failure destination."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localstack.services.lambda_.event_source_mapping.pipe_utils import get_internal_client
from localstack.services.lambda_.event_source_mapping.pollers.sqs_poller import get_queue_url
from localstack.utils.aws.arns import parse_arn, s3_bucket_name

from patient_stack.kafka_event_sources.event import Record, Source
from patient_stack.kafka_event_sources.outcome import (
    Delivered,
    FunctionFailed,
    NotAttempted,
    Outcome,
)


@dataclass(frozen=True)
class Discard:
    """Why a batch was discarded.

    Attributes:
        condition: AWS's name for the reason.
        invocations: how often the function was invoked with it.
        failure: its last failure; None if it was never invoked.
    """

    condition: str
    invocations: int
    failure: FunctionFailed | None


@dataclass(frozen=True)
class FailureDestination:
    """A queue, a topic or a bucket."""

    arn: str
    mapping_uuid: str
    function_arn: str

    def send(self, source: Source, records: Sequence[Record], discard: Discard) -> Outcome:
        """Send the invocation record of a discarded batch."""
        try:
            self._send(source, records, discard)
        except Exception as reason:
            return NotAttempted(f"the destination {self.arn} cannot be reached: {reason}")
        return Delivered()

    def _send(self, source: Source, records: Sequence[Record], discard: Discard) -> None:
        event = json.dumps(source.event(records))
        now = datetime.datetime.now(datetime.UTC)
        document = self._document(source, records, discard, len(event), now)
        service = parse_arn(self.arn)["service"]
        client = get_internal_client(self.arn)
        if service == "sqs":
            client.send_message(QueueUrl=get_queue_url(self.arn), MessageBody=json.dumps(document))
        elif service == "sns":
            client.publish(TopicArn=self.arn, Message=json.dumps(document))
        elif service == "s3":
            client.put_object(
                Bucket=s3_bucket_name(self.arn),
                Key=self._object_key(records[0].topic_partition, now),
                Body=json.dumps({**document, "payload": event}),
            )
        else:
            raise ValueError("it is not a queue, topic or bucket")

    def _document(
        self,
        source: Source,
        records: Sequence[Record],
        discard: Discard,
        payload_size: int,
        now: datetime.datetime,
    ) -> dict[str, Any]:
        first, last = records[0], records[-1]
        failure = discard.failure
        cluster = {"eventSourceArn": source.cluster_arn} if source.cluster_arn else {}
        return {
            "requestContext": {
                "requestId": failure.request_id if failure else None,
                "functionArn": self.function_arn,
                "condition": discard.condition,
                "approximateInvokeCount": discard.invocations,
            },
            "responseContext": failure
            and {
                "statusCode": failure.status_code,
                "executedVersion": failure.executed_version,
                "functionError": failure.function_error,
            },
            "version": "1.0",
            "timestamp": _iso(now),
            "KafkaBatchInfo": {
                "batchSize": len(records),
                **cluster,
                "bootstrapServers": source.bootstrap_servers,
                "payloadSize": payload_size,
                "recordsInfo": {
                    first.topic_partition: {
                        "firstRecordOffset": str(first.offset),
                        "lastRecordOffset": str(last.offset),
                        "firstRecordTimestamp": _iso(_moment(first)),
                        "lastRecordTimestamp": _iso(_moment(last)),
                    }
                },
            },
        }

    def _object_key(self, topic_partition: str, now: datetime.datetime) -> str:
        folder = f"aws/lambda/{self.mapping_uuid}/{topic_partition}"
        return f"{folder}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"


def _moment(record: Record) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(record.timestamp / 1000, datetime.UTC)


def _iso(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
