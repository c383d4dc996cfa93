# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module and its runner say to each other: one JSON document each way.

The request comes on the runner's standard input. The answer goes to a descriptor that the application does not
know, so that whatever it prints can neither disturb the answer nor be taken for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError

# Module and runner are carried together; the number tells a stale runner from a broken one.
PROTOCOL = 1

PLANNED = "planned"
REHEARSED = "rehearsed"
COMPATIBLE = "compatible"
APPLIED = "applied"
REVERSED = "reversed"
RECORDED = "recorded"
# Not migrations: a command that is to run once.
ONCE = "once"


@dataclass(frozen=True)
class Request:
    """What the runner is asked to do. No secret is in it: those are in the environment alone.

    :param project: directory that holds ``manage.py``.
    :param undo: migrations (``app.name``) to undo; None: those that ``run_id`` applied.
    :param stall_budget_s: how long others may have waited behind the tries of this run, all together.
    :param long_transaction_s: age from which a transaction is waited for before a lock is asked for.
    :param tripwire_rows: from how many rows on work that nobody foresaw is ended.
    :param progress_file: where to say how far the run is.
    :param connect: False: judged without a database.
    :param only: without a database, those to judge, as one deployment; None: all, each for itself.
    :param installed: without a database, those of installed packages too.
    :param server: without a database, the major version of the server that it is for.
    :param accept_data_loss: undoing may drop tables and columns that hold something.
    :param once: name of what is to run once, and ``command`` the arguments of manage.py; ``repeat``: again after a
        run that did not end well.
    :param by_hand: migrations that were applied by hand, by ``app.name``, with who did what.
    :param rehearsal_source: database whose copy is rehearsed on; empty: the schema of the live one.
    """

    state: str
    check_mode: bool
    project: str
    settings: str
    database: str
    run_id: str
    release: str
    lock_timeout_ms: int
    lock_budget_s: float
    statement_timeout_ms: int
    concurrent_timeout_s: float
    on_busy: str
    busy_timeout_s: float
    acknowledged: Mapping[str, Mapping[str, str] | str] = field(default_factory=dict)
    settled: Mapping[str, str] = field(default_factory=dict)
    undo: tuple[str, ...] | None = None
    phase: str = "all"
    rehearsal_source: str = ""
    stall_budget_s: float = 10
    long_transaction_s: float = 10
    tripwire_rows: int = 100_000
    progress_file: str | None = None
    accept_data_loss: bool = False
    by_hand: Mapping[str, str] = field(default_factory=dict)
    once: str = ""
    command: tuple[str, ...] = ()
    repeat: bool = False
    connect: bool = True
    only: tuple[str, ...] | None = None
    installed: bool = False
    server: int = 0

    def to_json(self) -> str:
        return json.dumps({"protocol": PROTOCOL, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Request:
        values = json.loads(text)
        if values.pop("protocol", None) != PROTOCOL:
            raise ValueError(f"not a request of protocol {PROTOCOL}")
        for name in ("undo", "only"):
            values[name] = None if values[name] is None else tuple(values[name])
        values["command"] = tuple(values["command"])
        return cls(**values)


def answer_of(result: Mapping[str, Any]) -> str:
    """The document for a run that went as wanted."""
    return json.dumps({"protocol": PROTOCOL, "result": result})


def answer_of_error(error: SlipwayError) -> str:
    """The document for a refusal or a failure."""
    parts = {"seen": error.seen, "untouched": error.untouched, "remedy": error.remedy, "facts": error.facts}
    return json.dumps({"protocol": PROTOCOL, "error": parts}, default=str)


def read_answer(text: str) -> dict[str, Any]:
    """Return the result in an answer.

    :raises SlipwayError: the answer is an error; it is raised as it was in the runner.
    :raises ValueError: it is no answer.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or values.get("protocol") != PROTOCOL:
        raise ValueError(f"not an answer of protocol {PROTOCOL}")
    if "error" in values:
        error = values["error"]
        raise SlipwayError(error["seen"], untouched=error["untouched"], remedy=error["remedy"], facts=error["facts"])
    result = values["result"]
    if not isinstance(result, dict):
        raise ValueError("the answer holds no result")
    return result
