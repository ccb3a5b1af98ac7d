"""Evaluates the policy of an authorizer for one method ARN, as IAM does for `execute-api`."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

LOG = logging.getLogger(__name__)

INVOKE = "execute-api:Invoke"
ARN_FIELDS = 6


class MalformedPolicy(ValueError):
    """The policy is not one that IAM would accept."""


class Decision(Enum):
    """The result of evaluating a policy for a method."""

    ALLOW = "allow"
    IMPLICIT_DENY = "implicit deny"
    EXPLICIT_DENY = "explicit deny"


@dataclass(frozen=True)
class Statement:
    """One statement, with unexpanded names and wildcards."""

    allows: bool
    actions: tuple[str, ...]
    actions_are_excluded: bool
    resources: tuple[str, ...]
    resources_are_excluded: bool
    has_condition: bool

    @classmethod
    def parse(cls, document: Any) -> Statement:
        """Read a statement.

        Raises:
            MalformedPolicy: a part is missing, given twice or of the wrong type.
        """
        if not isinstance(document, dict):
            raise MalformedPolicy("a statement is not an object")
        if document.get("Effect") not in ("Allow", "Deny"):
            raise MalformedPolicy("the Effect of a statement is neither Allow nor Deny")
        actions, actions_are_excluded = _names(document, "Action", "NotAction")
        resources, resources_are_excluded = _names(document, "Resource", "NotResource")
        return cls(
            allows=document["Effect"] == "Allow",
            actions=actions,
            actions_are_excluded=actions_are_excluded,
            resources=resources,
            resources_are_excluded=resources_are_excluded,
            has_condition=bool(document.get("Condition")),
        )

    def applies_to(self, method_arn: str) -> bool:
        """Whether the statement applies to invoking this method."""
        is_about_invoking = any(_action_matches(name) for name in self.actions)
        is_about_method = any(_resource_matches(name, method_arn) for name in self.resources)
        return (
            is_about_invoking != self.actions_are_excluded
            and is_about_method != self.resources_are_excluded
        )


@dataclass(frozen=True)
class Policy:
    """A well-formed policy document."""

    statements: tuple[Statement, ...]

    @classmethod
    def parse(cls, document: Any) -> Policy:
        """Read a policy document.

        Raises:
            MalformedPolicy: it is not a policy document.
        """
        if not isinstance(document, dict) or "Statement" not in document:
            raise MalformedPolicy("the policy document has no Statement")
        statements = document["Statement"]
        if not isinstance(statements, list):
            statements = [statements]
        return cls(tuple(Statement.parse(statement) for statement in statements))

    def decide(self, method_arn: str) -> Decision:
        """Whether the method may be invoked: one Deny outweighs every Allow."""
        decision = Decision.IMPLICIT_DENY
        for statement in self.statements:
            if not statement.applies_to(method_arn):
                continue
            if not statement.allows:
                return Decision.EXPLICIT_DENY
            if statement.has_condition:
                # Conditions are not evaluated, and an Allow that may not apply must not count.
                LOG.warning("An Allow with a Condition in an authorizer's policy was ignored")
                continue
            decision = Decision.ALLOW
        return decision


def _names(document: dict, included: str, excluded: str) -> tuple[tuple[str, ...], bool]:
    """The names under one of two keys, and whether it was the excluding one."""
    present = [key for key in (included, excluded) if key in document]
    if len(present) != 1:
        raise MalformedPolicy(f"a statement needs either {included} or {excluded}")
    names = document[present[0]]
    if isinstance(names, str):
        names = [names]
    is_list_of_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_list_of_names or not names:
        raise MalformedPolicy(f"{present[0]} is neither a string nor a list of strings")
    return tuple(names), present[0] == excluded


def _action_matches(pattern: str) -> bool:
    # The names of actions are case-insensitive, those of resources are not.
    return _matches(pattern.lower(), INVOKE.lower())


def _resource_matches(pattern: str, arn: str) -> bool:
    """Compare ARNs field by field: no wildcard matches a colon, except in the last field."""
    if pattern == "*":
        return True
    return _all_match(_fields(pattern), arn.split(":", ARN_FIELDS - 1))


def _fields(pattern: str) -> Sequence[str]:
    """The fields of an ARN pattern; IAM completes an incomplete one with wildcards."""
    fields = pattern.split(":", ARN_FIELDS - 1)
    return fields + ["*"] * (ARN_FIELDS - len(fields))


def _all_match(patterns: Sequence[str], texts: Sequence[str]) -> bool:
    return all(_matches(pattern, text) for pattern, text in zip(patterns, texts, strict=True))


def _matches(pattern: str, text: str) -> bool:
    return _expression(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    """`*` matches any characters, including slashes; `?` exactly one; everything else itself."""
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(char) or re.escape(char) for char in pattern), re.DOTALL)
