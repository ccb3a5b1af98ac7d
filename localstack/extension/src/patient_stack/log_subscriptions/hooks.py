"""Adds subscriptions of functions to LocalStack's CloudWatch Logs."""

from __future__ import annotations

from typing import Any

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled


@hooks.on_infra_start(should_load=unless_disabled("log-subscriptions"))
def deliver_log_events() -> None:
    """Deliver matching lines to functions, and let a group with a subscription have new streams."""
    # LocalStack's own patches of these classes must be applied before ours.
    import localstack.services.logs.provider  # noqa: F401
    from moto.core.utils import unix_time_millis
    from moto.logs.exceptions import ResourceAlreadyExistsException
    from moto.logs.models import LogEvent, LogGroup, LogStream

    from patient_stack.log_subscriptions.delivery import deliver, is_of_function

    put_log_events_as_before = LogStream.put_log_events

    def put_log_events(stream: LogStream, log_events: list[dict[str, Any]]) -> str:
        subscriptions = list(stream.log_group.subscription_filters.values())
        if not subscriptions or not all(map(is_of_function, subscriptions)):
            # Other subscribers (streams, delivery streams) are left to LocalStack.
            return put_log_events_as_before(stream, log_events)
        stream.last_ingestion_time = int(unix_time_millis())
        stream.stored_bytes += sum(len(event["message"]) for event in log_events)
        events = [LogEvent(stream.last_ingestion_time, event) for event in log_events]
        stream.events += events
        stream.upload_sequence_token += 1
        for subscription in subscriptions:
            deliver(subscription, stream, events)
        return f"{stream.upload_sequence_token:056d}"

    def create_log_stream(group: LogGroup, log_stream_name: str) -> None:
        # LocalStack's version fails after creating the stream, because of a pattern that is not
        # needed here.
        if log_stream_name in group.streams:
            raise ResourceAlreadyExistsException()
        group.streams[log_stream_name] = LogStream(log_group=group, name=log_stream_name)

    LogStream.put_log_events = put_log_events
    LogGroup.create_log_stream = create_log_stream
