"""The functions' metrics in CloudWatch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from functions import invoke
from stack import LocalStack, python_function, wait_until


def total(localstack: LocalStack, function_name: str, metric: str) -> float:
    """The sum of the metric so far."""
    statistics = localstack.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": "FunctionName", "Value": function_name}],
        StartTime=datetime.now(UTC) - timedelta(hours=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=5),
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in statistics["Datapoints"])


def test_calls_and_failures_are_counted(localstack: LocalStack) -> None:
    """Each call is counted once, and each failure also as an error."""
    name = localstack.create_function(python_function("return 1 / event"))

    for divisor in (1, 2, 0, 4, 0):
        invoke(localstack, name, divisor)

    wait_until(lambda: total(localstack, name, "Invocations") == 5, "five invocations")
    wait_until(lambda: total(localstack, name, "Errors") == 2, "two errors")
