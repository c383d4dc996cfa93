# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx by a file with its upstream groups, and a reload after each change.

A reload is over when new workers have taken over, not when the command returns. The old workers go on by the old
file until their last client has gone, so a server is out only when they are gone too: a request whose body is still
being read has no connection to any server yet.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._balancer import _sockets
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Checks
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    Order,
    Pool,
    Running,
    Traits,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx import (
    LARGEST_WEIGHT,
    Line,
    Processes,
    Worker,
    build_server,
    group_of,
    read_groups,
    replace_group,
    told,
    without_notes,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import require_replaceable
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._files import write_atomic
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_COMMAND_S: Final = 20.0
_RELOAD_S: Final = 15.0


class Reload:
    """Makes nginx read its files, and keeps which text it has read."""

    def __init__(self, command: Sequence[str], processes: Processes, runner: Runner, clock: Clock) -> None:
        self._command = list(command)
        self._processes = processes
        self._runner = runner
        self._clock = clock

    def test(self) -> None:
        """Return when nginx finds its configuration good.

        :raises CommandFailed: it does not.
        """
        remedy = f"See the configuration ({' '.join([*self._command, '-t'])}), and that this user may run that"
        self._runner.run([*self._command, "-t"], timeout_s=_COMMAND_S).check(remedy=remedy)

    def __call__(self) -> None:
        """Reload, and return when new workers have taken over.

        :raises TimedOut: they have not. nginx says why in its error log.
        """
        master = self._processes.master()
        before = {(worker.pid, worker.started) for worker in self._processes.workers(master)}
        remedy = f"Let this user run {' '.join([*self._command, '-s', 'reload'])}"
        self._runner.run([*self._command, "-s", "reload"], timeout_s=_COMMAND_S).check(remedy=remedy)

        def judge(workers: tuple[Worker, ...]) -> Judgement:
            new = [worker for worker in workers if (worker.pid, worker.started) not in before]
            late = [worker for worker in workers if (worker.pid, worker.started) in before and not worker.old]
            return Judgement(Verdict.SUCCESS if new and not late else Verdict.RETRY, "")

        outcome = poll(
            lambda: self._processes.workers(self._processes.master()),
            judge,
            clock=self._clock,
            interval_s=0.02,
            timeout_s=_RELOAD_S,
        )
        if outcome.timed_out:
            raise TimedOut(
                f"nginx was told to reload and has no new workers after {_RELOAD_S:g} s",
                remedy="See its error log: it refuses a configuration that passed its test where an address is taken",
                facts={"command": [*self._command, "-s", "reload"]},
            )


class UpstreamFile:
    """A file that nginx includes, changed as a whole: written, tested, reloaded, or put back."""

    def __init__(self, path: str, reload: Reload) -> None:
        self.path = path
        # What nginx has read last, so that a run that dies between writing and reloading is noticed by the next one.
        self._loaded = f"{path}.loaded"
        self._reload = reload

    def in_effect(self, text: str) -> bool:
        """True when nginx has read this text, as far as is known."""
        try:
            with open(self._loaded, encoding="utf-8") as stream:
                return stream.read() == without_notes(text)
        except FileNotFoundError:
            return True

    def replace(self, old: str, new: str) -> None:
        """Bring ``new`` into effect.

        :raises SlipwayError: nginx does not take it; the file is as it was.
        """
        if without_notes(new) == without_notes(old) and self.in_effect(old):
            self._write(self.path, new)
            return
        # The test comes before the reload and after the write: nginx tests what lies there.
        if not os.path.exists(self._loaded):
            self._write(self._loaded, without_notes(old))
        self._write(self.path, new)
        try:
            self._reload.test()
        except SlipwayError as error:
            raise self._undone(error, old) from error
        try:
            self._reload()
        except SlipwayError as error:
            # It may only have been late: what nginx goes by is not known now, so that whoever comes next reloads.
            self._write(self._loaded, without_notes(new))
            raise self._undone(error, old) from error
        self._write(self._loaded, without_notes(new))

    def _undone(self, error: SlipwayError, old: str) -> SlipwayError:
        self._write(self.path, old)
        words = f"{self.path} was put back as it was"
        return BalancerError(error.seen, untouched=words, remedy=error.remedy, facts=error.facts)

    def _write(self, path: str, text: str) -> None:
        try:
            write_atomic(path, text.encode(), mode=0o644)
        except OSError as error:
            raise BalancerError(
                f"{path} could not be written: {error}",
                untouched="It holds what it held before",
                remedy="See the disk space and the rights of its directory",
                facts={"file": path},
            ) from error


class NginxIncludeDriver:
    """A :class:`Driver` over a file of upstream groups that nginx includes."""

    traits = Traits("nginx", largest_weight=LARGEST_WEIGHT)

    def __init__(
        self,
        file: UpstreamFile,
        processes: Processes,
        reload: Reload,
        checks: Checks,
        connections: _sockets.Read = _sockets.read_connections,
    ) -> None:
        self._file = file
        self._processes = processes
        self._reload = reload
        self._checks = checks
        self._connections = connections

    def require_rights(self) -> None:
        require_replaceable("file", self._file.path)
        self._processes.master()
        # Says whether this user may ask at all, and that the next reload would not fail over something else.
        self._reload.test()

    def pools(self) -> tuple[str, ...]:
        """Return the names of all groups of the file."""
        return tuple(sorted(read_groups(self._file.path)[1]))

    def observe(self, pool: str) -> Pool:
        text, groups = read_groups(self._file.path)
        lines = group_of(groups, pool, self._file.path)
        master = self._processes.master()
        old = [worker.pid for worker in self._processes.workers(master) if worker.old]
        checks = self._checks.of({line.name: line.address for line in lines})
        connections = self._connections(line.address for line in lines)
        stale = not self._file.in_effect(text)
        servers = []
        for line in lines:
            server = build_server(line, checks[line.name], len(_sockets.to_server(connections, line.address)))
            held = old_workers_in_words(old) if old and server.admin is not Admin.READY else ""
            servers.append(replace(server, held=held, mixed=stale))
        return Pool(pool, master, tuple(servers))

    def refuse(self, pool: Pool, orders: Sequence[Order]) -> None:
        """Every order can be written for every server."""

    def apply(self, pool: str, orders: Sequence[Order]) -> None:
        text, groups = read_groups(self._file.path)
        lines = {line.name: line for line in group_of(groups, pool, self._file.path)}
        changed: dict[str, Line] = {
            order.server: told(lines[order.server], order.admin, order.weight) for order in orders
        }
        self._file.replace(text, replace_group(text, pool, changed))

    def persist(self) -> None:
        """The file is what nginx reads when it starts."""

    def running(self, pool: str, servers: Sequence[str]) -> tuple[Running, ...]:
        lines = group_of(read_groups(self._file.path)[1], pool, self._file.path)
        connections = self._connections(line.address for line in lines)
        return tuple(
            Running(line.name, "connection", _sockets.in_words(connection))
            for line in lines
            if line.name in servers
            for connection in _sockets.to_server(connections, line.address)
        )


def old_workers_in_words(old: Sequence[int]) -> str:
    """What workers from before a reload mean for a server or a pool that is out."""
    pids = ", ".join(str(pid) for pid in old)
    return f"{len(old)} old workers of nginx ({pids}) still have clients and go by the file from before the reload"
