# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row
from ansible_collections.slipway.django.plugins.module_utils._preflight._services import (
    Services,
    service_rows,
    span_s,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed, shown_units
from hypothesis import given
from hypothesis import strategies as st

LIVE = "3f2a9c1d2e4f-0a1b2c3d"
OTHER = "95b0d36abb39-350f43f3"
QUESTION = ("systemctl", "show", "--property=Id,LoadState,ActiveState,SubState,KillMode,TimeoutStopUSec")


def unit(name: str, *, load: str = "loaded", active: str = "active", mode: str = "mixed", stop: str = "5min") -> str:
    state = f"Id={name}\nLoadState={load}\nActiveState={active}\nSubState=running\n"
    return f"{state}KillMode={mode}\nTimeoutStopUSec={stop}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "slots").mkdir()
    for slot, release in (("blue", LIVE), ("green", OTHER)):
        (tmp_path / "releases" / release).mkdir(parents=True)
        (tmp_path / "slots" / slot).symlink_to(f"../releases/{release}")
    return tmp_path


def rows(root: Path, runner: FakeRunner, *, live: str = LIVE, kinds: list[str], task: int = 0) -> dict[str, Row]:
    wanted = Services(str(root), "shop", kinds, live, ["haproxy.service"], task)
    return {row.check: row for row in service_rows(wanted, runner)}


def systemd(*units: str, shown: str) -> FakeRunner:
    return FakeRunner().on("systemctl", "show", answer=shown).on(*QUESTION, answer="\n".join(units))


def test_a_host_as_the_last_deployment_left_it_passes(root: Path) -> None:
    shown = shown_units(enabled="blue", running=["web@blue", "worker@blue"])
    runner = systemd(unit("haproxy.service"), unit("shop-worker@blue.service"), shown=shown)
    found = rows(root, runner, kinds=["web", "worker"], task=60)

    assert {row.mark for row in found.values()} == {Mark.PASSED}
    assert set(found) == {
        "service haproxy.service",
        "worker's stop",
        "worker's time to stop",
        "live release",
        "web runs",
        "worker runs",
    }


@pytest.mark.parametrize(
    ("shown", "check", "seen"),
    [
        (shown_units(enabled="green", running=["web@green", "worker@blue"]), "live release", OTHER),
        (shown_units(running=["web@blue", "worker@blue"]), "live release", "no web unit is enabled: nothing is live"),
        (shown_units(enabled="blue", running=["worker@blue"]), "web runs", "in no slot"),
        (shown_units(enabled="blue", running=["web@blue"]), "worker runs", "in no slot"),
        (shown_units(enabled="blue", running=["web@blue", "worker@blue", "worker@green"]), "worker runs", "in blue, g"),
    ],
)
def test_a_host_that_is_otherwise_fails(root: Path, shown: str, check: str, seen: str) -> None:
    runner = systemd(unit("haproxy.service"), unit("shop-worker@blue.service"), shown=shown)
    row = rows(root, runner, kinds=["web", "worker"])[check]

    assert row.mark is Mark.FAILED
    assert row.seen.startswith(seen)


@pytest.mark.parametrize(
    ("service", "seen"),
    [
        (unit("haproxy.service", active="failed"), "failed (running)"),
        (unit("haproxy.service", active="activating"), "activating (running)"),
        (unit("haproxy.service", load="not-found", active="inactive"), "not-found"),
    ],
)
def test_a_service_that_does_not_run_fails(root: Path, service: str, seen: str) -> None:
    row = rows(root, systemd(service, shown=shown_units()), kinds=[])["service haproxy.service"]
    assert (row.mark, row.seen) == (Mark.FAILED, seen)


@pytest.mark.parametrize(
    ("worker", "task", "check", "mark"),
    [
        (unit("shop-worker@blue.service", mode="control-group"), 0, "worker's stop", Mark.FAILED),
        (unit("shop-worker@blue.service", mode="process"), 0, "worker's stop", Mark.PASSED),
        (unit("shop-worker@blue.service", load="not-found"), 0, "worker's stop", Mark.FAILED),
        (unit("shop-worker@blue.service", stop="1min 30s"), 90, "worker's time to stop", Mark.FAILED),
        (unit("shop-worker@blue.service", stop="1min 30s"), 89, "worker's time to stop", Mark.PASSED),
        (unit("shop-worker@blue.service", stop="infinity"), 9000, "worker's time to stop", Mark.PASSED),
        (unit("shop-worker@blue.service"), 0, "worker's time to stop", Mark.NOT_ASKED),
    ],
)
def test_a_worker_must_be_left_the_time_to_end_its_tasks(
    root: Path, worker: str, task: int, check: str, mark: Mark
) -> None:
    runner = systemd(unit("haproxy.service"), worker, shown=shown_units(enabled="blue"))
    assert rows(root, runner, kinds=["worker"], task=task)[check].mark is mark


def test_before_the_first_deployment_nothing_must_be_live(root: Path) -> None:
    runner = systemd(unit("haproxy.service"), shown=shown_units())
    found = rows(root, runner, live="", kinds=["web"])

    assert found["live release"].mark is Mark.NOT_ASKED
    assert "web runs" not in found


def test_a_silent_systemd_is_no_pass(root: Path) -> None:
    runner = FakeRunner().on("systemctl", answer=completed(returncode=1, stderr="Failed to connect to bus"))
    found = rows(root, runner, kinds=["web"])

    assert {row.mark for row in found.values()} == {Mark.UNKNOWN}
    assert "Failed to connect to bus" in found["services"].seen
    assert set(found) == {"services", "live release"}


def test_fewer_answers_than_questions_are_no_pass(root: Path) -> None:
    found = rows(root, systemd("", shown=shown_units()), kinds=[])
    assert found["services"].mark is Mark.UNKNOWN


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1min 30s", 90), ("2h", 7200), ("1w 1d", 691_200), ("250ms", 0.25), ("0", None)]
)
def test_spans_of_systemd(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(SlipwayError, match="is not understood"):
            span_s(text)
    else:
        assert span_s(text) == pytest.approx(seconds)


@given(st.text(max_size=30))
def test_a_span_is_understood_or_refused(text: str) -> None:
    try:
        seconds = span_s(text)
    except SlipwayError:
        return
    assert seconds >= 0
