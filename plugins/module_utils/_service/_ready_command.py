# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that tells whether a worker is ready, run as the site's user with the release's environment."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Judgement, Verdict
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._environment import read_environment
from ansible_collections.slipway.django.plugins.module_utils._release._layout import ReleasePaths
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import Redaction
from ansible_collections.slipway.django.plugins.module_utils._service._options import Wanted

_SHOWN = 300


@dataclass(frozen=True)
class Account:
    """A user of this host."""

    name: str
    uid: int
    gid: int
    home: str


def find_account(name: str) -> Account:
    """Look a user up.

    :raises InvalidOption: there is none of this name.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise InvalidOption("user", name, "a user of this host") from error
    return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def ready_argv(words: Sequence[str], paths: ReleasePaths, slot: str, account: Account, euid: int) -> list[str]:
    """The command with its user.

    A relative path lies in the release, a bare word is found by PATH, and ``%i`` is the slot, as in the unit.
    """
    first, *rest = words
    program = os.path.join(paths.path, first) if "/" in first else first
    argv = [word.replace("%i", slot) for word in (program, *rest)]
    if euid == account.uid:
        return argv
    # Not runuser: that one opens a session of PAM, with its lines in the log, at each try.
    ids = [f"--reuid={account.uid}", f"--regid={account.gid}"]
    return ["setpriv", *ids, "--init-groups", "--", *argv]


def ready_environment(
    release: Mapping[str, str], paths: ReleasePaths, slot: str, port: int | None, account: Account
) -> dict[str, str]:
    """What the unit's process has, too."""
    path = f"{paths.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    own = {"HOME": account.home, "USER": account.name, "LOGNAME": account.name, "PATH": path}
    ports = {} if port is None else {"SLIPWAY_PORT": str(port)}
    return {**own, **release, "SLIPWAY_SLOT": slot, **ports}


class ReadyCommand:
    """The command of one slot."""

    def __init__(self, wanted: Wanted, slot: str, runner: Runner) -> None:
        account = find_account(wanted.user)
        paths = wanted.paths
        environment = read_environment(paths.environment)
        self._argv = ready_argv(wanted.ready_command, paths, slot, account, os.geteuid())
        self._environment = ready_environment(environment, paths, slot, wanted.port(slot), account)
        self._cwd = paths.src
        self._redact = Redaction(environment)
        self._runner = runner

    def judge(self, left_s: float) -> Judgement:
        """Run it once.

        :raises CommandFailed: it can't be started.
        """
        try:
            done = self._runner.run(self._argv, timeout_s=max(left_s, 1.0), env=self._environment, cwd=self._cwd)
        except TimedOut as error:
            return Judgement(Verdict.RETRY, self._redact(error.seen))
        if done.returncode == 0:
            return Judgement(Verdict.SUCCESS, "the ready command says yes")
        said = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        words = self._redact(said)[:_SHOWN] or "nothing"
        return Judgement(Verdict.RETRY, f"the ready command ended with status {done.returncode} and said: {words}")
