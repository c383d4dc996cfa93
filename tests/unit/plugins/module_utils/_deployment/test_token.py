# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fencing token on a host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import Token
from ansible_collections.slipway.django.plugins.module_utils._deployment._request import Claim
from ansible_collections.slipway.django.plugins.module_utils._deployment._token import plan_host_checkpoint
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.tests.unit.deployment_world import Site
from ansible_collections.slipway.django.tests.unit.fakes import START, FakeClock
from hypothesis import given
from hypothesis import strategies as st

OLD = {"id": "20261121T160528Z-3f2a9c1", "token": 6}
NEW = {"id": "20261121T170000Z-aaaaaaa", "token": 7}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, FakeClock())


def test_the_first_checkpoint_leaves_token_and_journal(site: Site) -> None:
    result = site.step(OLD, "drain of app1-blue", scope="host")
    assert result["changed"] is True
    assert result["msg"] == ("Step 'drain of app1-blue' begins; from now on this host refuses tokens below 6.")
    assert json.loads((site.root / "token").read_text()) == {
        "v": 1,
        "token": 6,
        "deployment": OLD["id"],
        "at": "2026-11-21T16:05:28.000000Z",
    }
    journal = site.root / "deployments" / str(OLD["id"]) / "journal.jsonl"
    assert json.loads(journal.read_text()) == {
        "at": "2026-11-21T16:05:28.000000Z",
        "event": "checkpoint",
        "deployment": OLD["id"],
        "step": "drain of app1-blue",
        "token": 6,
    }
    assert not (site.root / "control").exists()


def test_the_same_step_again_changes_nothing(site: Site) -> None:
    site.step(OLD, "gate", scope="host")
    before = site.tree()
    assert site.step(OLD, "gate", scope="host", check_mode=True)["changed"] is False
    assert site.step(OLD, "gate", scope="host")["changed"] is False
    assert site.tree() == before
    assert site.step(OLD, "switch", scope="host")["msg"] == "Step 'switch' begins."


def test_check_mode_writes_nothing_and_refuses_the_same(site: Site) -> None:
    assert site.step(OLD, "gate", scope="host", check_mode=True)["changed"] is True
    assert site.tree() == {}
    site.step(NEW, "gate", scope="host")
    with pytest.raises(Refused, match="has the older token 6"):
        site.step(OLD, "gate", scope="host", check_mode=True)


def test_an_older_token_is_refused_and_told_who_came(site: Site) -> None:
    site.step(NEW, "gate", scope="host")
    before = site.tree()
    with pytest.raises(Refused) as caught:
        site.step(OLD, "switch", scope="host")
    assert caught.value.message == (
        f"This host has seen token 7 of deployment {NEW['id']}, seen 2026-11-21 16:05:28 UTC; {OLD['id']} has the "
        "older token 6: a newer deployment has begun. Nothing was changed on this host. Let this run end here; "
        "deployment_info on the control host shows the newer deployment. If the control host was set up anew and "
        'counts from 1 again, write {"token": 7, "v": 1} into control/token there and run the whole playbook again.'
    )
    assert site.tree() == before


def test_the_remedy_for_a_new_control_host_works(site: Site) -> None:
    site.step(NEW, "gate", scope="host")
    site.control.mkdir()
    (site.control / "token").write_text('{"token": 7, "v": 1}')
    deployment = site.open()
    assert deployment["token"] == 8
    site.step(deployment, "gate", scope="host")


def test_one_token_under_two_ids_is_refused(site: Site) -> None:
    site.step(OLD, "gate", scope="host")
    with pytest.raises(Refused, match=r"knows token 6 as that of deployment .* handed out twice"):
        site.step({**NEW, "token": 6}, "gate", scope="host")


def test_without_an_id_nothing_begins_on_a_host_either(site: Site) -> None:
    with pytest.raises(Refused, match="This run holds no lease, so it may not begin step 'gate'"):
        site.run("checkpoint", scope="host", id="", token="0", step="gate")
    assert site.tree() == {}


@pytest.mark.parametrize("content", ["", "7", "null", '{"v": 1, "token": "7"}', '{"v": 1, "token": true}'])
def test_an_unreadable_token_refuses(site: Site, content: str) -> None:
    (site.root / "token").write_text(content)
    with pytest.raises(SlipwayError, match="token"):
        site.step(NEW, "gate", scope="host")
    assert (site.root / "token").read_text() == content


@given(st.lists(st.integers(min_value=1, max_value=9), max_size=12))
def test_the_token_of_a_host_never_goes_down(tokens: list[int]) -> None:
    known: Token | None = None
    for number in tokens:
        claim = Claim(f"2026112{number}T000000Z-3f2a9c1", number)
        highest = 0 if known is None else known.token
        try:
            plan = plan_host_checkpoint(known, None, claim, "gate", START)
        except Refused:
            assert number < highest
            continue
        assert number >= highest
        for write in plan.writes:
            if write.path == "token":
                known = Token.from_json(dict(write.document), "token")
        assert known is not None
        assert known.token == number
