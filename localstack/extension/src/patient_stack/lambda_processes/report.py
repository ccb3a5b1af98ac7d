"""The lines that end the log of an invocation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from patient_stack.lambda_processes.invocation import Outcome


@dataclass(frozen=True)
class Measurements:
    """What was measured of an invocation. Sizes are in megabytes; None means unknown."""

    seconds: float
    init_seconds: float | None
    memory_size: int
    memory_used: int | None


def closing_lines(request_id: str, outcome: Outcome, measured: Measurements) -> list[str]:
    """What went wrong, if anything did, and what the invocation took."""
    milliseconds = measured.seconds * 1000
    report = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {milliseconds:.2f} ms",
        f"Billed Duration: {math.ceil(milliseconds)} ms",
        f"Memory Size: {measured.memory_size} MB",
    ]
    if measured.memory_used is not None:
        report.append(f"Max Memory Used: {measured.memory_used} MB")
    if measured.init_seconds is not None:
        report.append(f"Init Duration: {measured.init_seconds * 1000:.2f} ms")
    if outcome.status is not None:
        report.append(f"Status: {outcome.status}")
    if outcome.status == "error":
        report.append(f"Error Type: {outcome.error_type}")
    return [*outcome.log_lines, f"END RequestId: {request_id}", "\t".join(report)]
