# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with an inventory before any host is touched.

Ansible ends with status 0 when an inventory does not exist, when a group is misspelt and when a
variable's name is: nothing is done and nothing is said. Here each of these is a finding, and all
findings come in one report.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused

SITE_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")

# The shared variables; docs/variables.md describes each, and a test holds the two together.
SHARED_VARIABLES = (
    "slipway_address",
    "slipway_allowed_variables",
    "slipway_asgi_drain_timeout",
    "slipway_asgi_ports",
    "slipway_batch",
    "slipway_control_host",
    "slipway_database",
    "slipway_domain",
    "slipway_environment",
    "slipway_health_path",
    "slipway_pool",
    "slipway_ports",
    "slipway_repository",
    "slipway_root",
    "slipway_site",
    "slipway_site_url",
    "slipway_user",
    "slipway_version",
)

# What a run alone is told (README.md): misspelt, it would be another deployment than the one that was meant.
RUN_VARIABLES = ("deploy_contract", "deploy_strategy")

# How alike two names must be for one to be taken for a slip of the other. 0.88 finds one letter
# left out, doubled, changed or swapped in names of eight letters and more.
_ALIKE = 0.88


@dataclass(frozen=True)
class Inventory:
    """What the run knows before it connects to anything.

    :param groups: hosts of each group, Ansible's ``all`` included.
    :param variables: names of all variables of all hosts.
    :param settings: values of the shared variables that must be set.
    :param known_variables: names of the roles' options.
    :param allowed_variables: names that look like a slip and are none.
    """

    groups: Mapping[str, Sequence[str]]
    required_groups: Sequence[str]
    control_host: str
    variables: Iterable[str]
    settings: Mapping[str, str]
    known_variables: Iterable[str] = ()
    allowed_variables: Iterable[str] = ()
    limit: str = ""
    run_tags: Sequence[str] = ("all",)
    skip_tags: Sequence[str] = field(default_factory=tuple)


def near_misses(variables: Iterable[str], known: Iterable[str], allowed: Iterable[str] = ()) -> dict[str, str]:
    """Return each name that looks like a slip of a known one, with the known one.

    A name with the prefix ``slipway_`` that is not known is always one.
    """
    known_names = set(known)
    candidates = sorted(known_names)
    found: dict[str, str] = {}
    for name in sorted(set(variables) - known_names - set(allowed)):
        ours = name.startswith("slipway_")
        close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6 if ours else _ALIKE)
        if ours or close:
            found[name] = close[0] if close else ""
    return found


def _group_findings(inventory: Inventory) -> Iterable[str]:
    for group in inventory.required_groups:
        if not inventory.groups.get(group):
            others = ", ".join(sorted(name for name in inventory.groups if name not in ("all", "ungrouped")))
            state = "is empty" if group in inventory.groups else "does not exist"
            yield f"group {group} {state}; the inventory has the groups: {others or 'none (was it found at all?)'}"
    if len(inventory.groups.get("beat", ())) > 1:
        yield f"group beat has {len(inventory.groups['beat'])} hosts, exactly one scheduler may run"
    strays = sorted(set(inventory.groups.get("asgi", ())) - set(inventory.groups.get("app", ())))
    if strays:
        yield f"group asgi has {', '.join(strays)}, which group app has not: the ASGI service runs beside a web service"
    hosts = set(inventory.groups.get("all", ()))
    if inventory.control_host not in hosts:
        yield f"slipway_control_host: {inventory.control_host!r} is not a host of the inventory"
    elif inventory.control_host in inventory.groups.get("app", ()):
        yield (
            f"slipway_control_host: {inventory.control_host!r} is an app host; "
            "the lease must lie outside of the rollout"
        )


def _setting_findings(inventory: Inventory) -> Iterable[str]:
    for name, value in sorted(inventory.settings.items()):
        if not value:
            yield f"{name} is not set (group_vars/all of the inventory is its place)"
    site = inventory.settings.get("slipway_site", "")
    if site and not SITE_NAME.fullmatch(site):
        yield f"slipway_site: {site!r} is not accepted, expected {SITE_NAME.pattern}"


def _variable_findings(inventory: Inventory) -> Iterable[str]:
    known = {*SHARED_VARIABLES, *RUN_VARIABLES, *inventory.known_variables}
    for name, meant in near_misses(inventory.variables, known, inventory.allowed_variables).items():
        hint = f"did you mean {meant}?" if meant else "docs/variables.md lists those that are"
        yield f"variable {name} is not known: {hint}"


def _selection_findings(inventory: Inventory) -> Iterable[str]:
    if inventory.limit:
        yield f"--limit {inventory.limit}: a deployment replaces the whole fleet or nothing"
    if list(inventory.run_tags) != ["all"]:
        yield f"--tags {','.join(inventory.run_tags)}: a deployment has no part that is safe alone"
    if inventory.skip_tags:
        yield f"--skip-tags {','.join(inventory.skip_tags)}: a deployment has no part that can be left out"


def findings(inventory: Inventory) -> list[str]:
    """Return everything that is wrong, in words, in a stable order."""
    return [
        *_selection_findings(inventory),
        *_group_findings(inventory),
        *_setting_findings(inventory),
        *_variable_findings(inventory),
    ]


def refuse_unusable(inventory: Inventory) -> None:
    """Accept the inventory, or refuse it with everything that is wrong.

    :raises Refused: with one finding a line.
    """
    found = findings(inventory)
    if found:
        raise Refused(
            "This run can't begin: " + "; ".join(found),
            untouched="No host was connected to and nothing was changed",
            remedy="Correct the inventory or the command and run it again",
            facts={"findings": found},
        )
