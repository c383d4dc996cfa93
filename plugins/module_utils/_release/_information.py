# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a version stands for, what is on the host, and which commits lie between."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout, is_release_name
from ansible_collections.slipway.django.plugins.module_utils._release._manifest import Manifest, read_manifest
from ansible_collections.slipway.django.plugins.module_utils._release._naming import (
    BuildIdentity,
    configuration_digest,
    release_name,
)
from ansible_collections.slipway.django.plugins.module_utils._release._processes import Running, running_releases
from ansible_collections.slipway.django.plugins.module_utils._release._refs import Resolved, checked_version, resolve
from ansible_collections.slipway.django.plugins.module_utils._release._repository import Changes, Git, Mirror
from ansible_collections.slipway.django.plugins.module_utils._release._scratch import prepare_scratch, remove_scratch
from ansible_collections.slipway.django.plugins.module_utils._release._slots import (
    Live,
    Slot,
    live_of,
    read_links,
    read_units,
    slots_of,
)


@dataclass(frozen=True)
class Question:
    """What is asked. Empty texts ask nothing: no version, no site, no scratch directory."""

    layout: Layout
    site: str
    version: str
    git: Git
    environment: Mapping[str, str]
    identity: BuildIdentity
    since: str
    scratch: str


@dataclass(frozen=True)
class ReleaseSeen:
    """A directory among the releases; ``manifest`` is None when it is not complete."""

    name: str
    manifest: Manifest | None


@dataclass(frozen=True)
class Answer:
    """The answer. ``note`` says why the changes are not known, when they are not."""

    resolved: Resolved | None
    name: str | None
    slots: Mapping[str, Slot]
    live: Live
    releases: tuple[ReleaseSeen, ...]
    changes: Changes | None
    note: str
    running: Running


def answer(question: Question, runner: Runner) -> Answer:
    """Look at everything that was asked for. Changes nothing; a scratch directory is left as it was found."""
    releases = read_releases(question.layout)
    slots: Mapping[str, Slot] = {}
    live = Live(None, None, "no site was named: systemd was not asked")
    if question.site:
        slots = slots_of(read_links(question.layout), read_units(runner, question.site))
        live = live_of(slots)
    resolved = resolve_version(question)
    name = None
    if resolved is not None:
        name = release_name(resolved.commit, configuration_digest(question.environment, question.identity))
    changes, note = _changes(question, resolved, question.since or _live_commit(live, releases))
    running = running_releases(question.layout.releases)
    return Answer(resolved, name, slots, live, releases, changes, note, running)


def resolve_version(question: Question) -> Resolved | None:
    """The commit of the version, from the repository itself: a mirror may be behind."""
    if not question.version:
        return None
    return resolve(checked_version(question.version), question.git.remote_refs())


def read_releases(layout: Layout) -> tuple[ReleaseSeen, ...]:
    """The releases on this host, the newest first, what is not complete last."""
    if not os.path.isdir(layout.releases):
        return ()
    names = [name for name in os.listdir(layout.releases) if is_release_name(name)]
    seen = [ReleaseSeen(name, read_manifest(layout.release(name).manifest)) for name in names]
    return tuple(sorted(seen, key=_age, reverse=True))


def _age(release: ReleaseSeen) -> tuple[str, str]:
    return (release.manifest.built_at if release.manifest else "", release.name)


def _live_commit(live: Live, releases: tuple[ReleaseSeen, ...]) -> str:
    commits = (seen.manifest.commit for seen in releases if seen.manifest is not None and seen.name == live.release)
    return next(commits, "")


def _changes(question: Question, resolved: Resolved | None, since: str) -> tuple[Changes | None, str]:
    if resolved is None:
        return None, "no version was named"
    if not since:
        return None, "it is not known which commit is live"
    if since == resolved.commit:
        return Changes((), ()), ""
    mirror = Mirror(question.layout.mirror, question.git)
    if mirror.has(since, resolved.commit):
        return mirror.changes(since, resolved.commit), ""
    if not question.scratch:
        return None, f"{mirror.path} does not have both commits, and no scratch directory was named for a copy"
    return _changes_by_copy(question, since, resolved.commit)


def _changes_by_copy(question: Question, since: str, commit: str) -> tuple[Changes | None, str]:
    made = prepare_scratch(question.scratch)
    try:
        with tempfile.TemporaryDirectory(prefix="changes-", dir=question.scratch) as place:
            copy = Mirror(os.path.join(place, "repository.git"), question.git)
            copy.ensure(commit)
            if copy.has(since):
                return copy.changes(since, commit), ""
    finally:
        if made:
            remove_scratch(question.scratch)
    return None, f"the repository does not have commit {since} any more"
