# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of a call against a systemd that is played: what is ordered, in which order, and what a failure leaves."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    Doomed,
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._process import Completed
from ansible_collections.slipway.django.plugins.module_utils._service._operations import Host, run
from ansible_collections.slipway.django.plugins.module_utils._service._processes import Listener, Processes
from ansible_collections.slipway.django.plugins.module_utils._service._systemd import Systemd
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_plan import wanted
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_slots import LAST, NEW, OLD

PORTS = {"blue": 8001, "green": 8002}
REST = {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0", "Job": ""}
RUNS = {"ActiveState": "active", "SubState": "running", "Result": "success"}
CRASH = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code", "ExecMainCode": "1"}
# What a unit does when it is started or stopped: property changes after so many seconds.
Script = Sequence[tuple[float, Mapping[str, str]]]


@dataclass
class Played:
    """systemctl, with units that follow scripts. Also the runner of the ready command."""

    clock: FakeClock
    root: Path
    orders: list[str] = field(default_factory=list)
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    starting: dict[str, Script] = field(default_factory=dict)
    stopping: dict[str, Script] = field(default_factory=dict)
    ready: Callable[[], Completed] = lambda: Completed((), 0, "", "")
    directories: dict[int, str] = field(default_factory=dict)
    strangers: dict[int, Listener] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pending: list[tuple[float, str, Mapping[str, str]]] = []
        self._pids = 100
        (self.root / "slots").mkdir()
        for name in (OLD, LAST, NEW):
            (self.root / "releases" / name / "src").mkdir(parents=True)
            (self.root / "releases" / name / "release.json").write_text("{}")
            (self.root / "releases" / name / "env").write_text('DJANGO_SETTINGS_MODULE="config.settings"\n')

    def unit(self, name: str) -> dict[str, str]:
        return self.units.setdefault(
            name,
            {
                "Id": name,
                "LoadState": "loaded",
                "UnitFileState": "disabled",
                "Result": "success",
                "ExecMainCode": "0",
                "ExecMainStatus": "0",
                "NRestarts": "0",
                "ActiveEnterTimestampMonotonic": "0",
                **REST,
            },
        )

    def link(self, slot: str, release: str) -> None:
        os.symlink(f"../releases/{release}", self.root / "slots" / slot)

    def links(self) -> dict[str, str]:
        return {path.name: path.readlink().name for path in (self.root / "slots").iterdir()}

    def serve(self, slot: str, kind: str = "web", *, enabled: bool = True) -> None:
        """The slot's unit runs since long ago."""
        name = f"shop-{kind}@{slot}.service"
        self.unit(name).update({**RUNS, **self._process(name), "ActiveEnterTimestampMonotonic": "1000000"})
        self.unit(name)["UnitFileState"] = "enabled" if enabled else "disabled"

    def _process(self, name: str) -> dict[str, str]:
        slot = re.split(r"[@.]", name)[1]
        self._pids += 1
        self.directories[self._pids] = os.path.realpath(self.root / "slots" / slot / "src")
        return {"MainPID": str(self._pids)}

    def _advance(self) -> None:
        due = [entry for entry in self._pending if entry[0] <= self.clock.now]
        self._pending = [entry for entry in self._pending if entry[0] > self.clock.now]
        for when, name, changes in sorted(due, key=lambda entry: entry[0]):
            self._change(when, name, changes)

    def _change(self, when: float, name: str, changes: Mapping[str, str]) -> None:
        unit = self.unit(name)
        if changes.get("ActiveState") == "active":
            unit["ActiveEnterTimestampMonotonic"] = str(int(when * 1e6))
            if unit["MainPID"] == "0":
                unit.update(self._process(name))
        unit.update(changes)

    def _follow(self, name: str, script: Script) -> None:
        self._pending = [entry for entry in self._pending if entry[1] != name]
        self._pending += [(self.clock.now + delay, name, changes) for delay, changes in script]
        self._advance()

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        assert timeout_s > 0
        assert stdin is None
        self._advance()
        if argv[0] != "systemctl":
            self.orders.append("ready?")
            assert env is not None
            assert cwd is not None
            return self.ready()
        verb, names = argv[1], argv[argv.index("--") + 1 :]
        if verb == "show":
            blocks = ["\n".join(f"{key}={value}" for key, value in self.unit(name).items()) for name in names]
            return Completed(tuple(argv), 0, "\n\n".join(blocks) + "\n", "")
        (name,) = names
        self.orders.append(f"{verb} {name.removeprefix('shop-').removesuffix('.service')}")
        self._obey(verb, name)
        return Completed(tuple(argv), 0, "", "")

    def _obey(self, verb: str, name: str) -> None:
        unit = self.unit(name)
        if verb == "start":
            unit.update({"ActiveState": "activating", "SubState": "start", "Job": "7"})
            self._follow(name, self.starting.get(name, [(0.0, {**RUNS, "Job": ""})]))
        elif verb == "stop" and unit["ActiveState"] not in ("inactive", "failed"):
            unit.update({"ActiveState": "deactivating", "SubState": "stop-sigterm", "Job": "8"})
            self._follow(name, self.stopping.get(name, [(0.0, REST)]))
        elif verb == "reset-failed":
            unit.update({**REST, "NRestarts": "0", "Result": "success"})
        elif verb in ("enable", "disable") and unit["UnitFileState"] != "static":
            unit["UnitFileState"] = f"{verb}d"


class PlayedProcesses(Processes):
    """Processes of the played units: each listens on its slot's port as long as it runs."""

    def __init__(self, played: Played) -> None:
        super().__init__("/nowhere")
        self.played = played
        self.deaf: set[str] = set()

    def working_directory(self, pid: int) -> str | None:
        return self.played.directories.get(pid)

    def listeners(self, port: int, likely: int = 0) -> tuple[Listener, ...]:
        slot = next(slot for slot, number in PORTS.items() if number == port)
        name = f"shop-web@{slot}.service"
        unit = self.played.unit(name)
        own = unit["ActiveState"] == "active" and name not in self.deaf
        found = [Listener(int(unit["MainPID"]), "gunicorn", name)] if own else []
        return (*found, *filter(None, [self.played.strangers.get(port)]))


@dataclass
class Stage:
    played: Played
    processes: PlayedProcesses
    clock: FakeClock

    def call(self, state: str = "started", **changes: Any) -> dict[str, Any]:
        call = wanted(state, root=str(self.played.root), ports=PORTS, **changes)
        return run(call, Host(Systemd(self.played), self.processes, self.played, self.clock))

    @property
    def orders(self) -> list[str]:
        return self.played.orders


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    clock = FakeClock()
    played = Played(clock, tmp_path)
    return Stage(played, PlayedProcesses(played), clock)


@pytest.fixture
def live(stage: Stage) -> Stage:
    """LAST serves in blue, OLD lies in green."""
    stage.played.link("blue", LAST)
    stage.played.link("green", OLD)
    stage.played.serve("blue")
    return stage


GREEN = "shop-web@green.service"


def test_a_whole_switch_and_each_step_again(live: Stage) -> None:
    result = live.call()
    assert live.orders == ["start web@green"]
    assert live.played.links() == {"blue": LAST, "green": NEW}
    assert (result["changed"], result["slot"], result["other"], result["port"]) == (True, "green", "blue", 8002)
    assert (result["unit"], result["release"], result["pid"]) == (GREEN, NEW, 102)
    assert not live.call()["changed"]
    result = live.call("live")
    assert live.orders[1:] == ["enable web@green", "disable web@blue", "stop web@blue"]
    assert (result["changed"], result["slot"], result["pid"]) == (True, "green", 102)
    assert result["diff"]["after"]["blue"] == {"release": LAST, "enabled": False, "running": False}
    assert not live.call("live")["changed"]
    assert not live.call()["changed"]
    assert not live.call("stopped", slot="blue")["changed"]
    # The way back finds the old release where it was.
    assert live.call(release=LAST)["slot"] == "blue"
    live.call("live", release=LAST)
    assert live.orders[4:] == ["start web@blue", "enable web@blue", "disable web@green", "stop web@green"]
    assert live.played.links() == {"blue": LAST, "green": NEW}


def test_the_first_deployment(stage: Stage) -> None:
    assert stage.call()["slot"] == "blue"
    stage.call("live")
    assert stage.orders == ["start web@blue", "enable web@blue"]
    assert stage.played.links() == {"blue": NEW}


def test_a_prediction_touches_nothing_and_returns_the_same(live: Stage) -> None:
    predicted = run(
        wanted(root=str(live.played.root), predicting=True),
        Host(Systemd(live.played), live.processes, live.played, live.clock),
    )
    assert live.orders == []
    assert live.played.links() == {"blue": LAST, "green": OLD}
    done = live.call()
    assert predicted.keys() == done.keys()
    assert {key: predicted[key] for key in ("changed", "slot", "reason", "diff")} == {
        key: done[key] for key in ("changed", "slot", "reason", "diff")
    }


def test_it_waits_until_the_port_is_open_and_a_second_more(live: Stage) -> None:
    live.played.starting[GREEN] = [(3.0, {**RUNS, "Job": ""})]
    live.call()
    assert 4.0 <= live.clock.elapsed < 4.5


def test_a_crash_at_the_start_is_noticed_at_once_and_the_slot_is_free_again(live: Stage) -> None:
    live.played.starting[GREEN] = [(0.5, {**CRASH, "ExecMainStatus": "3", "Job": ""})]
    with pytest.raises(Doomed) as failure:
        live.call()
    assert failure.value.message == (
        f"Release {NEW} did not start: {GREEN} failed (result exit-code, exit status 3). "
        f"{GREEN} was stopped again; slot blue was not touched. "
        f"Read `journalctl -u {GREEN}` on this host."
    )
    assert failure.value.facts["unit"] == GREEN
    assert live.clock.elapsed < 1.5
    assert live.orders == ["start web@green", "stop web@green"]
    assert live.played.unit("shop-web@blue.service")["ActiveState"] == "active"


def test_a_crash_right_after_the_port_was_open_is_noticed(live: Stage) -> None:
    live.played.starting[GREEN] = [(0.5, {**RUNS, "Job": ""}), (1.2, {**CRASH, "ExecMainStatus": "3"})]
    with pytest.raises(Doomed, match="failed"):
        live.call()


def test_a_start_without_end_is_stopped_at_the_deadline(live: Stage) -> None:
    live.processes.deaf.add(GREEN)
    with pytest.raises(TimedOut) as failure:
        live.call(timeout=20.0)
    assert failure.value.message == (
        f"Release {NEW} is not ready after 20 s: {GREEN} runs, but port 8002 is not open. "
        f"{GREEN} was stopped again; slot blue was not touched. "
        f"Read `journalctl -u {GREEN}` on this host."
    )
    assert 20.0 <= live.clock.elapsed < 20.5


def test_a_unit_that_ran_before_is_not_stopped_by_a_failed_check(live: Stage) -> None:
    live.played.unit("shop-web@blue.service")
    live.processes.deaf.add("shop-web@blue.service")
    with pytest.raises(TimedOut):
        live.call(release=LAST, timeout=5.0)
    assert live.orders == []


def test_a_failed_start_that_can_not_be_stopped_says_so(live: Stage) -> None:
    live.processes.deaf.add(GREEN)
    live.played.stopping[GREEN] = []
    with pytest.raises(TimedOut) as failure:
        live.call(timeout=5.0, stop_timeout=7.0)
    assert f"{GREEN} could not be stopped again: {GREEN} is still deactivating (stop-sigterm)" in failure.value.message


def test_somebody_else_on_the_port_is_refused_before_anything_is_done(live: Stage) -> None:
    live.played.strangers[8002] = Listener(4711, "nc", "")
    with pytest.raises(Refused, match=r"Port 8002 of slot green is taken by process 4711 \(nc\)"):
        live.call()
    assert live.orders == []
    assert live.played.links()["green"] == OLD


def test_a_release_that_is_not_there_is_refused(live: Stage) -> None:
    (live.played.root / "releases" / NEW / "release.json").unlink()
    with pytest.raises(Refused, match="is not whole on this host"):
        live.call()
    assert live.orders == []


def test_a_failed_unit_is_reset_before_it_starts(live: Stage) -> None:
    live.played.unit(GREEN).update({"ActiveState": "failed", "SubState": "failed", "Result": "signal"})
    live.call()
    assert live.orders == ["reset-failed web@green", "start web@green"]


def test_the_other_scheduler_ends_first(live: Stage) -> None:
    live.played.serve("blue", "beat")
    live.played.stopping["shop-beat@blue.service"] = [(2.0, REST)]
    live.call(kind="beat")
    assert live.orders == ["stop beat@blue", "start beat@green"]
    assert live.clock.elapsed >= 2.0 + 5.0


def test_a_scheduler_that_fails_tells_that_the_other_had_been_stopped(live: Stage) -> None:
    live.played.serve("blue", "beat")
    live.played.starting["shop-beat@green.service"] = [(0.5, {**CRASH, "ExecMainStatus": "1", "Job": ""})]
    with pytest.raises(Doomed, match=r"shop-beat@blue\.service had been stopped before"):
        live.call(kind="beat")


def test_a_worker_is_ready_when_its_command_says_so(live: Stage) -> None:
    answers = [Completed((), 69, "", "no reply"), Completed((), 69, "", "no reply"), Completed((), 0, "pong", "")]
    live.played.ready = lambda: answers.pop(0)
    live.call(kind="worker", ready_command=["venv/bin/celery", "inspect", "ping"], user="root")
    assert live.orders == ["start worker@green", "ready?", "ready?", "ready?"]


def test_a_worker_that_never_answers_is_stopped(live: Stage) -> None:
    live.played.ready = lambda: Completed((), 69, "", "no reply")
    with pytest.raises(TimedOut, match="the ready command ended with status 69 and said: no reply"):
        live.call(kind="worker", ready_command=["venv/bin/celery", "inspect", "ping"], user="root", timeout=10.0)
    assert live.orders[-1] == "stop worker@green"


def test_a_ready_command_that_is_not_there_ends_the_start(live: Stage) -> None:
    def absent() -> Completed:
        raise CommandFailed(["celery"], None, "No such file or directory")

    live.played.ready = absent
    with pytest.raises(CommandFailed, match="No such file"):
        live.call(kind="worker", ready_command=["venv/bin/celery"], user="root")
    assert (
        live.orders == ["start worker@green", "ready?", "stop worker@green"] or live.orders[-1] == "stop worker@green"
    )


def test_a_slow_end_is_waited_for(live: Stage) -> None:
    live.call()
    live.played.stopping["shop-web@blue.service"] = [(25.0, REST)]
    before = live.clock.elapsed
    live.call("live")
    assert 25.0 <= live.clock.elapsed - before < 25.5


def test_an_end_that_does_not_come_is_said_with_its_process(live: Stage) -> None:
    live.call()
    live.played.stopping["shop-web@blue.service"] = []
    before = live.clock.elapsed
    with pytest.raises(TimedOut) as failure:
        live.call("live", stop_timeout=10.0)
    assert live.clock.elapsed - before == pytest.approx(10.0)
    assert failure.value.message == (
        "shop-web@blue.service is still deactivating (stop-sigterm), process 101, 10 s after its stop. "
        "systemd goes on stopping it. "
        "Give it a longer stop_timeout than the unit's TimeoutStopSec, or see `systemctl status shop-web@blue.service`."
    )


def test_a_signal_comes_before_the_stop(live: Stage) -> None:
    live.call()
    live.call("live", stop_signal="SIGKILL")
    assert live.orders[-2:] == ["kill web@blue", "stop web@blue"]


def test_a_unit_that_can_not_be_enabled_is_noticed(live: Stage) -> None:
    live.call()
    live.played.unit(GREEN)["UnitFileState"] = "static"
    with pytest.raises(SlipwayError) as failure:
        live.call("live")
    assert failure.value.message.startswith(
        f"After all orders {GREEN} is {{'release': '{NEW}', 'enabled': False, 'running': True}}, "
        f"expected {{'release': '{NEW}', 'enabled': True, 'running': True}}."
    )
    assert "does its file have an [Install] section?" in failure.value.message


def test_without_the_sites_directories_nothing_is_started(stage: Stage) -> None:
    (stage.played.root / "slots").rmdir()
    with pytest.raises(SlipwayError, match=r"slots/blue could not be linked to .*: No such file or directory"):
        stage.call()
    assert stage.orders == []


def test_a_slot_that_is_no_link_is_left_alone(live: Stage) -> None:
    (live.played.root / "slots" / "green").unlink()
    (live.played.root / "slots" / "green").mkdir()
    with pytest.raises(SlipwayError, match="is no symbolic link"):
        live.call()
    assert live.orders == []
