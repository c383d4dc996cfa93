# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: what each operation and each statement means for old code, and whom it keeps waiting.

``OPERATION_RULES`` come first and need what Django knows; then each action of each statement is looked up. The
last rule of each list applies always: what is not known here is unknown, never harmless. Locks, rewrites and
scans are held against a server by a test for each rule.
"""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._columns import (
    COLUMN_ASPECTS,
    COLUMN_RULES,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._constraints import CONSTRAINT_RULES
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._indexes import INDEX_RULES
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._operations import (
    OPERATION_RULES,
    STATE_RULES,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._other import (
    AROUND_RULES,
    DATA_RULES,
    OBJECT_RULES,
    UNKNOWN_RULES,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    ActionRule,
    AnyRule,
    Context,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._tables import TABLE_RULES
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._undo import UNDO_RULES
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import KINDS, Action

ACTION_RULES: tuple[ActionRule, ...] = (
    *COLUMN_RULES,
    *TABLE_RULES,
    *INDEX_RULES,
    *CONSTRAINT_RULES,
    *DATA_RULES,
    *OBJECT_RULES,
    *UNKNOWN_RULES,
)
ASPECTS: tuple[ActionRule, ...] = (*COLUMN_ASPECTS, *AROUND_RULES)
RULES: tuple[AnyRule, ...] = (*OPERATION_RULES, *STATE_RULES, *ASPECTS, *ACTION_RULES)
# Those that a person can let pass, by name.
RULE_NAMES = frozenset(rule.name for rule in RULES)


def _by_kind(rules: tuple[ActionRule, ...]) -> dict[str, tuple[ActionRule, ...]]:
    return {kind: tuple(rule for rule in rules if not rule.on or kind in rule.on) for kind in KINDS}


_OWN = _by_kind(ACTION_RULES)
_BESIDE = _by_kind(ASPECTS)


def rules_of(action: Action, operation: Operation, context: Context) -> list[ActionRule]:
    """Return the rules that apply to an action: all aspects, and the first of the rules about its kind."""

    def applies(rule: ActionRule) -> bool:
        return rule.since <= context.server and rule.when(action, operation, context)

    aspects = [rule for rule in _BESIDE[action.kind] if applies(rule)]
    return [*aspects, next(rule for rule in _OWN[action.kind] if applies(rule))]


__all__ = ["ACTION_RULES", "OPERATION_RULES", "RULES", "RULE_NAMES", "STATE_RULES", "UNDO_RULES", "rules_of"]
