# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._preflight._inventory import (
    SHARED_VARIABLES,
    Inventory,
    findings,
    near_misses,
    refuse_unusable,
)
from hypothesis import given
from hypothesis import strategies as st

GOOD = Inventory(
    groups={
        "all": ["lb1", "app1", "app2", "db1"],
        "app": ["app1", "app2"],
        "balancer": ["lb1"],
        "database": ["db1"],
    },
    required_groups=["app", "balancer", "database"],
    control_host="db1",
    variables=["slipway_site", "ansible_host"],
    settings={"slipway_site": "shop"},
)


def test_a_good_inventory_has_no_finding() -> None:
    assert findings(GOOD) == []
    refuse_unusable(GOOD)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"groups": {"all": ["db1"], "aap": ["app1"], "balancer": ["lb1"], "database": ["db1"]}},
            "group app does not exist; the inventory has the groups: aap, balancer, database",
        ),
        (
            {"groups": {**GOOD.groups, "app": []}},
            "group app is empty; the inventory has the groups: app, balancer, database",
        ),
        (
            {"groups": {**GOOD.groups, "beat": ["app1", "app2"]}},
            "group beat has 2 hosts, exactly one scheduler may run",
        ),
        ({"control_host": "nosuch"}, "slipway_control_host: 'nosuch' is not a host of the inventory"),
        (
            {"control_host": "app1"},
            "slipway_control_host: 'app1' is an app host; the lease must lie outside of the rollout",
        ),
        ({"settings": {"slipway_site": ""}}, "slipway_site is not set (group_vars/all of the inventory is its place)"),
        (
            {"settings": {"slipway_site": "My Shop"}},
            "slipway_site: 'My Shop' is not accepted, expected [a-z][a-z0-9_]{0,30}",
        ),
        ({"variables": ["slipway_usr"]}, "variable slipway_usr is not known: did you mean slipway_user?"),
        (
            {"variables": ["slipway_zzzzzzzzzzzzzzzzzzzzz"]},
            "variable slipway_zzzzzzzzzzzzzzzzzzzzz is not known: docs/variables.md lists those that are",
        ),
        (
            {"variables": ["deploy_stratgy"]},
            "variable deploy_stratgy is not known: did you mean deploy_strategy?",
        ),
        (
            {"variables": ["release_instaler"], "known_variables": ["release_installer"]},
            "variable release_instaler is not known: did you mean release_installer?",
        ),
        ({"limit": "app1"}, "--limit app1: a deployment replaces the whole fleet or nothing"),
        ({"run_tags": ["web"]}, "--tags web: a deployment has no part that is safe alone"),
        ({"skip_tags": ["backup"]}, "--skip-tags backup: a deployment has no part that can be left out"),
    ],
)
def test_each_slip_is_found(change: dict[str, object], expected: str) -> None:
    assert findings(replace(GOOD, **change)) == [expected]  # type: ignore[arg-type]  # a table of changes


def test_an_inventory_that_does_not_exist_is_refused_in_words() -> None:
    with pytest.raises(Refused) as caught:
        refuse_unusable(replace(GOOD, groups={"all": [], "ungrouped": []}, control_host=""))
    assert "none (was it found at all?)" in caught.value.message
    assert "No host was connected to and nothing was changed." in caught.value.message


def test_all_findings_come_in_one_report() -> None:
    with pytest.raises(Refused) as caught:
        refuse_unusable(replace(GOOD, limit="app1", control_host="x", variables=["slipway_usr"]))
    assert caught.value.facts["findings"] == findings(
        replace(GOOD, limit="app1", control_host="x", variables=["slipway_usr"])
    )
    assert len(findings(replace(GOOD, limit="app1", control_host="x", variables=["slipway_usr"]))) == 3


def test_a_name_that_is_allowed_is_no_slip() -> None:
    assert near_misses(["backup_users"], ["backup_user"], ["backup_users"]) == {}
    assert near_misses(["backup_users"], ["backup_user"]) == {"backup_users": "backup_user"}


@given(st.sampled_from(SHARED_VARIABLES), st.data())
def test_a_shared_name_with_one_letter_left_out_is_found(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(len("slipway_"), len(name) - 1))
    slip = name[:at] + name[at + 1 :]
    if slip not in SHARED_VARIABLES:
        assert slip in near_misses([slip], SHARED_VARIABLES)


@given(st.lists(st.text(min_size=1, max_size=12)))
def test_known_names_are_never_slips(names: list[str]) -> None:
    assert not set(near_misses([*names, *SHARED_VARIABLES], SHARED_VARIABLES)) & set(SHARED_VARIABLES)
