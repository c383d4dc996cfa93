# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign behind docs/proof/faults.md, which it writes: what all hosts need breaks in the middle."""

from __future__ import annotations

from collections.abc import Sequence

from slipway_lab import breaking, proof
from slipway_lab.breaking import Broken
from slipway_lab.world import CHECKOUT, World

PAGE = CHECKOUT / "docs" / "proof" / "faults.md"
TEMPLATE = """# What all hosts need breaks in the middle

Written by `make proof` (`tests/proof/test_faults.py`). Hosts that die one by one: [lost-hosts.md](lost-hosts.md).

**{verdict}: {cases} faults in deployments of v2 over v1.**

What must hold: the deployment ends by itself, not with status 0, and says what it saw. When the fault is mended the
site answers, each server with v1 or v2, before anybody does anything else; the same command once more finishes.

{table}

`answers`: the version that app1, app2, app3 answer with when the fault is mended. `once more`: status of the same
command, then of the one that the first answer named, if it asked for a decision.

{messages}

{circumstances}
"""


def test_what_all_hosts_need_breaks(world: World) -> None:
    cases: list[Broken] = []
    for fault in breaking.FAULTS:
        cases.append(breaking.break_it(world, fault))
        # Written after each case: a campaign that is ended early leaves what it has seen.
        PAGE.write_text(render(cases), encoding="utf-8")
    assert {one.fault.name: breaking.shortfalls(one) for one in cases} == {one.fault.name: [] for one in cases}


def render(cases: Sequence[Broken]) -> str:
    """The page. Pure but for the machine's name."""
    broken = [f"{one.fault.name}: {what}" for one in cases for what in breaking.shortfalls(one)]
    rows = ["| what | when | ends s | status | answers | once more |", "| --- | --- | ---: | ---: | --- | --- |"]
    rows += [_row(one) for one in cases]
    messages = [f"Of {one.fault.name}:\n\n```\n{breaking.last_message(one.run)}\n```" for one in cases]
    return TEMPLATE.format(
        verdict="All held" if not broken else "NOT as promised: " + "; ".join(broken),
        cases=len(cases),
        table="\n".join(rows),
        messages="\n\n".join(messages),
        circumstances=proof.machine_in_words(),
    )


def _row(one: Broken) -> str:
    names = {one.old: "v1", one.new: "v2"}
    answers = " ".join("+".join(names.get(name, name) for name in found) or "none" for found in one.between.values())
    when = f"{one.fault.moment.name} of {one.fault.host}" if one.fault.moment else f"before the start, {one.fault.host}"
    again = ", ".join(f"{run.rc} after {run.seconds:.0f} s" for run in one.again)
    return f"| {one.fault.name} | {when} | {one.run.seconds:.0f} | {one.run.rc} | {answers} | {again} |"
