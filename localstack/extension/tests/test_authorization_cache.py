"""The cache of authorizations respects its limits of time and size."""

from __future__ import annotations

from dataclasses import dataclass

from patient_stack.api_authorizers.authorization import Authorization
from patient_stack.api_authorizers.cache import AuthorizationCache, CacheKey
from patient_stack.api_authorizers.identity import Identity
from patient_stack.api_authorizers.policy import Policy

AUTHORIZATION = Authorization("someone", Policy(()), {}, None)


@dataclass
class Clock:
    """A clock that advances when a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def key(caller: str) -> CacheKey:
    """The key of a caller."""
    return CacheKey("api", "stage", False, "authorizer", Identity((caller,)))


def test_an_entry_expires() -> None:
    """It is valid until the last moment, and not at it."""
    clock = Clock()
    cache = AuthorizationCache(clock=clock)
    cache.put(key("a"), "first", AUTHORIZATION, seconds=300)
    clock.now = 299.9
    assert cache.get(key("a"), "first") is AUTHORIZATION
    clock.now = 300.0
    assert cache.get(key("a"), "first") is None


def test_an_entry_of_another_deployment_is_removed() -> None:
    """Going back to the old deployment does not bring it back."""
    cache = AuthorizationCache()
    cache.put(key("a"), "first", AUTHORIZATION, seconds=300)
    assert cache.get(key("a"), "second") is None
    assert cache.get(key("a"), "first") is None


def test_the_least_recently_used_entry_is_evicted() -> None:
    """The cache never exceeds its maximum size."""
    cache = AuthorizationCache(maximum_entries=2)
    cache.put(key("a"), "first", AUTHORIZATION, seconds=300)
    cache.put(key("b"), "first", AUTHORIZATION, seconds=300)
    assert cache.get(key("a"), "first") is AUTHORIZATION
    cache.put(key("c"), "first", AUTHORIZATION, seconds=300)
    assert cache.get(key("b"), "first") is None
    assert cache.get(key("a"), "first") is AUTHORIZATION
    assert cache.get(key("c"), "first") is AUTHORIZATION
