# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One systemd unit as C(systemctl show) tells it, and the few orders it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._slots import parse_show

_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "MainPID",
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "NRestarts",
    "Job",
    "ActiveEnterTimestampMonotonic",
)
# systemd answers in milliseconds; enabling makes it read all its files again.
_ANSWER_S = 30.0
_RELOAD_S = 90.0
# wait(2): how the main process ended, and systemd.exec(5): why it was not even started.
_ENDS = {1: "exit status", 2: "signal", 3: "signal, with a core dump,"}
_NOT_STARTED = {
    200: "its working directory is missing",
    203: "its program can't be run",
    209: "its output can't be opened",
    216: "its group is unknown",
    217: "its user is unknown",
}


@dataclass(frozen=True)
class Unit:
    """A unit's state. ``job``: systemd still has something to do for it."""

    name: str
    load: str
    active: str
    sub: str
    file_state: str
    pid: int
    result: str
    exit_code: int
    exit_status: int
    restarts: int
    job: bool
    active_since_s: float

    @property
    def at_rest(self) -> bool:
        """Nothing of it runs or is about to run. A state that is not known is no rest."""
        return self.active in ("inactive", "failed") and not self.job and self.pid == 0

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading", "refreshing")

    @property
    def restarting(self) -> bool:
        """It has failed, and systemd waits before it tries once more."""
        return self.sub.startswith("auto-restart")

    @property
    def enabled(self) -> bool:
        """Started at boot. Not C(enabled-runtime), which the next boot forgets."""
        return self.file_state == "enabled"

    def describe(self) -> str:
        return f"{self.active} ({self.sub})"

    def ending(self) -> str:
        """How its main process ended, in words."""
        if self.exit_code not in _ENDS:
            return f"result {self.result}"
        why = _NOT_STARTED.get(self.exit_status, "") if self.exit_code == 1 else ""
        return f"result {self.result}, {_ENDS[self.exit_code]} {self.exit_status}" + (f": {why}" if why else "")


def unit_from(properties: Mapping[str, str]) -> Unit:
    """Read one unit's properties.

    :raises SlipwayError: one is missing, or no number where one must be.
    """
    try:
        return Unit(
            name=properties["Id"],
            load=properties["LoadState"],
            active=properties["ActiveState"],
            sub=properties["SubState"],
            file_state=properties["UnitFileState"],
            pid=int(properties["MainPID"]),
            result=properties["Result"],
            exit_code=int(properties["ExecMainCode"]),
            exit_status=int(properties["ExecMainStatus"]),
            restarts=int(properties["NRestarts"]),
            job=properties["Job"] not in ("", "0"),
            active_since_s=int(properties["ActiveEnterTimestampMonotonic"]) / 1e6,
        )
    except (KeyError, ValueError) as error:
        raise SlipwayError(
            f"systemctl show gave properties that are not understood: {error}",
            remedy="Is it a service, and systemd 239 or newer?",
            facts={"properties": dict(properties)},
        ) from error


class Systemd:
    """systemd on this host."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def show(self, names: Sequence[str]) -> dict[str, Unit]:
        """The units by name, known to systemd or not.

        :raises SlipwayError: systemd gave no answer, or one for other units.
        """
        argv = ["systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", *names]
        done = self._runner.run(argv, timeout_s=_ANSWER_S).check(remedy="This host must run systemd")
        units = {unit.name: unit for unit in map(unit_from, parse_show(done.stdout))}
        missing = [name for name in names if name not in units]
        if missing:
            raise SlipwayError(f"systemctl show gave nothing for {', '.join(missing)}", facts={"units": missing})
        return units

    def start(self, name: str) -> None:
        """Ask for a start. Whether it succeeds is for the caller to observe."""
        self._order("start", "--no-block", name)

    def stop(self, name: str) -> None:
        """Ask for a stop. Whether it succeeds is for the caller to observe."""
        self._order("stop", "--no-block", name)

    def kill(self, name: str, signal: str) -> None:
        """Send a signal to all processes of the unit (systemd's default)."""
        # Not checked: the unit may have ended by itself, and the stop that follows is observed.
        self._runner.run(["systemctl", "kill", f"--signal={signal}", "--", name], timeout_s=_ANSWER_S)

    def reset_failed(self, name: str) -> None:
        """Forget that it failed, and how often it was restarted."""
        self._order("reset-failed", name)

    def enable(self, name: str) -> None:
        self._order("enable", "--quiet", name)

    def disable(self, name: str) -> None:
        self._order("disable", "--quiet", name)

    def _order(self, verb: str, *arguments: str) -> None:
        *options, name = arguments
        argv = ["systemctl", verb, *options, "--", name]
        self._runner.run(argv, timeout_s=_RELOAD_S).check(remedy=f"See `systemctl status {name}` on this host")
