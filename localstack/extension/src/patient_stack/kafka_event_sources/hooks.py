"""Adds Kafka event source mappings to LocalStack's Lambda service."""

from __future__ import annotations

from typing import Any

from localstack.runtime import hooks as runtime_hooks
from localstack.services.lambda_ import hooks as lambda_hooks

from patient_stack.activation import unless_disabled

IS_ACTIVE = unless_disabled("kafka-event-sources")


@lambda_hooks.set_event_source_config_defaults(should_load=IS_ACTIVE)
def set_kafka_defaults(defaults: dict[str, Any], request: dict[str, Any], service: str) -> None:
    """Complete a new Kafka mapping with AWS's defaults."""
    from patient_stack.kafka_event_sources.settings import complete_request, is_kafka_source

    if is_kafka_source(request):
        complete_request(defaults, request)


@lambda_hooks.create_event_source_poller(should_load=IS_ACTIVE)
def create_kafka_poller(holder: Any, service: str, config: dict[str, Any]) -> None:
    """Give a Kafka mapping its poller."""
    from patient_stack.kafka_event_sources.poller import KafkaPoller
    from patient_stack.kafka_event_sources.settings import MappingSettings, is_kafka_source

    if is_kafka_source(config):
        settings = MappingSettings.parse(config)
        holder.create_poller_fn = lambda arn, client, processor: KafkaPoller(
            settings, kafka_api=client, processor=processor
        )


@runtime_hooks.on_infra_start(should_load=IS_ACTIVE)
def run_kafka_mappings() -> None:
    """Run the Kafka pollers in our own worker.

    LocalStack's worker waits between two polls, keeps a disabled mapping for ever after its
    deletion, and lets the old and the new poller of a changed mapping run at the same time.
    """
    from localstack.services.lambda_.event_source_mapping.esm_worker import EsmWorker
    from localstack.services.lambda_.event_source_mapping.esm_worker_factory import (
        EsmWorkerFactory,
    )
    from localstack.utils.patch import patch

    from patient_stack.kafka_event_sources.poller import KafkaPoller
    from patient_stack.kafka_event_sources.worker import KafkaEventSourceWorker

    @patch(EsmWorkerFactory.get_esm_worker)
    def get_esm_worker(get_worker: Any, factory: EsmWorkerFactory) -> EsmWorker:
        worker = get_worker(factory)
        if isinstance(worker.poller, KafkaPoller):
            return KafkaEventSourceWorker(worker.esm_config, worker.poller, worker.enabled)
        return worker
