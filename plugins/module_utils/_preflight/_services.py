# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd says of a host before a deployment: what must run runs, and a stop ends no work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, guarded, judged
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._layout import SLOTS, Layout
from ansible_collections.slipway.django.plugins.module_utils._release._slots import (
    Live,
    live_of,
    parse_show,
    read_links,
    read_units,
    slots_of,
)

_ANSWER_S = 30.0
_PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "KillMode", "TimeoutStopUSec")
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>us|ms|min|s|h|d|w)\Z")


@dataclass(frozen=True)
class Services:
    """What is asked of systemd.

    :param root: root of the site; its slots tell what is live.
    :param site: name of the site, empty to ask nothing of its units.
    :param kinds: kinds of processes that this host has: C(web), C(asgi), C(worker), C(beat).
    :param live: release that must be live here; empty when that is not known.
    :param running: units that must run.
    :param longest_task: seconds that the longest task of a worker takes; 0 when nobody has said.
    """

    root: str
    site: str
    kinds: Sequence[str]
    live: str
    running: Sequence[str]
    longest_task: int


def span_s(text: str) -> float:
    """Read a time span as C(systemctl show) prints it: C(1min 30s), C(infinity).

    :raises SlipwayError: it is something else.
    """
    if text == "infinity":
        return float("inf")
    total = 0.0
    for part in text.split():
        found = _SPAN.match(part)
        if found is None:
            raise SlipwayError(f"systemd printed the time span {text!r}, which is not understood")
        total += float(found["number"]) * _UNITS_S[found["unit"]]
    return total


def service_rows(wanted: Services, runner: Runner) -> Iterator[Row]:
    """Look at all that was asked for; one call of systemctl, and one for the slots."""
    names = [*wanted.running, *_worker_units(wanted)]
    if names:
        yield from guarded("A4", "services", "an answer of systemd", lambda: _unit_rows(wanted, _show(runner, names)))
    if wanted.site and wanted.kinds:
        yield from guarded("A5", "live release", "slots that can be read", lambda: _live_rows(wanted, runner))


def _worker_units(wanted: Services) -> list[str]:
    kinds = [kind for kind in wanted.kinds if kind == "worker"] if wanted.site else []
    # Both slots are instances of one template: what is configured for one holds for the other.
    return [f"{wanted.site}-{kind}@{SLOTS[0]}.service" for kind in kinds]


def _show(runner: Runner, names: Sequence[str]) -> dict[str, Mapping[str, str]]:
    argv = ["systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", *names]
    done = runner.run(argv, timeout_s=_ANSWER_S).check(remedy="This host must run systemd")
    # In the order that was asked for: an alias answers with another Id.
    shown = parse_show(done.stdout)
    if len(shown) != len(names):
        raise SlipwayError(f"systemctl show gave {len(shown)} units for {len(names)} names")
    return dict(zip(names, shown))


def _unit_rows(wanted: Services, shown: Mapping[str, Mapping[str, str]]) -> Iterator[Row]:
    for name in wanted.running:
        unit = shown[name]
        state = f"{unit['ActiveState']} ({unit['SubState']})" if unit["LoadState"] == "loaded" else unit["LoadState"]
        yield judged("A4", f"service {name}", state.startswith("active"), state, f"{name} runs")
    for name in _worker_units(wanted):
        yield from _shutdown_rows(shown[name], wanted.longest_task)


def _shutdown_rows(unit: Mapping[str, str], longest_task: int) -> Iterator[Row]:
    """Celery's warm shutdown: SIGTERM to the main process alone, and time for the longest task.

    systemd's default, SIGTERM to the whole group, ended 4 of 4 running tasks; SIGKILL strands a task in the broker.
    """
    if unit["LoadState"] != "loaded":
        yield Row("B9", "worker's stop", Mark.FAILED, f"{unit['Id']} is {unit['LoadState']}", "a unit of the worker")
        return
    mode, limit = unit["KillMode"], span_s(unit["TimeoutStopUSec"])
    yield judged(
        "B9", "worker's stop", mode in ("mixed", "process"), f"KillMode={mode}", "KillMode=mixed: a warm shutdown"
    )
    expected = f"TimeoutStopSec above {longest_task} s, the longest task"
    seen = f"TimeoutStopSec={limit:g} s"
    if longest_task:
        yield judged("B9", "worker's time to stop", limit > longest_task, seen, expected)
    else:
        yield Row("B9", "worker's time to stop", Mark.NOT_ASKED, f"{seen}; preflight_longest_task is 0", expected)


def _live_rows(wanted: Services, runner: Runner) -> Iterator[Row]:
    units = read_units(runner, wanted.site)
    live = live_of(slots_of(read_links(Layout(wanted.root)), units)) if "web" in wanted.kinds else None
    if not wanted.live:
        yield Row("A5", "live release", Mark.NOT_ASKED, "nobody has said what must be live here", "a live release")
        return
    if live is not None:
        yield _live_row(live, wanted.live)
    for kind in wanted.kinds:
        yield _kind_row(kind, units, live)


def _live_row(live: Live, wanted: str) -> Row:
    seen = live.release or live.reason
    return judged("A5", "live release", live.release == wanted, seen, f"{wanted}, as the last deployment left it")


def _kind_row(kind: str, units: Mapping[tuple[str, str], Mapping[str, str]], live: Live | None) -> Row:
    active = [slot for slot in SLOTS if units[slot, kind]["ActiveState"] == "active"]
    expected = f"{kind} runs in one slot"
    if kind == "web" and live is not None and live.slot is not None:
        return judged("A5", "web runs", live.slot in active, f"in {', '.join(active) or 'no slot'}", f"in {live.slot}")
    return judged("A5", f"{kind} runs", len(active) == 1, f"in {', '.join(active) or 'no slot'}", expected)
