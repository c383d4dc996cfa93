# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking releases away: one by name, or all that nothing needs, and the static files that only they had."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._files import locked
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout, is_release_name
from ansible_collections.slipway.django.plugins.module_utils._release._manifest import read_manifest
from ansible_collections.slipway.django.plugins.module_utils._release._processes import running_releases
from ansible_collections.slipway.django.plugins.module_utils._release._prune import (
    Candidate,
    Decision,
    Holds,
    Prune,
    plan_prune,
)
from ansible_collections.slipway.django.plugins.module_utils._release._slots import (
    live_of,
    read_links,
    read_units,
    slots_of,
)
from ansible_collections.slipway.django.plugins.module_utils._release._static import (
    remove_names,
    stale_names,
    static_names,
)
from ansible_collections.slipway.django.plugins.module_utils._release._tree import remove_tree


@dataclass(frozen=True)
class Removal:
    """What goes, what stays, and the published static files that go with it. ``note`` says why static files stay."""

    remove: tuple[Decision, ...]
    keep: tuple[Decision, ...]
    static: tuple[str, ...]
    note: str = ""

    @property
    def changed(self) -> bool:
        return bool(self.remove or self.static)

    @property
    def reason(self) -> str:
        if not self.changed:
            return "nothing to remove" + self.note
        names = ", ".join(decision.name for decision in self.remove) or "no release"
        return f"{names} removed, with {len(self.static)} static files that no other release has" + self.note


@dataclass(frozen=True)
class Scope:
    """Where to remove and what to ask. ``site`` is empty where systemd can't be asked."""

    layout: Layout
    static_root: str
    site: str
    protected: tuple[str, ...]
    timeout_s: float


def prune(scope: Scope, runner: Runner, clock: Clock, *, keep: int, check_mode: bool) -> Removal:
    """Remove the releases that nothing needs; see :func:`plan_prune`."""
    return _under_lock(scope, clock, check_mode, lambda: _plan_pruned(scope, runner, clock, keep))


def remove(scope: Scope, name: str, clock: Clock, *, check_mode: bool) -> Removal:
    """Remove one release.

    :raises Refused: a slot links to it, a process runs from it, or it is protected.
    """
    return _under_lock(scope, clock, check_mode, lambda: _plan_absent(scope, name, clock))


def _under_lock(scope: Scope, clock: Clock, check_mode: bool, plan: Callable[[], Removal]) -> Removal:
    if check_mode or not os.path.isdir(scope.layout.releases):
        return plan()
    with locked(scope.layout.lock, clock=clock, timeout_s=scope.timeout_s):
        removal = plan()
        _apply(scope, removal)
        return removal


def _plan_pruned(scope: Scope, runner: Runner, clock: Clock, keep: int) -> Removal:
    plan = plan_prune(_candidates(scope.layout, clock), _holds(scope, runner), keep=keep)
    return _with_static(scope, plan)


def _plan_absent(scope: Scope, name: str, clock: Clock) -> Removal:
    candidates = _candidates(scope.layout, clock)
    if name not in {candidate.name for candidate in candidates}:
        return Removal((), (), ())
    held = _holds(scope, None).reason(name)
    if held is not None:
        raise Refused(
            f"release {name} can't be removed: {held}",
            untouched="It was left as it is",
            remedy="Make another release live and stop what runs from this one",
            facts={"release": name, "held": held},
        )
    others = tuple(Decision(candidate.name, "not asked for") for candidate in candidates if candidate.name != name)
    return _with_static(scope, Prune((Decision(name, "asked for"),), others))


def _candidates(layout: Layout, clock: Clock) -> list[Candidate]:
    if not os.path.isdir(layout.releases):
        return []
    now = clock.utcnow().timestamp()
    return [_candidate(layout, name, now) for name in os.listdir(layout.releases) if not name.startswith(".")]


def _candidate(layout: Layout, name: str, now: float) -> Candidate:
    path = os.path.join(layout.releases, name)
    manifest = read_manifest(layout.release(name).manifest) if is_release_name(name) else None
    return Candidate(name, manifest.built_at if manifest else "", now - os.lstat(path).st_mtime)


def _holds(scope: Scope, runner: Runner | None) -> Holds:
    links = read_links(scope.layout)
    live = None
    if runner is not None and scope.site:
        live = live_of(slots_of(links, read_units(runner, scope.site))).slot
    return Holds(links, live, running_releases(scope.layout.releases), scope.protected)


def _with_static(scope: Scope, plan: Prune) -> Removal:
    kept = [decision.name for decision in plan.keep if is_release_name(decision.name)]
    note = _doubt(scope.layout, kept)
    if note:
        return Removal(plan.remove, plan.keep, (), f"; static files stay: {note}")
    names = [static_names(scope.layout.release(name).static) for name in kept]
    return Removal(plan.remove, plan.keep, tuple(stale_names(scope.static_root, names)))


def _doubt(layout: Layout, kept: Collection[str]) -> str:
    """Why it is not known which static files are needed: then none is removed."""
    if not kept:
        return "no release is kept that could say which ones are needed"
    lost = [
        name
        for name in kept
        if read_manifest(layout.release(name).manifest) and not os.path.isdir(layout.release(name).static)
    ]
    return f"release {lost[0]} has lost its own" if lost else ""


def _apply(scope: Scope, removal: Removal) -> None:
    for decision in removal.remove:
        paths = scope.layout.release(decision.name)
        # First of all it stops being complete: cut short, what is left is debris and no release.
        if os.path.lexists(paths.manifest):
            os.unlink(paths.manifest)
        remove_tree(paths.path)
    remove_names(scope.static_root, removal.static)
