"""Decides whether a part of the extension without a setting in LocalStack is enabled.

A paid LocalStack has these features built in, so they stay disabled there. Each can be disabled by
listing its name in the comma-separated `PATIENT_STACK_DISABLE`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable


def unless_disabled(feature: str) -> Callable[[], bool]:
    """The condition under which the hooks of `feature` are loaded."""

    def is_active() -> bool:
        disabled = {name.strip() for name in os.environ.get("PATIENT_STACK_DISABLE", "").split(",")}
        return feature not in disabled and not _is_paid_localstack()

    return is_active


def _is_paid_localstack() -> bool:
    return importlib.util.find_spec("localstack.pro") is not None
