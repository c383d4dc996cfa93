# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules C(deployment) and C(deployment_info) do: observe, plan, apply, verify."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment._history import (
    OPEN,
    Observed,
    by_token,
    describe_interruption,
    lost_hosts,
    status,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._lease import (
    Plan,
    plan_checkpoint,
    plan_close,
    plan_open,
    public,
    summary,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import INTERRUPTED
from ansible_collections.slipway.django.plugins.module_utils._deployment._request import (
    check_limit,
    check_root,
    check_site,
    check_step,
    claim,
    clean,
    one_line,
    open_request,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._store import CONTROL, Store
from ansible_collections.slipway.django.plugins.module_utils._deployment._token import plan_host_checkpoint
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock


def run(params: Mapping[str, Any], clock: Clock, *, check_mode: bool) -> dict[str, Any]:
    """Do what the module C(deployment) was asked for and return its result.

    :raises SlipwayError: it was refused, or it failed.
    """
    if params["scope"] == "host" and params["state"] != "checkpoint":
        raise InvalidOption("scope", "host", f"control: state {params['state']} concerns the control host alone")
    check_site(params["site"])
    operation = {"opened": _open, "checkpoint": _checkpoint, "closed": _close}[params["state"]]
    if params["scope"] == "host":
        operation = _host_checkpoint
    return operation(params, clock, check_mode)


def _guard(store: Store, clock: Clock, check_mode: bool) -> AbstractContextManager[None]:
    # Check mode writes nothing, not even a lock: each file is whole by itself.
    return nullcontext() if check_mode else store.exclusive(clock)


def _open(params: Mapping[str, Any], clock: Clock, check_mode: bool) -> dict[str, Any]:
    request = open_request(params)
    store = _control(params)
    warnings: list[str] = []
    with _guard(store, clock, check_mode):
        plan = plan_open(store.observe(clock), request, frozenset(store.ids()), params["command"])
        if not check_mode:
            store.sweep()
            store.perform(plan.writes)
            warnings = _settle(store, plan)
    return {**_result(plan, "opened"), **({"warnings": warnings} if warnings else {})}


def _settle(store: Store, plan: Plan) -> list[str]:
    """The lease is taken; what is left is bookkeeping that every reader can do without."""
    try:
        store.perform(plan.settling)
    except SlipwayError as error:
        return [error.message]
    return []


def _checkpoint(params: Mapping[str, Any], clock: Clock, check_mode: bool) -> dict[str, Any]:
    step = check_step(params["step"])
    wanted = claim(params["id"], params["token"], doing=f"begin step {step!r}")
    limit_s = check_limit(params["limit"])
    store = _control(params)
    facts = clean(params["facts"] or {})
    with _guard(store, clock, check_mode):
        seen = store.observe(clock, only=wanted.id)
        plan = plan_checkpoint(seen, wanted, step, limit_s, facts, predicting=check_mode)
        if not check_mode:
            store.perform(plan.writes)
    return {**_result(plan, "checkpoint"), "step": step}


def _close(params: Mapping[str, Any], clock: Clock, check_mode: bool) -> dict[str, Any]:
    verdict = params["verdict"]
    wanted = claim(params["id"], params["token"], doing=f"close a deployment as {verdict}")
    store = _control(params)
    facts = clean(params["facts"] or {})
    reason = one_line(params["reason"] or "")
    with _guard(store, clock, check_mode):
        seen = store.observe(clock, only=wanted.id)
        plan = plan_close(seen, wanted, verdict, reason, facts, predicting=check_mode)
        if not check_mode:
            store.perform(plan.writes)
    return _result(plan, "closed")


def _host_checkpoint(params: Mapping[str, Any], clock: Clock, check_mode: bool) -> dict[str, Any]:
    step = check_step(params["step"])
    wanted = claim(params["id"], params["token"], doing=f"begin step {step!r}")
    store = Store(check_root(params["root"]))
    store.require_root()
    with _guard(store, clock, check_mode):
        lines = store.journal(wanted.id).lines
        last = next((str(line.get("step")) for line in reversed(lines)), None)
        plan = plan_host_checkpoint(store.token(), last, wanted, step, clock.utcnow())
        if not check_mode:
            store.perform(plan.writes)
    return {
        "changed": plan.changed,
        "msg": plan.reason,
        "deployment": {"id": wanted.id, "token": wanted.token},
        "step": step,
        "diff": {"before": plan.before, "after": plan.after},
        "deployment_log": {"event": "deployment.host_checkpoint", "deployment_id": wanted.id, "step": step},
    }


def _control(params: Mapping[str, Any]) -> Store:
    store = Store(check_root(params["root"]), CONTROL)
    store.require_root()
    return store


def _result(plan: Plan, event: str) -> dict[str, Any]:
    return {
        "changed": plan.changed,
        "msg": plan.reason,
        "deployment": plan.deployment,
        "diff": {"before": plan.before, "after": plan.after},
        "deployment_log": {
            "event": f"deployment.{event}",
            "deployment_id": plan.deployment["id"],
            **{name: plan.deployment[name] for name in _LOGGED[event] if plan.deployment[name] is not None},
        },
    }


# What the log needs to hear: all of it at the beginning, then what is new.
_LOGGED = {
    "opened": (
        *("attempt", "kind", "version", "commit", "release", "hosts"),
        *("actor", "controller", "reason", "origin", "interrupted"),
    ),
    "checkpoint": ("step",),
    "closed": ("version", "release", "origin", "step", "verdict", "close_reason"),
}


def info(root: str, limit: int, clock: Clock) -> dict[str, Any]:
    """Tell what the control host remembers. Writes nothing, and needs no lock: each file is whole by itself.

    :raises SlipwayError: the root is missing, or a file can't be read or understood.
    """
    if limit < 1:
        raise InvalidOption("limit", limit, "at least 1")
    store = Store(check_root(root), CONTROL)
    store.require_root()
    seen = store.observe(clock)
    newest_first = list(reversed(by_token(seen.records)))
    return {
        **summary(seen),
        "interrupted": _interrupted(seen),
        "history": [public(record, seen.lease) for record in newest_first[:limit]],
        "lost": [entry.to_json() for entry in lost_hosts(seen.records)],
        "msg": _told(seen),
    }


def _interrupted(seen: Observed) -> dict[str, Any] | None:
    """The newest deployment, when it ended without closing and none followed it yet."""
    newest = next((r for r in reversed(by_token(seen.records)) if status(r, seen.lease) in (OPEN, INTERRUPTED)), None)
    if newest is None or newest != by_token(seen.records)[-1]:
        return None
    state = status(newest, seen.lease)
    if state == OPEN and seen.live is not None:
        return None
    return describe_interruption(newest, seen.lease, "expired" if state == OPEN else "lost")


def _told(seen: Observed) -> str:
    if seen.live is not None:
        return f"Deployment {seen.live.id} is under way, in step {seen.live.step!r}."
    if not seen.records:
        return "No deployment was opened on this control host yet."
    interrupted = _interrupted(seen)
    if interrupted is not None:
        return f"Deployment {interrupted['id']} was interrupted in step {interrupted['step']!r}."
    newest = by_token(seen.records)[-1]
    return f"No deployment is under way; the last, {newest.id}, ended {status(newest, seen.lease)}."
