"""Whether an existing table is the one that a deployment wants to create.

The data of dynoxide outlives LocalStack, which forgets its deployments when it stops. So the next
deployment of the same template creates every table again, and must succeed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Table = Mapping[str, Any]
"""A `CreateTable` request or a table's description: the relevant fields have the same names."""


def differences(wanted: Table, existing: Table) -> list[str]:
    """List what cannot be changed in place; an empty list means that the table matches."""
    reasons = []
    if _keys(wanted) != _keys(existing):
        reasons.append("the key schema")
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        ours, theirs = _indexes(wanted, kind), _indexes(existing, kind)
        names = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        reasons += [f"the index {name}" for name in names]
    return reasons


def changes(wanted: Table, existing: Table) -> dict[str, Any]:
    """What an `UpdateTable` must set to make the existing table match."""
    update = {}
    protected = wanted.get("DeletionProtectionEnabled")
    if protected is not None and protected != existing.get("DeletionProtectionEnabled", False):
        update["DeletionProtectionEnabled"] = protected
    stream = wanted.get("StreamSpecification")
    if stream and stream != existing.get("StreamSpecification", {"StreamEnabled": False}):
        update["StreamSpecification"] = stream
    return update


def _keys(table: Table, of: Table | None = None) -> list[tuple[str, str, str | None]]:
    """The key attributes with their roles and types, in order."""
    types = {a["AttributeName"]: a["AttributeType"] for a in table.get("AttributeDefinitions", ())}
    schema = (of or table)["KeySchema"]
    return [(k["AttributeName"], k["KeyType"], types.get(k["AttributeName"])) for k in schema]


def _indexes(table: Table, kind: str) -> dict[str, tuple[Any, ...]]:
    indexes: Iterable[Mapping[str, Any]] = table.get(kind) or ()
    return {
        index["IndexName"]: (
            _keys(table, index),
            index["Projection"].get("ProjectionType"),
            sorted(index["Projection"].get("NonKeyAttributes") or ()),
        )
        for index in indexes
    }
