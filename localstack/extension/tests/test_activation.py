"""Each feature can be disabled, and all are disabled beside a paid LocalStack."""

from __future__ import annotations

import importlib.util

import pytest

from patient_stack.activation import unless_disabled


def test_a_feature_is_enabled_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to be set."""
    monkeypatch.delenv("PATIENT_STACK_DISABLE", raising=False)
    assert unless_disabled("api-authorizers")()


def test_features_are_disabled_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disabling one does not affect another."""
    monkeypatch.setenv("PATIENT_STACK_DISABLE", "api-authorizers, kafka-event-sources")
    assert not unless_disabled("api-authorizers")()
    assert not unless_disabled("kafka-event-sources")()
    assert unless_disabled("gateway-responses")()


def test_a_paid_localstack_uses_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has these features built in, and both together would do everything twice."""
    found = importlib.util.find_spec("json")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name == "localstack.pro" else None
    )
    assert not unless_disabled("api-authorizers")()
