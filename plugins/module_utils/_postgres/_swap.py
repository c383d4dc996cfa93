# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restored copy becomes the live database, or the database before it does again; what leaves is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres import _marks as marks
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    bin_directories,
    find_psql,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._exchange import (
    Busy,
    Exchange,
    Exchanger,
    Outage,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._loss import (
    Loss,
    assess,
    count_rows,
    written_between,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import Seen
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Database, quote_name
from ansible_collections.slipway.django.plugins.module_utils._postgres._swap_plan import (
    Observed,
    Plan,
    Request,
    make_plan,
    problems,
    question,
    sessions_in_words,
)
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

# Between two attempts those who waited at the door get in.
_PAUSE_S: Final = 1.0


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside."""

    runner: Runner
    clock: Clock
    bin_directories: Callable[[], list[str]] = bin_directories
    exchanger: type[Exchanger] = Exchanger


@dataclass(frozen=True)
class Result:
    """How it stands now, or would."""

    plan: Plan
    words: str
    loss: Loss | None = None
    outage: Outage | None = None
    attempts: int = 0
    dropped: tuple[str, ...] = ()
    databases: tuple[Seen, ...] = ()

    def databases_as_result(self) -> list[dict[str, object]]:
        """The databases with a mark, for results."""
        return [
            {"name": seen.name, "phase": seen.mark.phase, "backup": seen.mark.backup, "at": seen.mark.at,
             "bytes": seen.size}
            for seen in self.databases
            if seen.mark is not None
        ]  # fmt: skip

    def diff(self) -> dict[str, object]:
        """Which names databases have, before and after, by their oid; and what is dropped."""
        move = self.plan.exchange
        if move is None:
            return {"before": {"kept": list(self.plan.drop)}, "after": {"kept": []}}
        return {
            "before": {move.live: move.outgoing_oid, move.incoming: move.incoming_oid},
            "after": {move.live: move.incoming_oid, move.outgoing_name: move.outgoing_oid},
        }


def run(request: Request, tools: Tools, *, check_mode: bool) -> Result:
    """Bring the databases to the wanted state; in check mode say what that would mean.

    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    request.validate()
    return _Run(request, tools).run(check_mode)


class _Run:
    def __init__(self, request: Request, tools: Tools) -> None:
        self._request = request
        self._tools = tools
        self._psql = find_psql(tools.bin_directories())
        self._database = Database(self._psql, request.connection, tools.runner)

    def run(self, check_mode: bool) -> Result:
        observed = self._observe()
        plan = make_plan(observed, self._request, self._tools.clock.utcnow())
        if plan.action == "none":
            return self._result(plan, plan.reason, observed)
        self._require_nothing_in_the_way(plan, observed)
        if plan.action == "drop":
            return self._drop(plan, observed, check_mode)
        loss = self._loss(plan, observed)
        self._require_accepted(loss)
        if check_mode or plan.exchange is None:
            return self._result(
                plan, f"{plan.reason}; it would take the place of {self._request.database}", observed, loss
            )
        outage, attempts = self._exchange(plan.exchange)
        words = _done(plan.exchange, outage)
        return replace(self._result(plan, words, self._observe(), loss), outage=outage, attempts=attempts)

    def _observe(self) -> Observed:
        request = self._request
        names = tuple(name for name in (request.database, request.candidate) if name)
        databases = marks.read(self._database.ask(marks.question(names)))
        # The sessions and slots of what would come back are of interest too.
        old = marks.before(databases, databases.get(request.database), marks.OLD)
        concerned = (*names, *([old.name] if old and request.state == "reverted" else []))
        if request.state == "dropped":
            concerned = (*concerned, *databases)
        return Observed(**self._database.ask(question(concerned)), databases=databases)

    def _result(self, plan: Plan, words: str, observed: Observed, loss: Loss | None = None) -> Result:
        name = self._request.database
        ours = tuple(seen for seen in observed.databases.values() if seen.mark and seen.mark.database == name)
        return Result(plan, words, loss, databases=ours)

    def _require_nothing_in_the_way(self, plan: Plan, observed: Observed) -> None:
        standing = problems(plan, observed, self._request)
        if standing:
            raise Refused(
                f"{self._request.database} can't be {self._request.state}: {'; '.join(standing)}",
                untouched="Nothing was changed",
                remedy="Mend all of this, then run the task again" if len(standing) > 1 else "",
                facts={"problems": standing},
            )

    def _loss(self, plan: Plan, observed: Observed) -> Loss:
        same = plan.since_system == observed.system_identifier
        kept, live, note = None, None, "count_rows is false"
        if self._request.count_rows and plan.incoming is not None:
            kept, live, note = self._count(plan.incoming)
        return assess(
            since=plan.since,
            now=self._tools.clock.utcnow(),
            wal_bytes=written_between(plan.since_lsn, observed.lsn, same_server=same),
            kept=kept,
            live=live,
            note=note,
        )

    def _count(self, incoming: Seen) -> tuple[dict[str, int] | None, dict[str, int] | None, str]:
        if not incoming.connectable:
            return None, None, f"{incoming.name} is frozen, nobody can look into it"
        try:
            return self._rows(incoming.name), self._rows(self._request.database), ""
        except SlipwayError as error:
            return None, None, error.seen

    def _rows(self, name: str) -> dict[str, int]:
        return count_rows(Database(self._psql, self._request.connection.to(name), self._tools.runner))

    def _require_accepted(self, loss: Loss) -> None:
        if self._request.accept_data_loss:
            return
        raise Refused(
            f"{self._request.database} would lose what it has: {loss.words()}",
            untouched="Nothing was changed",
            remedy="What leaves is kept under another name, and nothing brings the two together again. Say "
            "accept_data_loss: true if that is meant",
            facts={"loss": loss.as_result()},
        )

    def _exchange(self, exchange: Exchange) -> tuple[Outage, int]:
        request = self._request
        exchanger = self._tools.exchanger(self._psql, request.connection, self._tools.runner, self._tools.clock)
        attempt = 1
        while True:
            try:
                outage = exchanger.exchange(exchange, max_wait_s=request.max_wait_s)
            except Busy as error:
                if attempt == request.attempts:
                    raise self._in_use(exchange, error) from error
            except SlipwayError as error:
                # The answer to COMMIT may have been lost and not the COMMIT.
                if not self._happened(exchange):
                    raise _untouched(error, exchange) from error
                return Outage(None, 0), attempt
            else:
                break
            attempt += 1
            self._tools.clock.sleep(_PAUSE_S)
        if not self._happened(exchange):
            raise SlipwayError(
                f"The server said that {exchange.live} was exchanged, and it is still the one from before",
                remedy="See who else renames databases on this server",
            )
        return outage, attempt

    def _happened(self, exchange: Exchange) -> bool:
        live = self._observe().databases.get(exchange.live)
        return live is not None and live.oid == exchange.incoming_oid

    def _in_use(self, exchange: Exchange, error: Busy) -> SlipwayError:
        rows = [row for row in self._observe().sessions if row["database"] in (exchange.live, exchange.incoming)]
        who = sessions_in_words([row for row in rows if not _is_probe(row)]) or "nobody any more"
        return SlipwayError(
            f"{exchange.live} was not left within {self._request.max_wait_s:g} s, "
            f"{self._request.attempts} times: {error.seen}. In it: {who}",
            untouched=_AS_BEFORE.format(exchange.live, exchange.incoming),
            remedy="See why these sessions don't end when they are told to (a stopped process, a hanging disk), and "
            "run the task again",
            facts={"sessions": rows, "sqlstate": error.facts.get("sqlstate")},
        )

    def _drop(self, plan: Plan, observed: Observed, check_mode: bool) -> Result:
        if not check_mode:
            for name in plan.drop:
                # Without FORCE: nobody can be in it, and whoever is in it all the same has a reason.
                self._database.order(f"DROP DATABASE IF EXISTS {quote_name(name)}", timeout_s=600)
            observed = self._observe()
        words = f"{', '.join(plan.drop)} {'would be' if check_mode else 'were'} dropped"
        return replace(self._result(plan, words, observed), dropped=plan.drop)


_AS_BEFORE: Final = "The server rolled everything back: {0} is live as before, and {1} has its name"


def _is_probe(row: Mapping[str, Any]) -> bool:
    return str(row["application"] or "").startswith("slipway ")


def _untouched(error: SlipwayError, exchange: Exchange) -> SlipwayError:
    return SlipwayError(
        error.seen,
        untouched=_AS_BEFORE.format(exchange.live, exchange.incoming),
        remedy=error.remedy or "Run the task again",
        facts=error.facts,
    )


def _done(exchange: Exchange, outage: Outage) -> str:
    measured = "nobody measured for how long" if outage.outage_ms is None else f"for {outage.outage_ms} ms"
    return (
        f"{exchange.incoming} is {exchange.live} now, and what it was is kept as {exchange.outgoing_name}; nobody "
        f"could log in {measured}, and {outage.ended} sessions were ended"
    )
