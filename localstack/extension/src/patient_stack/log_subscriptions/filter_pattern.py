"""Filter patterns of CloudWatch Logs for lines that are JSON objects.

`{ ($.status = 403) && ($.path = "/api/*") }`: comparisons with strings, in which `*` is a wildcard,
and with numbers; `IS NULL`, `IS TRUE`, `IS FALSE`, `NOT EXISTS`; `&&` before `||`.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Condition = Callable[[Any], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<sign>\(|\)|&&|\|\||!=|<=|>=|=|<|>)
        | (?P<field>\$(?:\.[A-Za-z0-9_-]+|\[\d+\])+)
        | (?P<string>"(?:[^"\\]|\\.)*")
        | (?P<word>[^\s()=!<>&|"]+)
    )""",
    re.VERBOSE,
)
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_CONSTANTS = {"NULL": None, "TRUE": True, "FALSE": False}
_ABSENT = object()


class UnknownPattern(Exception):
    """The pattern is not supported."""


@lru_cache(maxsize=100)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A predicate for lines that match the pattern.

    Raises:
        UnknownPattern: it is not a JSON pattern, or contains something that is not listed above.
    """
    text = pattern.strip()
    if not (text.startswith("{") and text.endswith("}")):
        raise UnknownPattern(pattern)
    parser = _Parser(text[1:-1])
    condition = parser.either()
    if parser.tokens:
        raise UnknownPattern(pattern)

    def matches(line: str) -> bool:
        try:
            return condition(json.loads(line))
        except ValueError:
            return False

    return matches


class _Parser:
    """Consumes tokens from the left; each method parses what it is named after."""

    def __init__(self, text: str) -> None:
        """Split the text into tokens."""
        self.tokens: list[tuple[str, str]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise UnknownPattern(text)
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def either(self) -> Condition:
        """Conditions with `||` between them."""
        conditions = self._separated("||", self._all)
        return lambda line: any(condition(line) for condition in conditions)

    def _all(self) -> Condition:
        conditions = self._separated("&&", self._single)
        return lambda line: all(condition(line) for condition in conditions)

    def _separated(self, sign: str, part: Callable[[], Condition]) -> list[Condition]:
        conditions = [part()]
        while self.tokens[:1] == [("sign", sign)]:
            self._take()
            conditions.append(part())
        return conditions

    def _single(self) -> Condition:
        kind, token = self._take()
        if token == "(":
            condition = self.either()
            self._expect(")")
            return condition
        if kind != "field":
            raise UnknownPattern(token)
        return self._about(token)

    def _about(self, field: str) -> Condition:
        _, sign = self._take()
        if sign == "NOT":
            self._expect("EXISTS")
            return lambda line: _value(line, field) is _ABSENT
        kind, wanted = self._take()
        if sign == "IS" and wanted in _CONSTANTS:
            return lambda line: _value(line, field) is _CONSTANTS[wanted]
        if kind == "string":
            wanted = json.loads(wanted)
        elif kind != "word" or wanted.startswith("%"):
            raise UnknownPattern(wanted)
        return _comparison(field, sign, wanted, _number(wanted) if kind == "word" else None)

    def _take(self) -> tuple[str, str]:
        if not self.tokens:
            raise UnknownPattern("unexpected end")
        return self.tokens.pop(0)

    def _expect(self, wanted: str) -> None:
        _, token = self._take()
        if token != wanted:
            raise UnknownPattern(token)


def _comparison(field: str, sign: str, text: str, number: float | None) -> Condition:
    if sign in ("=", "!="):
        pattern = re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)

        def is_equal(value: Any) -> bool:
            if isinstance(value, str):
                return pattern.fullmatch(value) is not None
            return number is not None and _is_number(value) and value == number

        # A missing field is neither equal nor different.
        return lambda line: (
            (value := _value(line, field)) is not _ABSENT and (is_equal(value) == (sign == "="))
        )
    if sign not in _ORDER or number is None:
        raise UnknownPattern(sign)
    return lambda line: _is_number(value := _value(line, field)) and _ORDER[sign](value, number)


def _value(line: Any, field: str) -> Any:
    value = line
    for name, index in _STEP.findall(field):
        if name and isinstance(value, dict):
            value = value.get(name, _ABSENT)
        elif index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            return _ABSENT
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
