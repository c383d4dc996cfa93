# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line of the table of rules is, and what it is asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import Action

# Phases. `offline` is given by the size of the table: an `expand` whose work keeps others waiting for long.
EXPAND = "expand"
CONTRACT = "contract"
OFFLINE = "offline"
UNDO = "undo"

# What a rule's work comes to. What the size of the table makes of `long` is decided later.
NONE = "none"
BRIEF = "brief"
LONG = "long"
FAILS = "fails"

# Lock modes of PostgreSQL, from weak to strong; the empty one is for what takes none on a table in use.
ROW = "ROW EXCLUSIVE"
UPDATE = "SHARE UPDATE EXCLUSIVE"
SHARE = "SHARE"
SHARE_ROW = "SHARE ROW EXCLUSIVE"
EXCLUSIVE = "EXCLUSIVE"
ACCESS = "ACCESS EXCLUSIVE"
MODES = ("", "ACCESS SHARE", "ROW SHARE", ROW, UPDATE, SHARE, SHARE_ROW, EXCLUSIVE, ACCESS, UNKNOWN)

OLDEST_SERVER = 12


@dataclass(frozen=True)
class Context:
    """What is true around an operation.

    :param first: no migration was ever applied to this database: no old code uses it.
    :param server: major version of the server.
    :param migration: ``app.name`` of the migration that is looked at.
    :param held: an earlier statement of the same transaction has locked a table in use against everybody.
    :param made: tables, views and indexes that this run has made so far.
    :param proven: columns (table, column) of which a valid check says that they are not NULL.
    :param unvalidated: checks of this run (table, name, column) that would say so once they are valid.
    """

    atomic: bool
    first: bool
    server: int = OLDEST_SERVER
    migration: str = ""
    held: bool = False
    made: frozenset[str] = frozenset()
    proven: frozenset[tuple[str, str]] = frozenset()
    unvalidated: frozenset[tuple[str, str, str]] = frozenset()


Condition = Callable[[Operation, Context], bool]
ActionCondition = Callable[[Action, Operation, Context], bool]


def _always(_operation: Operation, _context: Context) -> bool:
    return True


def _always_action(_action: Action, _operation: Operation, _context: Context) -> bool:
    return True


@dataclass(frozen=True)
class _Claim:
    """What a rule says.

    :param name: as plans, acknowledgements and the documentation write it.
    :param phase: ``expand`` (old code can live with it), ``contract`` (it can't), ``unknown``, ``undo``.
    :param lock: the strongest lock mode on a table that is in use.
    :param why: the reason in words, with places as ``code`` has them.
    :param instead: what to write or do instead; empty when nothing better is known or needed.
    :param code: the code to write instead; in ``<model>``, ``<table>`` … comes what the operation has (``_instead``).
    :param rewrite: all rows are written anew.
    :param scan: all rows are read.
    :param fails: the server refuses it.
    :param manual: the page of PostgreSQL's manual that says so.
    :param since: the oldest major version of the server for which it holds.
    :param work: given where lock, rewrite and scan don't tell it.
    """

    name: str
    phase: str
    lock: str
    why: str
    instead: str = ""
    code: str = ""
    rewrite: bool = False
    scan: bool = False
    fails: bool = False
    manual: str = ""
    since: int = OLDEST_SERVER
    work: str = ""


@dataclass(frozen=True)
class Rule(_Claim):
    """A rule about an operation of Django.

    :param on: names of Django's operations; empty for any operation, those of others included.
    """

    on: tuple[str, ...] = ()
    when: Condition = _always


@dataclass(frozen=True)
class ActionRule(_Claim):
    """A rule about what a statement does.

    :param on: kinds of actions; empty for any.
    """

    on: tuple[str, ...] = ()
    when: ActionCondition = _always_action


AnyRule = _Claim


def work_of(rule: _Claim) -> str:
    """What the lock, the rewrite and the scan of a rule come to for those who use the table."""
    if rule.fails:
        return FAILS
    if rule.work:
        return rule.work
    if rule.lock == UNKNOWN:
        return UNKNOWN
    if MODES.index(rule.lock) >= MODES.index(SHARE):
        return LONG if rule.rewrite or rule.scan else BRIEF
    # Rows that are changed stay locked until the end of the transaction.
    return LONG if rule.lock == ROW and rule.scan else NONE


LATER = "Take it out of the code first and run this migration in a later deployment, when no old code is left"
READ = "Look at its SQL, then acknowledge the rule for this migration with the reason why it is safe"
