# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a run: observe, plan, refuse or apply, verify."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations import _phases as phases
from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import refuse_idle
from ansible_collections.slipway.django.plugins.module_utils._migrations._fits import fit
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, judge_all
from ansible_collections.slipway.django.plugins.module_utils._migrations._losing import drops
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import split_key
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import (
    APPLIED,
    COMPATIBLE,
    PLANNED,
    RECORDED,
    REHEARSED,
    REVERSED,
    Request,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rehearsal import as_dict
from ansible_collections.slipway.django.plugins.module_utils._migrations._rehearsal import lines as rehearsal_lines
from ansible_collections.slipway.django.plugins.module_utils._migrations._report import (
    heads_text,
    lines,
    plan_as_list,
    refusal_text,
    sql_text,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._resuming import Resumption, Traces, resume
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _journal as events
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._applying import apply_all, undo_all
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._blockers import (
    Blocker,
    Watcher,
    long_holders,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._by_hand import (
    chosen_of,
    refuse_difference,
    refuse_unseen,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._catalog import read_catalog
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._counting import losses
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    Session,
    configure_session,
    error_text,
    execute_raw,
    open_copy,
    open_work,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._facts import collect, collect_undoing
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._indexes import (
    drop_invalid,
    index_state,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._journal import HalfDone, Journal
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._locking import (
    holder,
    refuse_pooler,
    take_run,
    take_work,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._models import expected_models
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._observing import (
    Observation,
    in_part,
    invalid_indexes,
    needs,
    observe,
    observe_undoing,
    states_before,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._record import record_by_hand
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._rehearse import (
    refuse_failure,
    rehearse,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import (
    Budget,
    Run,
    blocked_tables,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._signals import (
    register,
    send_after,
    send_before,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._tripwire import Guard
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Progress
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

_NOTHING = "Nothing was changed"
_ASKS_ONLY = (PLANNED, COMPATIBLE)
_READS_ONLY = (*_ASKS_ONLY, REHEARSED)


@dataclass(frozen=True)
class Desk:
    """What a run works with. ``lock`` is a connection that does nothing but hold the run's lock."""

    request: Request
    clock: Clock
    session: Session
    work: Any
    lock: Any
    journal: Journal


def respond(request: Request, clock: Clock) -> dict[str, Any]:
    """Do what is asked for and return the result. Django is set up already.

    :raises SlipwayError: a refusal or a failure.
    """
    register()
    try:
        desk = _open(request, clock)
        seen = _observe(desk)
        whole = _judge(desk, seen)
        resumptions = _resumptions(desk, seen, whole)
    except dj.Error as error:
        raise SlipwayError(f"the database does not tell what is so: {error_text(error)}", untouched=_NOTHING) from error
    plan = [_remaining(each, resumptions.get(each.migration.key)) for each in whole]
    parts = _parts(request, seen, plan)
    seen, plan = _in_phase(seen, plan, parts)
    resumptions = {key: each for key, each in resumptions.items() if key in parts.now}
    result = _with_parts(_result(request, seen, plan, resumptions), parts)
    if request.state == COMPATIBLE:
        return {**result, **_compatible(desk, seen)}
    result["loss"] = _losses(desk, whole) if seen.backwards else []
    result["busy"] = _busy(desk)
    result["long_transactions"] = [vars(each) for each in _long_transactions(desk, plan)]
    _refuse(request, seen, plan, result, resumptions)
    if request.state == REHEARSED and plan and not request.check_mode:
        _rehearse(desk, seen, plan, parts, result)
    if request.state == RECORDED and result["changed"] and not request.check_mode:
        _record(desk, seen, result)
    elif result["changed"] and not request.check_mode:
        run = _run(desk, seen, plan)
        try:
            _change(run, seen, resumptions)
        finally:
            if run.guard is not None:
                run.guard.close()
        result["applied"] = [each.as_dict() for each in run.applied]
        _verify(run, seen, result)
    result["run_applied"] = [{"app": app, "name": name} for app, name in desk.journal.applied_by_run(request.run_id)]
    return result


def _parts(request: Request, seen: Observation, plan: Sequence[Judged]) -> phases.Split:
    """What of the plan runs in the phase that is asked for."""
    if request.phase != phases.EXPAND or seen.backwards:
        return phases.Split(frozenset(each.migration.key for each in plan))
    return phases.split(plan, needs(seen), seen.owed)


def _in_phase(seen: Observation, plan: list[Judged], parts: phases.Split) -> tuple[Observation, list[Judged]]:
    return in_part(seen, parts.now), [each for each in plan if each.migration.key in parts.now]


def _with_parts(result: dict[str, Any], parts: phases.Split) -> dict[str, Any]:
    return {
        **result,
        **parts.as_dict(),
        "lines": [*result["lines"], *parts.lines()],
        "refused": list(dict.fromkeys([*result["refused"], *(key for key, _why in parts.problems)])),
    }


def _rehearse(
    desk: Desk, seen: Observation, plan: Sequence[Judged], parts: phases.Split, result: dict[str, Any]
) -> None:
    """Run the plan on a copy. What was measured takes the place of what the plan claimed."""
    # Of the copy alone: the connection to the live database is closed before it leads there.
    desk.session.read_only = False
    try:
        left = {f"{each.app_label}.{each.name}" for each in seen.left}
        rehearsal = rehearse(_context(desk, seen), plan, left=left, first=seen.first, runner=SystemRunner())
    except dj.Error as error:
        raise SlipwayError(f"the rehearsal failed: {error_text(error)}", untouched=_NOTHING) from error
    finally:
        desk.session.read_only = True
    result["rehearsal"] = as_dict(rehearsal)
    result["lines"] = [*rehearsal_lines(rehearsal), *parts.lines()]
    refused = [each.measured.key for each in rehearsal.findings if each.refused]
    result["refused"] = list(dict.fromkeys([*refused, *(key for key, _why in parts.problems)]))
    try:
        refuse_failure(rehearsal)
    except SlipwayError as error:
        error.facts.update(result)
        raise


def _record(desk: Desk, seen: Observation, result: dict[str, Any]) -> None:
    """Record what was applied by hand, once the schema is found to be so."""
    desk.session.read_only = False
    run, alias = _context(desk, seen), desk.work.alias
    try:
        refuse_difference(run, seen, SystemRunner())
    except dj.Error as error:
        raise SlipwayError(f"the schema can't be compared: {error_text(error)}", untouched=_NOTHING) from error
    # The connection has been elsewhere meanwhile, and its lock went with it.
    take_work(desk.work, clock=desk.clock)
    _make_tables(run)
    send_before(alias, run.executor, seen.plan, backwards=False)
    with dj.atomic(alias):
        for migration in seen.plan:
            record_by_hand(run, migration, desk.request.by_hand[f"{migration.app_label}.{migration.name}"])
    send_after(alias, _state_now(run), seen.plan, backwards=False)
    run.journal.add(events.SIGNALS)
    result["applied"] = [{"app": each.app_label, "name": each.name} for each in seen.plan]
    _verify(run, seen, result)


def _open(request: Request, clock: Clock) -> Desk:
    """Connect and, unless only a plan is wanted, make sure to be alone."""
    session = Session(_name(request), request.lock_timeout_ms, request.statement_timeout_ms)
    work = open_work(request.database, session)
    lock = open_copy(work, _name(request))
    if request.state not in _ASKS_ONLY:
        take_run(lock, clock=clock, wait_s=request.busy_timeout_s if request.on_busy == "wait" else 0.0)
        refuse_pooler(lock, work)
        take_work(work, clock=clock)
    return Desk(request, clock, session, work, lock, Journal(work, request.run_id, request.release))


def _name(request: Request) -> str:
    return f"slipway migrate {request.run_id}"


def _busy(desk: Desk) -> str | None:
    other = holder(desk.lock) if desk.request.state == PLANNED else None
    return str(other) if other else None


def _run(desk: Desk, seen: Observation, plan: Sequence[Judged]) -> Run:
    """From here on the session may write."""
    desk.session.read_only = False
    configure_session(desk.work, desk.session)
    guard = Guard(desk.work, f"{_name(desk.request)} guard", desk.request.tripwire_rows)
    judged = {each.migration.key: each for each in plan}
    return dataclasses.replace(_context(desk, seen), plan=judged, guard=None if seen.first else guard)


def _context(desk: Desk, seen: Observation) -> Run:
    tell = Progress(desk.request.progress_file, desk.clock, pid=os.getppid()).tell
    interval_s = min(0.25, desk.request.lock_timeout_ms / 5000)
    return Run(
        request=desk.request,
        work=desk.work,
        lock=desk.lock,
        journal=desk.journal,
        watcher=Watcher(desk.work, f"{_name(desk.request)} watch", interval_s, tell),
        executor=seen.executor,
        clock=desk.clock,
        budget=Budget(desk.request.lock_budget_s, stall_limit_s=desk.request.stall_budget_s),
        tell=tell,
    )


def _long_transactions(desk: Desk, plan: Sequence[Judged]) -> list[Blocker]:
    tables = sorted({name for each in plan for name in blocked_tables(each)})
    return long_holders(desk.lock, tables, desk.request.long_transaction_s) if tables else []


def _compatible(desk: Desk, seen: Observation) -> dict[str, Any]:
    """Hold the release's models against the schema as it is now."""
    try:
        found = fit(expected_models(desk.lock), read_catalog(desk.work), seen.ahead)
    except (dj.Error, desk.work.Database.Error) as error:
        raise SlipwayError(f"the schema can't be looked at: {error_text(error)}", untouched=_NOTHING) from error
    return {
        "verdict": found.verdict,
        "breaks": list(found.breaks),
        "doubts": list(found.doubts),
        "reason": str(found),
    }


def _losses(desk: Desk, plan: Sequence[Judged]) -> list[dict[str, Any]]:
    found = losses(desk.work, drops([each.migration for each in plan]))
    return [{**vars(each.drop), "rows": each.rows, "more": each.more, "text": str(each)} for each in found]


def _resumptions(desk: Desk, seen: Observation, plan: Sequence[Judged]) -> dict[str, Resumption]:
    """Return where half done migrations go on by themselves, by ``app.name``."""
    judged = {each.migration.key: each.migration for each in plan}
    found: dict[str, Resumption] = {}
    for half in seen.half_done:
        settled = half.key in desk.request.settled or half.key in desk.request.by_hand
        if half.key not in judged or settled or seen.backwards:
            continue
        state = index_state(desk.work, half.index) if half.index else None
        traces = Traces(half.done, half.titles, half.doubtful, half.index, half.backwards)
        resumption = resume(traces, judged[half.key], state)
        if resumption is not None:
            found[half.key] = resumption
    return found


def _remaining(judged: Judged, resumption: Resumption | None) -> Judged:
    """Leave out what an earlier run has done: it is no question any more whether it may run."""
    if resumption is None:
        return judged
    start, migration = resumption.start, judged.migration
    rest = dataclasses.replace(migration, operations=migration.operations[start:])
    return dataclasses.replace(judged, migration=rest, verdicts=judged.verdicts[start:])


def _observe(desk: Desk) -> Observation:
    request = desk.request
    if request.state != REVERSED:
        seen = observe(desk.work, desk.journal)
        return chosen_of(seen, list(request.by_hand)) if request.state == RECORDED else seen
    keys = request.undo
    if keys is None:
        keys = tuple(f"{app}.{name}" for app, name in desk.journal.applied_by_run(request.run_id))
    return observe_undoing(desk.work, desk.journal, keys)


def _judge(desk: Desk, seen: Observation) -> list[Judged]:
    request = desk.request
    _check_names(request, seen)
    if seen.backwards:
        migrations = collect_undoing(desk.work, seen.plan, states_before(seen.executor, seen.plan))
    else:
        migrations = collect(desk.work, seen.plan, seen.executor._create_project_state(with_applied_migrations=True))
    server = desk.work.pg_version // 10000
    plan = judge_all(
        migrations,
        first=seen.first,
        acknowledged=request.acknowledged,
        server=server,
        old_code=request.phase != phases.CONTRACT,
    )
    # Of what was applied by hand no rule needs to object any more.
    if not seen.first and request.state != RECORDED:
        refuse_idle(plan, request.acknowledged)
    return plan


def _check_names(request: Request, seen: Observation) -> None:
    known = seen.executor.loader.disk_migrations
    for option, names in (("acknowledged", request.acknowledged), ("settled", request.settled)):
        unknown = sorted(name for name in names if split_key(name) not in known)
        if unknown:
            raise Refused(
                f"{option} names what is no migration of this release: {', '.join(unknown)}",
                untouched=_NOTHING,
                remedy="Write app.name, such as shop.0002_order_note",
                facts={"option": option, "unknown": unknown},
            )


def _result(
    request: Request, seen: Observation, plan: Sequence[Judged], resumptions: Mapping[str, Resumption]
) -> dict[str, Any]:
    reason = "; ".join(filter(None, [_reason(request, seen, plan), *map(str, resumptions.values())]))
    return {
        "state": request.state,
        "run_id": request.run_id,
        "changed": bool(reason) and request.state not in _READS_ONLY,
        "pending": len(plan),
        "reason": reason or _idle_reason(request, seen),
        "plan": plan_as_list(plan),
        "lines": lines(plan),
        "sql": sql_text(plan),
        "refused": [each.migration.key for each in plan if each.refused],
        "rehearsal": None,
        "applied": [],
        "before": dict(seen.heads),
        "after": dict(seen.after),
        "heads_before": heads_text(seen.heads),
        "heads_after": heads_text(seen.after),
        "ahead": list(seen.ahead),
        "invalid_indexes": list(seen.invalid_indexes),
        "half_done": [_half_as_dict(half, resumptions.get(half.key)) for half in seen.half_done],
    }


def _reason(request: Request, seen: Observation, plan: Sequence[Judged]) -> str:
    """What is to be done; empty when there is nothing."""
    parts = []
    if plan:
        verb = "to undo" if seen.backwards else "to record" if request.state == RECORDED else "to apply"
        parts.append(f"{len(plan)} {verb}: {', '.join(each.migration.key for each in plan)}")
    if request.state in (REVERSED, RECORDED):
        return "; ".join(parts)
    if seen.replacements:
        parts.append(f"squashed migrations to record: {', '.join(seen.replacements)}")
    if seen.unnoted:
        parts.append(f"left for later, to be noted: {', '.join(map(str, seen.unnoted))}")
    if seen.signals_owed and not plan:
        parts.append("a run ended before it had sent post_migrate")
    return "; ".join(parts)


def _idle_reason(request: Request, seen: Observation) -> str:
    if request.state == REVERSED:
        return (
            f"nothing that run {request.run_id} applied is applied now" if request.undo is None else "none is applied"
        )
    if request.state == RECORDED:
        return "all of them are recorded already"
    if seen.left:
        return f"nothing that runs with expand is left; for contract there is {', '.join(map(str, seen.left))}"
    ahead = f"; the database is ahead of this release: {', '.join(seen.ahead)}" if seen.ahead else ""
    return f"all migrations of this release are applied{ahead}"


def _half_as_dict(half: HalfDone, resumption: Resumption | None) -> dict[str, Any]:
    return {
        **vars(half),
        "done": list(half.done),
        "titles": list(half.titles),
        "text": str(half),
        "continues_at": resumption.start if resumption else None,
    }


def _refuse(
    request: Request,
    seen: Observation,
    plan: Sequence[Judged],
    result: dict[str, Any],
    resumptions: Mapping[str, Resumption],
) -> None:
    """Refuse what must not run. A plan alone is shown with what is wrong, but half done work is never passed over."""
    unchanged = {**result, "changed": False}
    known = {*request.settled, *request.by_hand, *resumptions}
    open_halves = [half for half in seen.half_done if half.key not in known]
    if open_halves:
        raise Refused(
            "; ".join(map(str, open_halves)),
            untouched=_NOTHING,
            remedy="Finish its remaining operations by hand and have it recorded with state recorded, or take"
            " the done ones back by hand and say so: settled: {app.name: who did what}; it is then run from its start",
            facts=unchanged,
        )
    # The way back is not barred by an index that may be the very reason for it.
    ours = {each.drop for each in resumptions.values()}
    invalid = [each for each in seen.invalid_indexes if each.rpartition(" on ")[0] not in ours]
    if invalid and request.state != REVERSED:
        named = ", ".join(invalid)
        raise Refused(
            f"INVALID indexes are in the database, left by a CONCURRENTLY that failed: {named}",
            untouched=_NOTHING,
            remedy="Remove each with DROP INDEX CONCURRENTLY, or repair it with REINDEX INDEX CONCURRENTLY",
            facts=unchanged,
        )
    if request.state == RECORDED:
        refuse_unseen([each.migration for each in plan], request.acknowledged)
        return
    if result["refused"] and request.state not in _READS_ONLY:
        raise Refused(
            f"refused: {'; '.join(filter(None, [refusal_text(plan), *result['problems']]))}",
            untouched=f"{_NOTHING}, not by the other migrations of the plan either",
            remedy=""
            if seen.backwards
            else "Or let a migration pass with acknowledged: {app.name: {rule: the reason why it is safe}}; the rule"
            " stands in brackets",
            facts=unchanged,
        )
    if result["loss"] and not request.accept_data_loss:
        raise Refused(
            f"going back would take away data: {'; '.join(each['text'] for each in result['loss'])}",
            untouched=_NOTHING,
            remedy="Keep the schema and go back with the code alone where it can live with it; or make a backup and say"
            " accept_data_loss",
            facts=unchanged,
        )


def _change(run: Run, seen: Observation, resumptions: Mapping[str, Resumption]) -> None:
    request, alias = run.request, run.work.alias
    _make_tables(run)
    for half in seen.half_done:
        if half.key in request.settled:
            run.journal.settle(half, request.settled[half.key])
    for resumption in resumptions.values():
        _clear_away(run, resumption)
    run.resume = {key: each.start for key, each in resumptions.items()}
    run.watcher.start()
    state = send_before(alias, run.executor, seen.plan, backwards=seen.backwards)
    if seen.backwards:
        undo_all(run, seen.plan, states_before(run.executor, seen.plan))
        state = _state_now(run)
    else:
        state = apply_all(run, seen.plan, state)
        run.executor.check_replacements()
    send_after(alias, state, seen.plan, backwards=seen.backwards)
    _note_left(run, seen)
    run.journal.add(events.SIGNALS)


def _clear_away(run: Run, resumption: Resumption) -> None:
    """Remove the INVALID index that the journal knows as ours, without blocking anybody."""
    if not resumption.drop:
        return
    execute_raw(run.work, "SET lock_timeout = 0")
    execute_raw(run.work, f"SET statement_timeout = {round(run.request.concurrent_timeout_s * 1000)}")
    try:
        drop_invalid(run.work, resumption.drop)
    except dj.Error as error:
        raise SlipwayError(
            f"the INVALID index {resumption.drop} can't be removed: {error_text(error)}",
            untouched="Nothing else was changed",
            remedy="Run again when the transactions that it waits for have ended",
        ) from error
    for name in ("lock_timeout", "statement_timeout"):
        execute_raw(run.work, f"SET {name} = {int(getattr(run.request, name + '_ms'))}")


def _note_left(run: Run, seen: Observation) -> None:
    """A later release must know what this one owes."""
    for migration in seen.unnoted:
        run.journal.add(events.LEFT, migration)


def _make_tables(run: Run) -> None:
    try:
        run.journal.create()
        run.executor.recorder.ensure_schema()
    except Exception as error:
        # Django wraps what its recorder meets.
        raise SlipwayError(
            f"the tables that record migrations can't be made: {error_text(error)}",
            untouched=_NOTHING,
            remedy="Give the database role of the release the right to create tables in its schema",
        ) from error


def _state_now(run: Run) -> Any:
    run.executor.loader.build_graph()
    return run.executor._create_project_state(with_applied_migrations=True)


def _verify(run: Run, seen: Observation, result: dict[str, Any]) -> None:
    """Look again: the record must be as planned, and no index INVALID.

    :raises SlipwayError: it is not so.
    """
    now = observe(run.work, run.journal)
    result["after"], result["invalid_indexes"] = dict(now.heads), list(invalid_indexes(run.work))
    undone = set(now.plan) - set(seen.left)
    wrong = [each for each in seen.plan if (each in undone) != seen.backwards]
    if wrong or (run.request.state == APPLIED and undone):
        raise SlipwayError(
            f"the record is not as it must be after the run: {', '.join(map(str, wrong or now.plan))}",
            remedy="Look at what the migrations and the handlers of post_migrate do with the table django_migrations",
            facts=result,
        )
    left = sorted(set(now.invalid_indexes) - set(seen.invalid_indexes))
    if left:
        raise SlipwayError(
            f"the migrations are done and left INVALID indexes: {', '.join(left)}",
            untouched="The migrations stay as they are recorded",
            remedy="Repair each with REINDEX INDEX CONCURRENTLY",
            facts=result,
        )
