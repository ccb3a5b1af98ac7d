"""Replaces the variables in an access log's format.

As in API Gateway, only `$context` is known, a missing value becomes a hyphen, and nothing else is
evaluated. Values are escaped as in JSON strings, so that no request can break out of its field or
its line.
"""

from __future__ import annotations

import json
import re
from typing import Any

_VARIABLE = re.compile(r"\$context(?P<path>(?:\.[A-Za-z0-9_-]+)+)")
_MISSING = "-"
# Its value includes quotes, so that a format can contain `"message":$…`.
_QUOTED = ("error", "messageString")


def render_line(line_format: str, variables: dict[str, Any]) -> str:
    """The format with the variables of one request."""

    def replacement(match: re.Match[str]) -> str:
        names = tuple(match["path"].split(".")[1:])
        text = _text(variables, names)
        return text if names == _QUOTED else json.dumps(text)[1:-1]

    return _VARIABLE.sub(replacement, line_format)


def _text(variables: dict[str, Any], names: tuple[str, ...]) -> str:
    value: Any = variables
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None or value == "" or isinstance(value, dict):
        return _MISSING
    return value if isinstance(value, str) else json.dumps(value)
