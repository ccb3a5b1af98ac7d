"""Finds the brokers of a mapping's cluster."""

from __future__ import annotations

import os

from botocore.client import BaseClient

from patient_stack.kafka_event_sources.event import Source
from patient_stack.kafka_event_sources.settings import MappingSettings

# The brokers to use for any MSK cluster, since LocalStack has no real ones.
BROKERS_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS_FOR_MSK"


class ClusterNotFound(Exception):
    """The cluster's brokers are unknown."""


def find_source(settings: MappingSettings, kafka_api: BaseClient | None) -> Source:
    """The source of a mapping's records.

    Raises:
        ClusterNotFound: the mapping names no brokers, and none are known for its MSK cluster.
    """
    if settings.bootstrap_servers:
        return Source(",".join(settings.bootstrap_servers), settings.cluster_arn)
    if settings.cluster_arn is None:
        raise ClusterNotFound("the mapping names neither brokers nor a cluster")
    if servers := os.environ.get(BROKERS_VARIABLE):
        return Source(servers, settings.cluster_arn)
    try:
        answer = kafka_api.get_bootstrap_brokers(ClusterArn=settings.cluster_arn)
        return Source(answer["BootstrapBrokerString"], settings.cluster_arn)
    except Exception as reason:
        raise ClusterNotFound(
            f"the brokers of {settings.cluster_arn} are unknown; name them in {BROKERS_VARIABLE}"
        ) from reason
