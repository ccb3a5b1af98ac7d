"""Caches authorizations for the TTL of their authorizer."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext

from patient_stack.api_authorizers.authorization import Authorization
from patient_stack.api_authorizers.identity import Identity

MAXIMUM_ENTRIES = 10_000


@dataclass(frozen=True)
class CacheKey:
    """What an authorization is valid for: one caller at one authorizer of one stage."""

    api_id: str
    stage: str
    is_canary: bool
    authorizer_id: str
    identity: Identity

    @classmethod
    def of(
        cls, authorizer_id: str, identity: Identity, context: RestApiInvocationContext
    ) -> CacheKey:
        """The key of this request."""
        return cls(context.api_id, context.stage, bool(context.is_canary), authorizer_id, identity)


@dataclass(frozen=True)
class _Entry:
    authorization: Authorization
    deployment_id: str
    valid_until: float


class AuthorizationCache:
    """Authorizations by key, least recently used ones evicted first.

    An entry belongs to the deployment that created it: a new one may have another authorizer.
    """

    def __init__(
        self,
        maximum_entries: int = MAXIMUM_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start empty; `clock` returns seconds."""
        self._maximum_entries = maximum_entries
        self._clock = clock
        self._entries: OrderedDict[CacheKey, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: CacheKey, deployment_id: str) -> Authorization | None:
        """The authorization, if it is still valid for this deployment."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.deployment_id != deployment_id or entry.valid_until <= self._clock():
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry.authorization

    def put(
        self, key: CacheKey, deployment_id: str, authorization: Authorization, seconds: int
    ) -> None:
        """Store an authorization for this many seconds."""
        with self._lock:
            self._entries[key] = _Entry(authorization, deployment_id, self._clock() + seconds)
            self._entries.move_to_end(key)
            while len(self._entries) > self._maximum_entries:
                self._entries.popitem(last=False)
