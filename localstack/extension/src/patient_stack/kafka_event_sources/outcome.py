"""How an attempt to hand on a batch can end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Delivered:
    """The function took every record, or the destination took the batch."""


@dataclass(frozen=True)
class DeliveredUpTo:
    """The function took the records before this offset, and asks for the rest again."""

    first_failed_offset: int


@dataclass(frozen=True)
class FunctionFailed:
    """The function ended with an error; what AWS tells about it in a failure record."""

    request_id: str | None
    status_code: int
    executed_version: str
    function_error: str | None


@dataclass(frozen=True)
class NotAttempted:
    """Nobody saw the batch: no capacity, no such function, no destination, a shutdown …"""

    reason: str


@dataclass(frozen=True)
class TooLarge:
    """The event is larger than an invocation may be."""


Outcome = Delivered | DeliveredUpTo | FunctionFailed | NotAttempted | TooLarge
