"""Invokes the functions that are subscribed to a log group."""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Callable

from localstack.aws.connect import connect_to
from localstack.utils.aws.arns import parse_arn
from localstack.utils.aws.client_types import ServicePrincipal
from moto.logs.models import LogEvent, LogStream, SubscriptionFilter

from patient_stack.log_subscriptions.filter_pattern import UnknownPattern, compile_pattern

LOG = logging.getLogger(__name__)


def is_of_function(subscription: SubscriptionFilter) -> bool:
    """Whether the subscriber is a function."""
    return ":lambda:" in (subscription.destination_arn or "")


def deliver(subscription: SubscriptionFilter, stream: LogStream, events: list[LogEvent]) -> None:
    """Invoke the function with the matching new events of a stream.

    As on AWS, it is invoked asynchronously: Lambda retries if the function fails.
    """
    wants = _matcher(subscription.filter_pattern)
    wanted = [event for event in events if wants(event.message)]
    if not wanted:
        return
    data = {
        "messageType": "DATA_MESSAGE",
        "owner": stream.account_id,
        "logGroup": stream.log_group.name,
        "logStream": stream.log_stream_name,
        "subscriptionFilters": [subscription.name],
        "logEvents": [
            {"id": str(event.event_id), "timestamp": event.timestamp, "message": event.message}
            for event in wanted
        ],
    }
    packed = base64.b64encode(gzip.compress(json.dumps(data).encode())).decode()
    try:
        function = parse_arn(subscription.destination_arn)
        client = connect_to(
            aws_access_key_id=function["account"], region_name=function["region"]
        ).lambda_.request_metadata(
            service_principal=ServicePrincipal.logs, source_arn=stream.log_group.arn
        )
        client.invoke(
            FunctionName=subscription.destination_arn,
            InvocationType="Event",
            Payload=json.dumps({"awslogs": {"data": packed}}),
        )
    except Exception as reason:
        # The lines are written, and their writer must not depend on their readers.
        LOG.error("%d log events did not reach %s: %s", len(wanted), subscription.name, reason)


def _matcher(pattern: str | None) -> Callable[[str], bool]:
    if pattern and pattern.strip():
        try:
            return compile_pattern(pattern)
        except UnknownPattern:
            LOG.warning("All log events match: this filter pattern is not supported: %s", pattern)
    return lambda _: True
