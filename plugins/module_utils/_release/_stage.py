# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging a release: observe, plan, build at the final path, publish, declare it whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._files import locked
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._archive import unpack
from ansible_collections.slipway.django.plugins.module_utils._release._build import Builder, BuildOptions, command_label
from ansible_collections.slipway.django.plugins.module_utils._release._environment import (
    handed_over,
    read_environment,
    write_environment,
)
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout, ReleasePaths
from ansible_collections.slipway.django.plugins.module_utils._release._manifest import (
    Manifest,
    read_manifest,
    timestamp,
    write_manifest,
)
from ansible_collections.slipway.django.plugins.module_utils._release._naming import environment_digest
from ansible_collections.slipway.django.plugins.module_utils._release._processes import end_builders, running_releases
from ansible_collections.slipway.django.plugins.module_utils._release._repository import Git, Mirror
from ansible_collections.slipway.django.plugins.module_utils._release._scratch import prepare_scratch
from ansible_collections.slipway.django.plugins.module_utils._release._slots import read_links
from ansible_collections.slipway.django.plugins.module_utils._release._static import (
    Publication,
    plan_publication,
    publish,
)
from ansible_collections.slipway.django.plugins.module_utils._release._steps import Steps
from ansible_collections.slipway.django.plugins.module_utils._release._tree import remove_tree, sync, tighten

_UNTOUCHED = "What runs was not touched, and the partial directory was removed"


@dataclass(frozen=True)
class Wanted:
    """The release that is asked for."""

    root: Layout
    scratch: Layout | None
    name: str
    repository: str
    commit: str
    version: str
    environment: Mapping[str, str]
    build: BuildOptions
    static_root: str
    who: str

    @property
    def layout(self) -> Layout:
        """Where it is built."""
        return self.scratch or self.root

    @property
    def paths(self) -> ReleasePaths:
        return self.layout.release(self.name)

    @property
    def digest(self) -> str:
        return environment_digest(self.environment)

    @property
    def full_environment(self) -> dict[str, str]:
        """The user's variables and those that each release is given."""
        return {**self.environment, **handed_over(self.layout, self.paths)}


@dataclass(frozen=True)
class Observed:
    """What lies at the release's place. ``held`` says why it may not be removed."""

    present: bool
    manifest: Manifest | None = None
    damage: str | None = None
    environment: Mapping[str, str] | None = None
    publication: Publication | None = None
    held: str | None = None


@dataclass(frozen=True)
class StagePlan:
    """What has to be done: a build (over remains or not), or the publication of static files alone."""

    build: bool
    publication: Publication | None
    reason: str

    @property
    def changed(self) -> bool:
        return self.build or self.publication is not None


@dataclass(frozen=True)
class Staged:
    """The end: the plan that was carried out, and the release; None in check mode when it is not there."""

    plan: StagePlan
    manifest: Manifest | None
    publication: Publication | None


@dataclass(frozen=True)
class Tools:
    """What staging needs from outside. ``runner`` hides secrets in the output of failures."""

    runner: Runner
    clock: Clock


def check_wanted(wanted: Wanted) -> None:
    """Refuse a request that contradicts itself.

    :raises InvalidOption: the name is of another commit, or the root is not there.
    """
    if not wanted.name.startswith(wanted.commit[:12]):
        raise InvalidOption(
            "name", wanted.name, f"a name that begins with the commit's first 12 digits, {wanted.commit[:12]}"
        )
    if wanted.scratch is None and not os.path.isdir(wanted.root.root):
        raise InvalidOption("root", wanted.root.root, "a directory that exists", remedy="Provision the host first")


def stage(wanted: Wanted, tools: Tools, *, check_mode: bool) -> Staged:
    """Make the release be there, whole, with its static files published.

    With a scratch directory the release is built there, in check mode as well, and nothing is published.

    :raises SlipwayError: a refusal, or the step that failed; the partial directory is gone then.
    """
    check_wanted(wanted)
    if wanted.scratch is not None:
        prepare_scratch(wanted.scratch.root)
    elif check_mode:
        observed = observe(wanted)
        return Staged(plan_stage(wanted, observed), observed.manifest, observed.publication)
    os.makedirs(wanted.layout.releases, mode=0o755, exist_ok=True)
    # A build whose controller died goes on. Looked at without the lock it would be taken for remains.
    with locked(wanted.layout.lock, clock=tools.clock, timeout_s=wanted.build.timeout_s), _umask(0o022):
        observed = observe(wanted)
        plan = plan_stage(wanted, observed)
        return _apply(wanted, plan, observed, tools)


def observe(wanted: Wanted) -> Observed:
    """Look at the release's place."""
    paths = wanted.paths
    if not os.path.lexists(paths.path):
        return Observed(present=False)
    manifest = read_manifest(paths.manifest)
    if manifest is None:
        return Observed(present=True, held=_linked(wanted))
    damage = _damage(paths)
    return Observed(
        present=True,
        manifest=manifest,
        damage=damage,
        environment=None if damage else read_environment(paths.environment),
        publication=None if damage or wanted.scratch else plan_publication(paths.static, wanted.static_root),
        held=_linked(wanted) or (damage and _run(wanted)),
    )


def _linked(wanted: Wanted) -> str | None:
    links = {} if wanted.scratch else read_links(wanted.root)
    return next((f"slot {slot} links to it" for slot, release in links.items() if release == wanted.name), None)


def _run(wanted: Wanted) -> str | None:
    return None if wanted.scratch else running_releases(wanted.root.releases).reason(wanted.name)


def _damage(paths: ReleasePaths) -> str | None:
    """What a release that was whole has lost; an upgrade of the system's Python can take its interpreter."""
    needed = (paths.src, paths.python, paths.environment, paths.static)
    lost = [path for path in needed if not os.path.exists(path)]
    return f"{lost[0]} is gone" if lost else None


def plan_stage(wanted: Wanted, observed: Observed) -> StagePlan:
    """Decide what has to be done.

    :raises Refused: the name is taken by something else, or remains can't be removed as they are in use.
    """
    manifest = observed.manifest
    if not observed.present:
        return StagePlan(True, None, f"release {wanted.name} is built: it was not there")
    if manifest is None:
        _refuse_held(wanted, observed, "is not complete (no release.json)")
        return StagePlan(True, None, f"release {wanted.name} is built anew: it was not complete")
    if (manifest.name, manifest.commit) != (wanted.name, wanted.commit):
        raise _taken(wanted, f"is of commit {manifest.commit}, expected {wanted.commit}")
    if manifest.environment_digest != wanted.digest:
        raise _taken(wanted, "was built with another environment")
    if observed.damage is not None:
        _refuse_held(wanted, observed, f"is damaged ({observed.damage})")
        return StagePlan(True, None, f"release {wanted.name} is built anew: {observed.damage}")
    if observed.environment != wanted.full_environment:
        raise _taken(wanted, f"has an environment file that was changed by hand ({_differing(wanted, observed)})")
    if observed.publication is not None and observed.publication.changed:
        return StagePlan(False, observed.publication, f"release {wanted.name} is there; {observed.publication.reason}")
    return StagePlan(False, None, f"release {wanted.name} is there")


def _differing(wanted: Wanted, observed: Observed) -> str:
    """Names only: the values are secrets."""
    there = observed.environment or {}
    asked = wanted.full_environment
    return ", ".join(sorted(name for name in {*there, *asked} if there.get(name) != asked.get(name)))


def _refuse_held(wanted: Wanted, observed: Observed, what: str) -> None:
    if observed.held is not None:
        raise Refused(
            f"release {wanted.name} {what}, and {observed.held}",
            untouched="It was left as it is",
            remedy="Make another release live first; then stage this one again",
            facts={"release": wanted.name, "held": observed.held},
        )


def _taken(wanted: Wanted, what: str) -> Refused:
    return Refused(
        f"release {wanted.name} is there already and {what}",
        untouched="It was left as it is",
        remedy="A release never changes. Take the name from release_info with the same options: "
        "another configuration has another name",
        facts={"release": wanted.name, "path": wanted.paths.path},
    )


def _apply(wanted: Wanted, plan: StagePlan, observed: Observed, tools: Tools) -> Staged:
    if plan.build:
        return _build(wanted, plan, tools)
    if plan.publication is not None:
        publish(wanted.paths.static, wanted.static_root, plan.publication)
    return Staged(plan, observed.manifest, observed.publication)


def _build(wanted: Wanted, plan: StagePlan, tools: Tools) -> Staged:
    steps = Steps(tools.clock, untouched=_UNTOUCHED)
    began = tools.clock.monotonic()
    paths = wanted.paths
    with steps.step("repository"):
        mirror = _mirror_with_commit(wanted, tools.runner)
    try:
        with steps.step("source"):
            _lay_out(wanted, mirror)
        _run_build(wanted, tools.runner, steps)
        publication = _publish_new(wanted, steps)
        with steps.step("finish"):
            tighten(paths.path)
            if wanted.scratch is None:
                sync(paths.path)
            steps.seconds["total"] = round(tools.clock.monotonic() - began, 2)
            manifest = _manifest(wanted, steps.seconds, tools.clock)
            write_manifest(paths.manifest, manifest)
    except BaseException:
        with suppress(OSError):  # what can't be removed now is without release.json: the next run takes it away
            remove_tree(paths.path)
        raise
    return Staged(plan, manifest, publication)


def _mirror_with_commit(wanted: Wanted, runner: Runner) -> Mirror:
    """The mirror under the root; for a scratch build a copy there, unless the mirror has the commit already."""
    git = Git(runner, wanted.repository, wanted.build.environment, wanted.build.timeout_s)
    mirror = Mirror(wanted.root.mirror, git)
    if wanted.scratch is not None and not mirror.has(wanted.commit):
        mirror = Mirror(wanted.scratch.mirror, git)
    mirror.ensure(wanted.commit)
    return mirror


def _lay_out(wanted: Wanted, mirror: Mirror) -> None:
    paths = wanted.paths
    end_builders(paths.path)
    remove_tree(paths.path)
    os.mkdir(paths.path, 0o750)
    archive = os.path.join(paths.path, ".src.tar")
    mirror.archive(wanted.commit, archive)
    unpack(archive, paths.src, wanted.commit)
    os.unlink(archive)
    os.mkdir(paths.static, 0o755)
    if wanted.scratch is not None:
        os.makedirs(wanted.layout.media, exist_ok=True)
    write_environment(paths.environment, wanted.full_environment)


def build_options(wanted: Wanted) -> BuildOptions:
    """How this release is built. A scratch build keeps the installers' caches beside it: nothing else is touched."""
    if wanted.scratch is None:
        return wanted.build
    caches = {"XDG_CACHE_HOME": f"{wanted.scratch.root}/cache"}
    return replace(wanted.build, environment={**wanted.build.environment, **caches})


def _run_build(wanted: Wanted, runner: Runner, steps: Steps) -> None:
    builder = Builder(runner, build_options(wanted), wanted.paths, wanted.full_environment)
    with steps.step("venv"):
        builder.make_venv()
    with steps.step("install"):
        builder.install()
    with steps.step("compile"):
        builder.compile()
    with steps.step("import"):
        builder.import_modules()
    for command in wanted.build.identity.commands:
        with steps.step(command_label(command)):
            builder.command(command)


def _publish_new(wanted: Wanted, steps: Steps) -> Publication | None:
    if wanted.scratch is not None:
        return None
    with steps.step("publish"):
        publication = plan_publication(wanted.paths.static, wanted.static_root)
        publish(wanted.paths.static, wanted.static_root, publication)
    return publication


def _manifest(wanted: Wanted, seconds: Mapping[str, float], clock: Clock) -> Manifest:
    return Manifest(
        name=wanted.name,
        commit=wanted.commit,
        version=wanted.version,
        repository=wanted.repository,
        built_at=timestamp(clock.utcnow()),
        built_by=wanted.who,
        installer=wanted.build.identity.installer,
        environment_digest=wanted.digest,
        seconds=dict(seconds),
    )


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    """What programs of the build make is not writable by others, whatever the login's umask is."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
