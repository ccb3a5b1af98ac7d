"""Replaces the variables in a gateway response's body and headers.

API Gateway does not run these templates as Velocity: it replaces variables and nothing else.
"""

from __future__ import annotations

import json
import re
from typing import Any

from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext

_VARIABLE = re.compile(
    r"\$(?P<brace>\{)?(?P<name>(?:context|stageVariables)(?:\.[A-Za-z0-9_-]+)+)(?(brace)\})"
)


def render_body(template: str, media_type: str, context: RestApiInvocationContext) -> str:
    """The template with its variables replaced; unknown ones become empty."""

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        text = _text(_variable(name, context))
        # Its value includes quotes, so that a template can contain `"message":$…`.
        if name == "context.error.messageString" or not _is_json(media_type):
            return text
        return json.dumps(text)[1:-1]

    return _VARIABLE.sub(replacement, template)


def render_header(expression: str, context: RestApiInvocationContext) -> str | None:
    """The value of a header: a constant in quotes, a part of the request, or a variable."""
    if len(expression) >= 2 and expression[0] == expression[-1] == "'":
        return expression[1:-1]
    value = _request_parameter(expression, context)
    return None if value is None else _text(value)


def error_variables(message: str | None, response_type: str) -> dict[str, Any]:
    """`$context.error` for a response of the gateway itself."""
    return {
        "message": message,
        "messageString": json.dumps(message),
        "responseType": str(response_type),
        "validationErrorString": "",
    }


def _request_parameter(expression: str, context: RestApiInvocationContext) -> Any:
    request = context.invocation_request
    places = {
        "method.request.header.": request["headers"],
        "method.request.querystring.": request["query_string_parameters"],
        "method.request.path.": request.get("path_parameters") or {},
    }
    for place, values in places.items():
        if expression.startswith(place):
            return values.get(expression.removeprefix(place))
    return _variable(expression, context)


def _variable(path: str, context: RestApiInvocationContext) -> Any:
    root, *names = path.split(".")
    value: Any = None
    if root == "context":
        value = context.context_variables
    elif root == "stageVariables":
        value = context.stage_variables
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _is_json(media_type: str) -> bool:
    subtype = media_type.partition(";")[0].strip().lower().partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")
