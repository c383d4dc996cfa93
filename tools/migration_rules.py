# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of docs/migrations.md that follows from the table of rules: ``python tools/migration_rules.py write``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".cache" / "collections"))

from ansible_collections.slipway.django.plugins.module_utils._migrations._instead import filled  # noqa: E402
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (  # noqa: E402
    OLDEST_SERVER,
    AnyRule,
    work_of,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import (  # noqa: E402
    ACTION_RULES,
    ASPECTS,
    OPERATION_RULES,
    STATE_RULES,
)

PAGE = ROOT / "docs" / "migrations.md"
BEGIN = "<!-- what follows is written by tools/migration_rules.py -->"
MANUAL = "https://www.postgresql.org/docs/current/{}.html"
GROUPS: tuple[tuple[str, tuple[AnyRule, ...]], ...] = (
    ("Operations of Django", (*OPERATION_RULES, *STATE_RULES)),
    ("Beside the rule of a statement", ASPECTS),
    ("Statements", ACTION_RULES),
)
WORK = {
    "none": "online",
    "brief": "care",
    "long": "care; downtime on a table of more than 64 MiB",
    "fails": "fails",
    "unknown": "unknown",
}
STYLE = "-"  # a matter of style, which is not judged here
PEERS: dict[str, dict[str, str]] = {
    "strong_migrations": {
        "removing a column": "drop-column",
        "changing the type of a column": "change-type",
        "renaming a column": "rename-column",
        "renaming a table": "rename-table",
        "renaming a schema": "rename-schema",
        "renaming an enum value": "rename-enum-value",
        "creating a table with the force option": "drop-table",
        "adding an auto-incrementing column": "add-column-serial",
        "adding a stored generated column": "add-column-generated-stored",
        "adding a column with a volatile default": "add-column-volatile-default",
        "adding a json column": "add-column-json",
        "adding a check constraint": "add-check",
        "validating while writes are blocked": "work-under-lock",
        "executing SQL directly": "unknown-statement",
        "backfilling data": "update-rows",
        "adding an index non-concurrently": "create-index",
        "removing an index non-concurrently": "drop-index",
        "adding a reference": "add-column-refers",
        "adding a foreign key": "add-foreign-key",
        "adding a unique constraint": "add-unique",
        "adding an exclusion constraint": "add-exclude",
        "setting NOT NULL": "set-not-null",
        "setting NOT NULL with a default": "work-under-lock",
        "changing the default of a column": "drop-default",
        "keeping non-unique indexes to three columns": STYLE,
        "index corruption of PostgreSQL 14.0 to 14.3": STYLE,
    },
    "squawk": {
        "adding-field-with-default": "add-column-volatile-default",
        "adding-foreign-key-constraint": "add-foreign-key",
        "adding-not-nullable-field": "set-not-null",
        "adding-required-field": "add-column-without-default",
        "adding-serial-primary-key-field": "add-column-serial",
        "adding-primary-key-constraint": "add-primary-key",
        "ban-alter-domain-with-add-constraint": "add-domain-constraint",
        "ban-create-domain-with-constraint": "add-column-volatile-default",
        "ban-alter-generated-expression": "set-expression",
        "ban-drop-generated-expression": "drop-expression",
        "ban-alter-identity": "drop-identity",
        "ban-concurrent-index-creation-in-transaction": "concurrently-in-transaction",
        "ban-disable-trigger": "switch-trigger",
        "ban-drop-column": "drop-column",
        "ban-drop-constraint": "drop-constraint",
        "ban-drop-database": "drop-database",
        "ban-drop-default": "drop-default",
        "ban-set-default": "set-default",
        "ban-drop-domain": "drop-object",
        "ban-drop-extension": "drop-object",
        "ban-drop-function": "drop-object",
        "ban-drop-sequence": "drop-object",
        "ban-drop-type": "drop-object",
        "ban-drop-index": "drop-index",
        "ban-drop-not-null": "drop-not-null",
        "ban-drop-policy": "policy",
        "ban-create-policy": "policy",
        "ban-alter-policy-condition": "unknown-statement",
        "ban-alter-policy-roles": "unknown-statement",
        "ban-alter-row-level-security": "row-security",
        "ban-drop-schema": "drop-schema",
        "ban-drop-table": "drop-table",
        "ban-drop-trigger": "drop-trigger",
        "ban-drop-view": "drop-view",
        "ban-replace-view-function": "replace-view",
        "ban-replica-identity": "replica-identity",
        "ban-revoke": "revoke",
        "ban-set-schema": "set-schema",
        "ban-truncate-cascade": "truncate",
        "ban-uncommitted-transaction": "transaction-control",
        "transaction-nesting": "transaction-control",
        "ban-add-composite-attribute": "change-attribute",
        "ban-add-enum-value": "add-enum-value",
        "ban-add-column": "add-column",
        "ban-alter-sequence-values": "alter-sequence",
        "ban-detach-inheritance": "inherit",
        "ban-new-write-restriction": "create-trigger",
        "ban-alter-database-options": "unknown-statement",
        "ban-alter-extension": "unknown-statement",
        "ban-alter-function-options": "unknown-statement",
        "ban-alter-role-options": "unknown-statement",
        "ban-alter-system-options": "unknown-statement",
        "ban-alter-view-options": "unknown-statement",
        "ban-duplicate-column-assignments": STYLE,
        "changing-column-type": "change-type",
        "constraint-missing-not-valid": "add-check",
        "disallowed-unique-constraint": "add-unique",
        "renaming-column": "rename-column",
        "renaming-object": "rename-enum-value",
        "renaming-table": "rename-table",
        "require-concurrent-index-creation": "create-index",
        "require-concurrent-index-deletion": "drop-index",
        "require-concurrent-partition-detach": "detach-partition",
        "require-concurrent-reindex": "reindex",
        "require-timeout-settings": "set-limit",
        "ban-char-field": STYLE,
        "identifier-too-long": STYLE,
        "prefer-bigint-over-int": STYLE,
        "prefer-bigint-over-smallint": STYLE,
        "prefer-identity": STYLE,
        "prefer-repack": STYLE,
        "prefer-robust-stmts": STYLE,
        "prefer-text-field": STYLE,
        "prefer-timestamptz": STYLE,
        "require-enum-value-ordering": STYLE,
        "require-table-schema": STYLE,
    },
    "django-migration-linter": {
        "NOT_NULL": "add-column-required",
        "DROP_COLUMN": "drop-column",
        "DROP_TABLE": "drop-table",
        "RENAME_COLUMN": "rename-column",
        "RENAME_TABLE": "rename-table",
        "ALTER_COLUMN": "change-type",
        "ADD_UNIQUE": "add-unique",
        "CREATE_INDEX": "create-index",
        "CREATE_INDEX_EXCLUSIVE": "work-under-lock",
        "DROP_INDEX": "drop-index",
        "REINDEX": "reindex",
        "RUNPYTHON_REVERSIBLE": "run-python",
        "RUNSQL_REVERSIBLE": "unknown-statement",
        "RUNPYTHON_ARGS_NAMING_CONVENTION": STYLE,
        "RUNPYTHON_MODEL_IMPORT": STYLE,
        "RUNPYTHON_MODEL_VARIABLE_NAME": STYLE,
    },
    "eugene": {
        "E1 validating constraint": "add-check",
        "E2 validating NOT NULL": "set-not-null",
        "E3 json": "add-column-json",
        "E4 statements while holding a dangerous lock": "work-under-lock",
        "E5 type change": "change-type",
        "E6 index without CONCURRENTLY": "create-index",
        "E7 unique constraint makes an index": "add-unique",
        "E8 exclusion constraint": "add-exclude",
        "E9 no lock timeout": "set-limit",
        "E10 table rewritten": "change-type",
        "E11 serial or stored generated column": "add-column-serial",
        "W12 several ALTER TABLE of one table": STYLE,
        "W13 enum": STYLE,
        "W14 primary key from a nullable index": "add-primary-key-using-index",
    },
}


def page() -> str:
    """The whole page: what people wrote, and below the mark what follows from the table."""
    written = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    return f"{written}{BEGIN}\n\n{rules()}\n{peers()}"


def rules() -> str:
    parts = ["## The rules\n"]
    for title, group in GROUPS:
        parts.append(f"### {title}\n")
        parts.extend(map(_section, group))
    return "\n".join(parts)


def _section(rule: AnyRule) -> str:
    why = filled(rule.why, {})
    lines = [f"#### {rule.name}", "", f"{why[0].upper()}{why[1:]}.", ""]
    lines += [
        "| phase | class | lock | rewrites | reads all rows | from PostgreSQL |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    phase = "expand; offline when it is downtime" if rule.phase == "expand" and work_of(rule) == "long" else rule.phase
    lock = f"`{rule.lock}`" if rule.lock not in {"", "unknown"} else rule.lock or "none"
    since = str(rule.since) if rule.since > OLDEST_SERVER else f"{OLDEST_SERVER} (all)"
    cells = [phase, WORK[work_of(rule)], lock, _yes(rule.rewrite), _yes(rule.scan or rule.rewrite), since]
    lines += [f"| {' | '.join(cells)} |", ""]
    if rule.instead:
        lines += [f"{rule.instead}:", "", "```python", filled(rule.code, {}), "```", ""]
    if rule.manual:
        lines += [f"[PostgreSQL's manual]({MANUAL.format(rule.manual)})", ""]
    return "\n".join(lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def peers() -> str:
    parts = ["## The rules of others, and where they are here\n", "A dash: a matter of style, which is not judged.\n"]
    for peer, found in PEERS.items():
        parts += [f"### {peer}\n", "| there | here |\n| --- | --- |"]
        parts.append("\n".join(f"| {name} | {_link(rule)} |" for name, rule in found.items()) + "\n")
    return "\n".join(parts)


def _link(rule: str) -> str:
    return "-" if rule == STYLE else f"[{rule}](#{rule})"


def main() -> None:
    if sys.argv[1:] == ["write"]:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"{PAGE} is not what the table of rules says: run `python tools/migration_rules.py write`")


if __name__ == "__main__":
    main()
