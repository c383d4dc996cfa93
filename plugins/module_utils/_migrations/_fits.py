# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a release can run on a schema: what its models expect, held against what the catalogs say.

It does not matter which migrations made the schema, or whether the release knows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._migrations._contract import Catalog, Relation, Rule, takes

FITS = "fits"
DIFFERS = "differs"
DOUBTFUL = "doubtful"


@dataclass(frozen=True)
class Expected:
    """A column as a model has it. ``kind`` is written as PostgreSQL writes it, ``null``: the code may write NULL."""

    name: str
    kind: str
    null: bool


@dataclass(frozen=True)
class Model:
    """A table as a model has it.

    :param unique: the sets of columns that it keeps unique.
    :param foreign: its columns that refer to another table.
    :param checks: how many checks it has.
    """

    table: str
    columns: Mapping[str, Expected]
    unique: frozenset[frozenset[str]] = frozenset()
    foreign: frozenset[str] = frozenset()
    checks: int = 0


@dataclass(frozen=True)
class Fit:
    """The verdict: ``differs`` when something breaks, ``doubtful`` when something may.

    :param ahead: migrations that are applied and that the release does not have.
    """

    breaks: tuple[str, ...]
    doubts: tuple[str, ...]
    ahead: tuple[str, ...]

    @property
    def verdict(self) -> str:
        return DIFFERS if self.breaks else DOUBTFUL if self.doubts else FITS

    def __str__(self) -> str:
        newer = f", which is ahead of it by {', '.join(self.ahead)}" if self.ahead else ""
        if self.breaks:
            return f"the release can't run on this schema{newer}: {'; '.join(self.breaks)}"
        if self.doubts:
            return f"the release may not be able to run on this schema{newer}: {'; '.join(self.doubts)}"
        return f"the release can run on this schema{newer}"


def fit(models: Sequence[Model], catalog: Catalog, ahead: Sequence[str]) -> Fit:
    """Hold the models of a release against the catalogs.

    Rules that no model has are a doubt only where others than this release have changed the schema: its own migrations
    may have made them by SQL.
    """
    by_name = {relation.name: (oid, relation) for oid, relation in catalog.relations.items()}
    broken: list[str] = []
    doubtful: list[str] = []
    for model in models:
        if model.table not in by_name:
            broken.append(f"there is no table {model.table}")
            continue
        oid, relation = by_name[model.table]
        broken.extend(_breaks(model, relation))
        if ahead:
            doubtful.extend(_doubts(model, relation, [rule for rule in catalog.rules if rule.table == oid]))
    return Fit(tuple(broken), tuple(doubtful), tuple(ahead))


def _breaks(model: Model, relation: Relation) -> Iterator[str]:
    actual = {column.name: column for column in relation.columns.values()}
    for name, expected in model.columns.items():
        column = actual.get(name)
        if column is None:
            yield f"{model.table} has no column {name}"
            continue
        if not takes(column.kind, expected.kind):
            yield f"{model.table}.{name} is {column.kind}, the release expects {expected.kind}"
        if column.required and expected.null:
            yield f"{model.table}.{name} is NOT NULL, the release may write NULL"
    for name, column in actual.items():
        if name not in model.columns and column.required and not column.filled:
            yield f"{model.table}.{name} is required and has no default, and the release does not know it: INSERTs fail"


def _doubts(model: Model, relation: Relation, rules: Sequence[Rule]) -> Iterator[str]:
    checks = 0
    for rule in sorted(rules, key=lambda rule: rule.text):
        names = frozenset(relation.columns[number].name for number in rule.columns if number in relation.columns)
        # What it does not know it leaves alone.
        if names and not names & model.columns.keys():
            continue
        if rule.text.startswith("CHECK"):
            checks += 1
        elif rule.text.startswith("UNIQUE"):
            if names not in model.unique:
                yield f"{model.table} has a rule that the release does not know: {rule.text}"
        elif not (rule.text.startswith("FOREIGN KEY") and names <= model.foreign):
            yield f"{model.table} has a rule that the release does not know: {rule.text}"
    if checks > model.checks:
        yield f"{model.table} has {checks} checks, the release knows {model.checks}"
