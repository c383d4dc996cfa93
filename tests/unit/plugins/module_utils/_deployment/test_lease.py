# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the lease, each by a small story on a temporary control host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.tests.unit.deployment_world import Site
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock) -> Site:
    return Site(tmp_path, clock)


def refusal(on: Site, state: str, **options: Any) -> str:
    """Return the message of a refusal, having seen that no file changed."""
    before = on.tree()
    with pytest.raises(Refused) as caught:
        on.run(state, **options)
    assert {**before, "control/.lock": b"", "control/": b""} == {**on.tree(), "control/.lock": b"", "control/": b""}
    return caught.value.message


def test_the_first_deployment_has_token_1_and_nothing_to_go_back_to(site: Site) -> None:
    result = site.run("opened")
    deployment = result["deployment"]
    assert deployment["id"] == "20261121T160528Z-3f2a9c1"
    assert (deployment["token"], deployment["attempt"], deployment["origin"], deployment["interrupted"]) == (
        1,
        1,
        None,
        None,
    )
    assert deployment["first_attempt"] == deployment["id"]
    assert deployment["expires_at"] == "2026-11-21T16:07:28.000000Z"
    assert result["changed"] is True
    assert result["msg"] == (
        "Deployment 20261121T160528Z-3f2a9c1 (deploy of v1) is open, token 1; there is nothing to go back to yet."
    )


def test_the_next_one_goes_back_to_the_newest_that_closed_whole(site: Site, clock: FakeClock) -> None:
    first = site.open()
    site.close(first)
    clock.advance(60)
    second = site.open(version="v2", commit="aaaaaaaaaaaa", release="aaaaaaaaaaaa-00000000")
    assert second["origin"] == {
        "release": "3f2a9c1d4e5f-0a1b2c3d",
        "version": "v1",
        "commit": "3f2a9c1d4e5f60718293a4b5c6d7e8f901234567",
        "deployment": first["id"],
        "hosts": ["app1", "app2", "app3"],
        "contracted": [],
    }
    assert (second["token"], second["attempt"]) == (2, 1)


def test_late_errors_do_not_make_the_release_before_the_origin(site: Site) -> None:
    site.close(site.open())
    site.close(site.open(version="v2", release="aaaaaaaaaaaa-00000000"), "completed_with_errors")
    assert site.open(version="v3")["origin"]["version"] == "v2"


@pytest.mark.parametrize("verdict", ["failed", "rolled_back"])
def test_after_one_that_did_not_end_whole_comes_an_attempt_with_the_same_origin(site: Site, verdict: str) -> None:
    site.close(site.open())
    second = site.open(version="v2")
    site.close(second, verdict)
    third = site.open(version="v3")
    assert (third["attempt"], third["first_attempt"], third["origin"]) == (2, second["id"], second["origin"])
    assert third["interrupted"] is None
    site.close(third)
    assert site.open(version="v4")["attempt"] == 1


def test_a_live_lease_is_refused_with_all_that_a_person_needs(site: Site, clock: FakeClock) -> None:
    first = site.open()
    clock.advance(93)
    site.step(first, "drain of app1-blue", limit=150)
    clock.advance(30)
    assert refusal(site, "opened", version="v2", actor="bert") == (
        "Another deployment is under way: 20261121T160528Z-3f2a9c1 (deploy of v1) of site shop, begun "
        "2026-11-21 16:05:28 UTC by anna from ci-7, reason: 'release 1'. It is in step 'drain of app1-blue' since "
        "2026-11-21 16:07:01 UTC; its lease runs until 2026-11-21 16:09:31 UTC, 2 min from now, and each of its "
        "checkpoints extends it. Nothing was changed. Wait until it has closed or until 2026-11-21 16:09:31 UTC, then "
        "run again. If its controller is known to be dead, don't wait: run the same command with "
        "-e takeover=20261121T160528Z-3f2a9c1."
    )


def test_the_refusal_gives_the_command_when_it_is_known(site: Site) -> None:
    first = site.open()
    message = refusal(site, "opened", command="ansible-playbook deploy.yml -i prod")
    assert f"don't wait: run ansible-playbook deploy.yml -i prod -e takeover={first['id']}." in message


def test_a_refusal_has_facts_for_machines(site: Site) -> None:
    first = site.open()
    with pytest.raises(Refused) as caught:
        site.open()
    assert caught.value.facts["refused"] == "held"
    assert caught.value.facts["takeover"] == first["id"]
    assert json.loads(json.dumps(caught.value.facts)) == caught.value.facts


def test_an_owner_without_name_and_reason_is_still_described(site: Site) -> None:
    site.open(actor="", controller="", reason="")
    assert "by somebody who gave no name, no reason given. It is in step" in refusal(site, "opened")


def test_text_from_outside_can_not_break_a_message(site: Site) -> None:
    site.open(actor="an\nna", reason="line\none\x00 " + "x" * 500)
    message = refusal(site, "opened")
    assert "\n" not in message
    assert "by an na from" in message
    assert "x" * 250 not in message


def test_a_lease_that_ran_out_gives_way_and_its_deployment_is_interrupted(site: Site, clock: FakeClock) -> None:
    site.close(site.open())
    second = site.open(version="v2")
    site.step(second, "migrations", facts={"migrations": ["shop.0002"]})
    clock.advance(120)
    result = site.run("opened", version="v3")
    third = result["deployment"]
    assert (third["attempt"], third["origin"]) == (2, second["origin"])
    assert third["interrupted"]["id"] == second["id"]
    assert third["interrupted"]["how"] == "expired"
    assert third["interrupted"]["step"] == "migrations"
    assert third["interrupted"]["facts"] == {"migrations": ["shop.0002"]}
    assert (
        f"{second['id']} (deploy of v2, by anna from ci-7) was interrupted in step 'migrations': its lease"
        in (result["msg"])
    )
    old = site.info()["history"][1]
    assert (old["id"], old["verdict"], old["step"]) == (second["id"], "interrupted", "migrations")
    assert json.loads(site.journal(second).read_text().splitlines()[-1])["event"] == "interrupted"


def test_a_lease_lives_until_its_last_moment(site: Site, clock: FakeClock) -> None:
    site.open()
    clock.advance(119.999)
    refusal(site, "opened")
    clock.advance(0.001)
    assert site.open()["attempt"] == 2


def test_takeover_takes_a_live_lease_by_its_exact_id(site: Site) -> None:
    first = site.open()
    second = site.open(takeover=first["id"])
    assert second["interrupted"]["how"] == "taken_over"
    assert (second["attempt"], second["token"], second["first_attempt"]) == (2, 2, first["id"])


def test_takeover_of_another_deployment_is_refused(site: Site) -> None:
    site.close(first := site.open())
    second = site.open()
    message = refusal(site, "opened", takeover=first["id"])
    assert f"takeover={first['id']} names another deployment than the one that holds the lease." in message
    assert f"-e takeover={second['id']}." in message


def test_takeover_does_nothing_without_a_live_lease(site: Site) -> None:
    site.close(first := site.open())
    assert site.open(takeover=first["id"])["interrupted"] is None


def test_takeover_that_is_no_id_is_refused(site: Site) -> None:
    with pytest.raises(InvalidOption, match="takeover: 'yes' is not accepted, expected the exact id"):
        site.open(takeover="yes")


def test_who_was_taken_over_can_go_no_further(site: Site) -> None:
    first = site.open()
    second = site.open(takeover=first["id"], actor="bert")
    message = refusal(site, "checkpoint", id=first["id"], token="1", step="switch")
    assert message == (
        f"Deployment {first['id']} lost its lease: it went to {second['id']} (deploy of v1) of site shop, begun "
        "2026-11-21 16:05:28 UTC by bert from ci-7, reason: 'release 1'. Step 'switch' was not begun, and nothing else "
        "was changed. The hosts refuse this run's token as soon as they have seen the newer one. Let this run end "
        "here. The newer deployment finishes or goes back; deployment_info shows how it stands."
    )
    closing = refusal(site, "closed", id=first["id"], token="1", verdict="whole")
    assert "lost its lease" in closing
    assert site.info()["history"][1]["verdict"] == "interrupted"


def test_two_deployments_in_one_second_have_two_ids(site: Site) -> None:
    first = site.open()
    site.close(first)
    assert [first["id"], site.open()["id"]] == ["20261121T160528Z-3f2a9c1", "20261121T160529Z-3f2a9c1"]


def test_an_expired_lease_that_nobody_took_is_extended(site: Site, clock: FakeClock) -> None:
    first = site.open()
    clock.advance(300)
    result = site.step(first, "gate")
    assert result["deployment"]["expires_at"] == "2026-11-21T16:12:28.000000Z"
    assert "The lease had run out 3 min ago and nobody had taken it." in result["msg"]


def test_a_checkpoint_is_a_change_only_when_the_step_or_a_fact_is_new(site: Site, clock: FakeClock) -> None:
    first = site.open()
    assert site.step(first, "backup")["changed"] is True
    clock.advance(5)
    again = site.step(first, "backup")
    assert again["changed"] is False
    assert again["deployment"]["expires_at"] == "2026-11-21T16:07:33.000000Z"
    assert again["diff"]["before"] == again["diff"]["after"]
    with_facts = site.step(first, "backup", facts={"backup": {"id": "b1", "bytes": 7}})
    assert with_facts["changed"] is True
    assert site.step(first, "backup", facts={"backup": {"id": "b1"}})["changed"] is False
    steps = [json.loads(line) for line in site.journal(first).read_text().splitlines()]
    assert [(line["event"], line.get("step")) for line in steps] == [
        ("opening", None),
        ("checkpoint", "backup"),
        ("checkpoint", "backup"),
    ]


def test_null_removes_a_fact(site: Site) -> None:
    first = site.open()
    site.step(first, "a", facts={"lost": {"app1": "x", "app2": "y"}})
    site.step(first, "b", facts={"lost": {"app1": None}})
    assert site.info()["history"][0]["facts"] == {"lost": {"app2": "y"}}


@pytest.mark.parametrize("empty", [None, "", " ", "None", "null", "undefined", "{{ opened.deployment.id }}", "../../x"])
def test_a_run_without_a_lease_is_told_why(site: Site, empty: str | None) -> None:
    message = refusal(site, "checkpoint", id=empty, token="", step="drain of app1")
    assert message.startswith("This run holds no lease, so it may not begin step 'drain of app1': the id of the ")
    assert "--limit, --tags, --skip-tags and --start-at-task skip that play" in message
    assert message.endswith(
        "Nothing was changed. Run the whole playbook, without --limit, --tags, --skip-tags and --start-at-task."
    )


@pytest.mark.parametrize("token", [None, "", "0", "-1", "1.5", "²", "None"])
def test_an_id_without_a_token_is_no_lease(site: Site, token: str | None) -> None:
    first = site.open()
    message = refusal(site, "checkpoint", id=first["id"], token=token, step="x")
    assert f"the id of the deployment is {first['id']}, but its token is" in message


def test_a_wrong_token_is_refused(site: Site) -> None:
    first = site.open()
    assert f"deployment {first['id']} has token 1, and this run says 2" in refusal(
        site, "checkpoint", id=first["id"], token="2", step="x"
    )


def test_an_id_of_another_control_host_is_refused(site: Site) -> None:
    stranger = "20250101T000000Z-0000000"
    assert "no deployment was ever opened on this control host. Step 'x' was not begun" in refusal(
        site, "checkpoint", id=stranger, token="1", step="x"
    )
    first = site.open()
    message = refusal(site, "checkpoint", id=stranger, token="1", step="x")
    assert f"knows no deployment {stranger}; the last that was opened here is {first['id']}" in message
    assert "Give every play the same control host (slipway_control_host)" in message


def test_closing_gives_the_lease_back_and_can_be_repeated(site: Site, clock: FakeClock) -> None:
    first = site.open()
    site.step(first, "watch")
    assert site.close(first, reason="all gates passed")["changed"] is True
    before = site.tree()
    clock.advance(10)
    again = site.close(first, reason="said again")
    assert again["changed"] is False
    assert again["msg"] == f"Deployment {first['id']} was closed as whole: all gates passed."
    assert site.tree() == before
    assert again["deployment"]["expires_at"] is None
    assert (again["deployment"]["step"], again["deployment"]["verdict"]) == ("watch", "whole")


def test_a_verdict_is_given_once(site: Site) -> None:
    first = site.open()
    site.close(first)
    message = refusal(site, "closed", id=first["id"], token="1", verdict="failed")
    assert f"{first['id']} was closed as whole 2026-11-21 16:05:28 UTC; it can't become failed" in message
    assert "was closed as whole" in refusal(site, "checkpoint", id=first["id"], token="1", step="x")


def test_an_expired_deployment_that_nobody_followed_can_still_close(site: Site, clock: FakeClock) -> None:
    first = site.open()
    clock.advance(1000)
    assert site.close(first, "rolled_back")["deployment"]["verdict"] == "rolled_back"


def test_a_clock_that_was_set_back_does_not_free_a_lease_and_is_named(site: Site, clock: FakeClock) -> None:
    first = site.open()
    clock.advance(-3600)
    message = refusal(site, "opened")
    assert "(the clock of this host was set back: it is 60 min before that deployment's last checkpoint)" in message
    assert site.info()["lease"]["clock_went_back"] is True
    # Its own next step follows the new clock, so a lease does not last an hour longer for it.
    assert site.step(first, "gate")["deployment"]["expires_at"] == "2026-11-21T15:07:28.000000Z"
    second = site.open(takeover=first["id"])
    assert second["token"] == 2
    assert second["id"] < first["id"]  # ids follow the clock, tokens do not
    assert [entry["id"] for entry in site.info()["history"]] == [second["id"], first["id"]]


def test_a_clock_that_was_set_forward_can_not_make_two_owners(site: Site, clock: FakeClock) -> None:
    first = site.open()
    clock.advance(1e7)
    second = site.open()
    clock.advance(-1e7)
    refusal(site, "checkpoint", id=first["id"], token="1", step="x")
    site.step(second, "x")


def test_a_root_of_another_site_is_refused(site: Site) -> None:
    site.close(site.open())
    assert "This root holds the deployments of site 'shop', not of 'blog'" in refusal(site, "opened", site="blog")


def test_a_lost_token_file_does_not_lower_the_token(site: Site) -> None:
    for _ in range(3):
        site.close(site.open())
    (site.control / "token").unlink()
    assert site.open()["token"] == 4


def test_a_lost_lease_file_makes_its_deployment_interrupted(site: Site) -> None:
    first = site.open()
    (site.control / "lease.json").unlink()
    assert site.info()["interrupted"]["id"] == first["id"]
    second = site.open()
    assert (second["token"], second["attempt"], second["interrupted"]["how"]) == (2, 2, "lost")


def test_a_lease_that_was_given_back_lets_nobody_on(site: Site) -> None:
    first = site.open()
    path = site.control / "lease.json"
    path.write_text(path.read_text().replace('"held": true', '"held": false'))
    assert "lost its lease: it was removed" in refusal(site, "checkpoint", id=first["id"], token="1", step="x")


def test_a_lost_record_is_made_good_from_the_lease(site: Site, clock: FakeClock) -> None:
    site.close(origin := site.open())
    second = site.open(version="v2")
    site.journal(second).with_name("record.json").unlink()
    clock.advance(500)
    third = site.open(version="v3")
    assert third["interrupted"]["id"] == second["id"]
    assert third["origin"]["deployment"] == origin["id"]
    assert (third["attempt"], third["token"]) == (2, 3)
    assert site.info()["history"][1]["verdict"] == "interrupted"


@pytest.mark.parametrize("state", ["opened", "checkpoint", "closed"])
@pytest.mark.parametrize("content", ["", "{", "null", "[]", '{"v": 2}', '{"v": 1, "id": 7}'])
def test_an_unreadable_lease_is_never_taken_for_none(site: Site, state: str, content: str) -> None:
    first = site.open()
    (site.control / "lease.json").write_text(content)
    before = site.tree()
    with pytest.raises(SlipwayError) as caught:
        site.run(state, id=first["id"], token="1", step="x", verdict="whole")
    assert str(site.control / "lease.json") in caught.value.message
    assert "move it away" in caught.value.message
    assert site.tree() == before


@pytest.mark.parametrize("name", ["token", "record.json"])
def test_other_unreadable_files_refuse_a_new_deployment(site: Site, name: str) -> None:
    first = site.open()
    site.close(first)
    path = site.control / "token" if name == "token" else site.journal(first).with_name(name)
    path.write_text("\x00\x00")
    with pytest.raises(SlipwayError, match=name):
        site.open()


def test_an_old_unreadable_record_does_not_stop_a_running_deployment(site: Site, clock: FakeClock) -> None:
    first = site.open()
    site.close(first)
    second = site.open(version="v2")
    site.journal(first).with_name("record.json").write_text("")
    site.step(second, "gate")
    site.close(second, "rolled_back")


def test_a_copied_record_is_noticed(site: Site) -> None:
    first = site.open()
    site.close(first)
    copy = site.control / "deployments" / "20261121T170000Z-3f2a9c1"
    copy.mkdir()
    (copy / "record.json").write_text(site.journal(first).with_name("record.json").read_text())
    with pytest.raises(SlipwayError, match=f"is the record of {first['id']}"):
        site.open()


def test_check_mode_of_a_whole_deployment_writes_nothing(site: Site) -> None:
    predicted = site.run("opened", check_mode=True)
    assert predicted["changed"] is True
    deployment = predicted["deployment"]
    stepped = site.step(deployment, "backup", check_mode=True)
    closed = site.close(deployment, check_mode=True)
    assert site.tree() == {}
    real = site.run("opened")
    assert real["deployment"] == deployment
    assert set(stepped["deployment"]) == set(closed["deployment"]) == set(deployment)
    assert set(stepped) == set(site.step(deployment, "backup"))
    assert set(closed) == set(site.close(deployment))


def test_check_mode_refuses_what_would_be_refused(site: Site) -> None:
    predicted = site.open(check_mode=True)
    first = site.open(version="v9", commit="999999999999")
    own = {"id": predicted["id"], "token": "1", "step": "x", "verdict": "whole"}
    for state in ("opened", "checkpoint", "closed"):
        with pytest.raises(Refused, match=f"Another deployment is under way: {first['id']}"):
            site.run(state, check_mode=True, **own)
    with pytest.raises(Refused, match="holds no lease"):
        site.run("checkpoint", check_mode=True, id="", token="", step="x")


def test_check_mode_of_a_real_deployment_predicts_its_next_step(site: Site) -> None:
    first = site.open()
    before = site.tree()
    assert site.step(first, "gate", check_mode=True, facts={"a": 1})["changed"] is True
    assert site.close(first, check_mode=True)["deployment"]["verdict"] == "whole"
    assert site.tree() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": "srv/shop"}, "root: 'srv/shop' is not accepted, expected an absolute path"),
        ({"site": "Shop!"}, "site: 'Shop!' is not accepted"),
        ({"hosts": []}, "an empty or misspelt group ends here"),
        ({"version": " "}, "expected a tag, a branch or a commit"),
        ({"commit": "v1"}, "commit: 'v1' is not accepted"),
        ({"commit": None}, "commit: None is not accepted"),
        ({"release": "../up"}, "release: '../up' is not accepted"),
        ({"limit": 0}, "limit: 0 is not accepted, expected 1 to 86400 seconds"),
        ({"scope": "host"}, "state opened concerns the control host alone"),
    ],
)
def test_options_that_can_not_be_used(site: Site, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        site.run("opened", **options)
    assert message in caught.value.message
    assert "Nothing was changed." in caught.value.message
    assert site.tree() == {}


def test_a_root_that_does_not_exist_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(Refused, match=r"is no directory on this host.*playbook provision"):
        Site(missing, clock).open()
    assert not missing.exists()


def test_values_that_json_can_not_hold_are_made_fit(site: Site) -> None:
    first = site.open(reason="caf\udce9", version="v\udce9")
    facts = {"text": "a\ud800b", 8001: float("inf"), "tuple": (1, 2)}
    assert site.step(first, "x", facts=facts)["changed"] is True
    assert site.step(first, "x", facts=facts)["changed"] is False
    assert site.info()["history"][0]["facts"] == {"text": "a?b", "8001": "inf", "tuple": [1, 2]}
