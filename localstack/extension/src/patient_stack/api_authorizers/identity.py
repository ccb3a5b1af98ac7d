"""Extracts from a request the values that identify its caller to an authorizer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from localstack.aws.api.apigateway import Authorizer
from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext


class UnknownIdentitySource(ValueError):
    """The authorizer names an identity source that does not exist."""


@dataclass(frozen=True)
class Identity:
    """The values of all identity sources, in the authorizer's order."""

    values: tuple[str, ...]


def find_identity(authorizer: Authorizer, context: RestApiInvocationContext) -> Identity | None:
    """The caller's identity, or None if a source is missing, empty or malformed.

    Raises:
        UnknownIdentitySource: the authorizer is misconfigured.
    """
    sources = (authorizer.get("identitySource") or "").split(",")
    values = tuple(_value(source.strip(), context) for source in sources if source.strip())
    if not all(values):
        return None
    if authorizer["type"] == "TOKEN" and not _is_valid_token(authorizer, values):
        return None
    return Identity(values)


def _is_valid_token(authorizer: Authorizer, values: tuple[str, ...]) -> bool:
    if len(values) != 1:
        return False
    expression = authorizer.get("identityValidationExpression")
    # The whole token must match: a valid prefix says nothing about the rest.
    return not expression or re.fullmatch(expression, values[0]) is not None


def _value(source: str, context: RestApiInvocationContext) -> str | None:
    request = context.invocation_request
    if name := _after("method.request.header.", source):
        return request["headers"].get(name)
    if name := _after("method.request.querystring.", source):
        return request["query_string_parameters"].get(name)
    if name := _after("stageVariables.", source):
        return (context.stage_variables or {}).get(name)
    if name := _after("context.", source):
        return _context_variable(name, context)
    raise UnknownIdentitySource(f"there is no identity source {source!r}")


def _after(place: str, source: str) -> str | None:
    return source.removeprefix(place) if source.startswith(place) else None


def _context_variable(path: str, context: RestApiInvocationContext) -> str | None:
    value: Any = context.context_variables
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else str(value)
