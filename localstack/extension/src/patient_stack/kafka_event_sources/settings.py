"""The settings of a Kafka event source mapping, read from LocalStack's configuration."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from localstack.services.lambda_.event_source_mapping.esm_worker import EsmStateReason

SELF_MANAGED_CONFIG = "SelfManagedKafkaEventSourceConfig"
AMAZON_MANAGED_CONFIG = "AmazonManagedKafkaEventSourceConfig"
# The API's name for the list of brokers, and CloudFormation's.
BOOTSTRAP_SERVERS_KEYS = ("KAFKA_BOOTSTRAP_SERVERS", "KafkaBootstrapServers")
NO_RECORDS_PROCESSED = "No records processed"
DEFAULT_BATCH_SIZE = 100
# How Lambda limits unlimited retries if failed batches can go to a destination.
RETRIES_WITH_DESTINATION = 10


def is_kafka_source(mapping: dict[str, Any]) -> bool:
    """Whether a request or a configuration is about a Kafka cluster."""
    source_arn = mapping.get("EventSourceArn") or ""
    return bool(mapping.get("SelfManagedEventSource")) or ":kafka:" in source_arn


def complete_request(defaults: dict[str, Any], request: dict[str, Any]) -> None:
    """Fill `defaults` with what the request may omit, and use the API's name for the brokers."""
    is_self_managed = bool(request.get("SelfManagedEventSource"))
    group_key = SELF_MANAGED_CONFIG if is_self_managed else AMAZON_MANAGED_CONFIG
    defaults.update(
        {
            "BatchSize": DEFAULT_BATCH_SIZE,
            "MaximumBatchingWindowInSeconds": 0,
            "StartingPosition": "TRIM_HORIZON",
            "StateTransitionReason": EsmStateReason.USER_INITIATED,
            "LastProcessingResult": NO_RECORDS_PROCESSED,
            "DestinationConfig": {"OnFailure": {}},
            group_key: {"ConsumerGroupId": defaults["UUID"]},
        }
    )
    if is_self_managed:
        servers = _self_managed_servers(request)
        request["SelfManagedEventSource"] = {"Endpoints": {BOOTSTRAP_SERVERS_KEYS[0]: servers}}


@dataclass(frozen=True)
class RetryPolicy:
    """How long a failed batch is retried.

    Attributes:
        maximum_retries: retries after the first attempt; None for no limit.
        maximum_age_seconds: the age at which a record is discarded; None for no limit.
        splits_batches: whether a failed batch is retried as two halves.
    """

    maximum_retries: int | None = None
    maximum_age_seconds: int | None = None
    splits_batches: bool = False


@dataclass(frozen=True)
class MappingSettings:
    """One mapping: where records come from, how they are batched, and where they go.

    Attributes:
        bootstrap_servers: `host:port` of each broker; empty for an MSK cluster.
        batching_window_seconds: how long a batch waits for more records.
        starting_timestamp_ms: for AT_TIMESTAMP, in milliseconds since 1970.
        failure_destination: the ARN of a queue, topic or bucket.
        access: how the brokers let it in, as type and value of each of SourceAccessConfigurations.
        filters: EventBridge patterns; if there are any, a record has to match one of them.
    """

    uuid: str
    function_arn: str
    topics: tuple[str, ...]
    group_id: str
    cluster_arn: str | None = None
    bootstrap_servers: tuple[str, ...] = ()
    access: tuple[tuple[str, str], ...] = ()
    batch_size: int = DEFAULT_BATCH_SIZE
    batching_window_seconds: float = 0
    starting_position: str = "TRIM_HORIZON"
    starting_timestamp_ms: int | None = None
    retry: RetryPolicy = RetryPolicy()
    failure_destination: str | None = None
    reports_item_failures: bool = False
    filters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, config: dict[str, Any]) -> MappingSettings:
        """Read LocalStack's configuration of a mapping."""
        group = config.get(SELF_MANAGED_CONFIG) or config.get(AMAZON_MANAGED_CONFIG) or {}
        on_failure = (config.get("DestinationConfig") or {}).get("OnFailure") or {}
        destination = on_failure.get("Destination") or None
        return cls(
            uuid=config["UUID"],
            function_arn=config["FunctionArn"],
            topics=tuple(config.get("Topics") or ()),
            group_id=group.get("ConsumerGroupId") or config["UUID"],
            cluster_arn=config.get("EventSourceArn"),
            bootstrap_servers=tuple(_self_managed_servers(config)),
            access=tuple(
                (each["Type"], each["URI"])
                for each in config.get("SourceAccessConfigurations") or ()
            ),
            batch_size=int(config.get("BatchSize") or DEFAULT_BATCH_SIZE),
            batching_window_seconds=float(config.get("MaximumBatchingWindowInSeconds") or 0),
            starting_position=config.get("StartingPosition") or "TRIM_HORIZON",
            starting_timestamp_ms=_milliseconds(config.get("StartingPositionTimestamp")),
            retry=RetryPolicy(
                maximum_retries=_maximum_retries(config, destination),
                maximum_age_seconds=_limit(config.get("MaximumRecordAgeInSeconds")),
                splits_batches=bool(config.get("BisectBatchOnFunctionError")),
            ),
            failure_destination=destination,
            reports_item_failures="ReportBatchItemFailures"
            in (config.get("FunctionResponseTypes") or ()),
            filters=_filters(config),
        )


def _self_managed_servers(mapping: dict[str, Any]) -> list[str]:
    endpoints = (mapping.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    for key in BOOTSTRAP_SERVERS_KEYS:
        if servers := endpoints.get(key):
            # A template may join the brokers into one string.
            return [part.strip() for server in servers for part in server.split(",")]
    return []


def _filters(config: dict[str, Any]) -> tuple[str, ...]:
    criteria = config.get("FilterCriteria") or {}
    return tuple(each["Pattern"] for each in criteria.get("Filters") or ())


def _maximum_retries(config: dict[str, Any], destination: str | None) -> int | None:
    limit = _limit(config.get("MaximumRetryAttempts"))
    if limit is None and destination:
        return RETRIES_WITH_DESTINATION
    return limit


def _limit(value: Any) -> int | None:
    """A limit of the API, in which -1 means no limit."""
    return None if value is None or int(value) < 0 else int(value)


def _milliseconds(moment: Any) -> int | None:
    if moment is None:
        return None
    if isinstance(moment, datetime.datetime):
        return int(moment.timestamp() * 1000)
    return int(float(moment) * 1000)
