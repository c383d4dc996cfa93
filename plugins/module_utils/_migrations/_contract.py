# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What code that was written for one schema meets when it runs on another.

Two pictures of PostgreSQL's catalogs are compared, so that it does not matter by which SQL one became the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Each type with those that take whatever it took.
_WIDER: Mapping[str, tuple[str, ...]] = {
    "smallint": ("integer", "bigint", "numeric"),
    "integer": ("bigint", "numeric"),
    "bigint": ("numeric",),
    "real": ("double precision",),
    "character varying": ("text",),
    "cidr": ("inet",),
}
_SIZED = re.compile(r"(?P<name>[a-z ]+?)\((?P<size>\d+)(?:,(?P<scale>\d+))?\)\Z")


@dataclass(frozen=True)
class Column:
    """A column. ``filled``: the server fills it in when an INSERT leaves it out."""

    name: str
    kind: str
    required: bool
    filled: bool


@dataclass(frozen=True)
class Relation:
    """A table or view with its columns by their numbers, which stay when a name changes."""

    name: str
    columns: Mapping[int, Column]


@dataclass(frozen=True)
class Rule:
    """A constraint or unique index: what it says of which columns, without its name and without NOT VALID."""

    table: int
    text: str
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Catalog:
    """The part of a schema that code can notice; relations by their oids."""

    relations: Mapping[int, Relation]
    rules: frozenset[Rule] = frozenset()
    indexes: frozenset[Rule] = frozenset()
    triggers: frozenset[Rule] = frozenset()
    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def breaks(before: Catalog, after: Catalog) -> list[str]:
    """Return in words what code of ``before`` can't live with in ``after``; empty when it can."""
    return [
        *(text for oid, old in before.relations.items() for text in _of_relation(old, after.relations.get(oid))),
        *_of_rules(before, after),
        *_of_enums(before.enums, after.enums),
    ]


def doubts(before: Catalog, after: Catalog) -> list[str]:
    """Return in words what code of ``before`` may notice in ``after`` in a way that no catalog tells."""
    found = [
        f"{old.name}.{column.name} may be NULL now, and new code may write what old code does not expect"
        for old, new in _both(before, after)
        for number, column in old.columns.items()
        if column.required and number in new.columns and not new.columns[number].required
    ]
    for gone in _sorted(before.indexes - after.indexes):
        if gone.table in after.relations:
            found.append(f"an index of {before.relations[gone.table].name} is gone, {gone.text}: old code may be slow")
    for trigger in _sorted(after.triggers ^ before.triggers):
        if trigger.table in before.relations and trigger.table in after.relations:
            found.append(f"a trigger of {before.relations[trigger.table].name} is new or gone: {trigger.text}")
    return found


def _both(before: Catalog, after: Catalog) -> Iterator[tuple[Relation, Relation]]:
    for oid, old in before.relations.items():
        if oid in after.relations:
            yield old, after.relations[oid]


def _sorted(rules: frozenset[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: (rule.table, rule.text))


def facts(catalog: Catalog) -> frozenset[str]:
    """Return the schema as statements about names: equal sets are equal schemas, however they came to be.

    The order of columns is not part of it: one that was dropped and comes back is the last.
    """
    names = {oid: relation.name for oid, relation in catalog.relations.items()}
    found = {f"{relation.name} exists" for relation in catalog.relations.values()}
    for relation in catalog.relations.values():
        for column in relation.columns.values():
            found.add(
                f"{relation.name}.{column.name} is {column.kind}{' NOT NULL' if column.required else ''}"
                f"{', filled by the server' if column.filled else ''}"
            )
    for word, rules in (("rule", catalog.rules), ("index", catalog.indexes), ("trigger", catalog.triggers)):
        found |= {f"{names.get(rule.table, '')} has the {word} {rule.text}" for rule in rules}
    found |= {f"{name} has the labels {', '.join(labels)}" for name, labels in catalog.enums.items()}
    return frozenset(found)


def _of_relation(old: Relation, new: Relation | None) -> Iterator[str]:
    if new is None:
        yield f"{old.name} is gone"
        return
    if new.name != old.name:
        yield f"{old.name} is called {new.name} now"
    for number, column in old.columns.items():
        yield from _of_column(f"{old.name}.{column.name}", column, new.columns.get(number))
    for number, column in new.columns.items():
        if number not in old.columns and column.required and not column.filled:
            yield f"{old.name}.{column.name} is required and has no default: INSERTs that leave it out fail"


def _of_column(name: str, old: Column, new: Column | None) -> Iterator[str]:
    if new is None:
        yield f"{name} is gone"
        return
    if new.name != old.name:
        yield f"{name} is called {new.name} now"
    if not takes(new.kind, old.kind):
        yield f"{name} is {new.kind} now and was {old.kind}"
    if new.required and not old.required:
        yield f"{name} is NOT NULL now"
    if new.required and old.filled and not new.filled:
        yield f"{name} is required and has lost its default"


def takes(new: str, old: str) -> bool:
    """Whether a column of type ``new`` takes all that one of type ``old`` took. Unknown is no."""
    if new == old:
        return True
    (new_name, new_size, new_scale), (old_name, old_size, old_scale) = _parts(new), _parts(old)
    if new_name == old_name and new_scale == old_scale:
        return new_size is None or (old_size is not None and new_size >= old_size)
    if new_name == old_name == "numeric":
        return new_size is None
    return new_size is None and new_name in _WIDER.get(old_name, ())


def _parts(kind: str) -> tuple[str, int | None, int | None]:
    match = _SIZED.match(kind)
    if match is None:
        return kind, None, None
    return match["name"], int(match["size"]), int(match["scale"]) if match["scale"] else None


def _of_rules(before: Catalog, after: Catalog) -> Iterator[str]:
    for rule in _sorted(after.rules - before.rules):
        old = before.relations.get(rule.table)
        # Of columns that the old code does not know it leaves what they are filled with.
        if old is not None and (not rule.columns or any(number in old.columns for number in rule.columns)):
            yield f"{old.name} has a new rule: {rule.text}"


def _of_enums(before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for name, labels in before.items():
        gone = [label for label in labels if label not in after.get(name, ())]
        if name not in after:
            yield f"type {name} is gone"
        elif gone:
            yield f"type {name} has lost {', '.join(gone)}"
