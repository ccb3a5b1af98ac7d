"""The functions' `Invocations` and `Errors` in CloudWatch, sent once a second instead of per call.

LocalStack sends each of them with a separate call, which takes longer than the rest of a warm
invocation.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from localstack.aws.connect import connect_to
from localstack.services.lambda_.invocation import version_manager
from localstack.utils.bootstrap import is_api_enabled

LOG = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0


@dataclass(frozen=True)
class Metric:
    """A counter of one function."""

    account_id: str
    region_name: str
    function_name: str
    name: str

    def datum(self, count: int, time: datetime) -> dict[str, Any]:
        """`count` events at this time, in CloudWatch's form."""
        return {
            "MetricName": self.name,
            "Dimensions": [{"Name": "FunctionName", "Value": self.function_name}],
            "Timestamp": time,
            "StatisticValues": {"SampleCount": count, "Sum": count, "Minimum": 1, "Maximum": 1},
        }


class InvocationMetrics:
    """Counts what LocalStack records, and sends it at the end of each period."""

    def __init__(self) -> None:
        """Start with nothing to send."""
        self._lock = threading.Lock()
        self._counts: Counter[Metric] = Counter()

    def record_invocation(self, function_name: str, account_id: str, region_name: str) -> None:
        """Count a successful call. The signature is that of LocalStack's function."""
        self._count(account_id, region_name, function_name, "Invocations")

    def record_error(self, function_name: str, account_id: str, region_name: str) -> None:
        """Count a failed call."""
        self._count(account_id, region_name, function_name, "Invocations", "Errors")

    def send(self) -> None:
        """Send the current counts."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        now = datetime.now(UTC)
        for metric, count in counts.items():
            try:
                cloudwatch = connect_to(
                    aws_access_key_id=metric.account_id, region_name=metric.region_name
                ).cloudwatch
                cloudwatch.put_metric_data(
                    Namespace="AWS/Lambda", MetricData=[metric.datum(count, now)]
                )
            except Exception as error:
                LOG.warning(
                    "%s of %s are not counted: %s", metric.name, metric.function_name, error
                )

    def _count(self, account_id: str, region_name: str, function_name: str, *names: str) -> None:
        if not is_api_enabled("cloudwatch"):
            return
        with self._lock:
            if not self._counts:
                timer = threading.Timer(PERIOD_SECONDS, self.send)
                timer.daemon = True
                timer.start()
            for name in names:
                self._counts[Metric(account_id, region_name, function_name, name)] += 1


def install() -> None:
    """Replace what LocalStack does after each invocation."""
    metrics = InvocationMetrics()
    version_manager.record_cw_metric_invocation = metrics.record_invocation
    version_manager.record_cw_metric_error = metrics.record_error
