"""The possible outcomes of delivering a batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Delivered:
    """The function processed every record, or the destination accepted the batch."""


@dataclass(frozen=True)
class DeliveredUpTo:
    """The function processed the records before this offset, and wants the rest again."""

    first_failed_offset: int


@dataclass(frozen=True)
class FunctionFailed:
    """The function failed, with the details that AWS includes in a failure record."""

    request_id: str | None
    status_code: int
    executed_version: str
    function_error: str | None


@dataclass(frozen=True)
class NotAttempted:
    """The batch was not delivered: no capacity, no such function, no destination, a shutdown …"""

    reason: str


@dataclass(frozen=True)
class TooLarge:
    """The event is larger than an invocation may be."""


Outcome = Delivered | DeliveredUpTo | FunctionFailed | NotAttempted | TooLarge
