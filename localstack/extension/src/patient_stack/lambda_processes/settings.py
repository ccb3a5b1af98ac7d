"""What there is to know about a function in order to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FunctionSettings:
    """One version of a function. Times are in seconds, sizes in bytes."""

    account_id: str
    name: str
    version: str
    handler: str
    code: Path
    runtime: str
    memory_megabytes: int
    timeout: int
    init_timeout: int
    response_limit: int
    environment: Mapping[str, str]
    log_file: Path | None
