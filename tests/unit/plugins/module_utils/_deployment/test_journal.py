# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Journals as they are read, times as they are written, and what C(deployment_info) tells."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._deployment._journal import parse_journal
from ansible_collections.slipway.django.plugins.module_utils._deployment._request import clean, one_line
from ansible_collections.slipway.django.plugins.module_utils._deployment._times import duration, from_text, to_text
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.tests.unit.deployment_world import Site
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.dictionaries(st.text(), st.integers())), st.integers(min_value=0))
def test_a_journal_cut_anywhere_gives_its_whole_lines(lines: list[dict[str, int]], cut: int) -> None:
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    kept = data[: cut % (len(data) + 1)]
    content = parse_journal(kept)
    assert list(content.lines) == lines[: len(content.lines)]
    assert len(content.lines) in (kept.count(b"\n"), kept.count(b"\n") + 1)


@given(st.binary())
def test_no_content_of_a_journal_raises(data: bytes) -> None:
    content = parse_journal(data)
    assert content.torn + len(content.lines) <= data.count(b"\n") + 1


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(timezone.utc)))
def test_times_survive_a_round_trip(moment: datetime) -> None:
    assert from_text(to_text(moment)) == moment


@given(*(st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(timezone.utc)) for _time in range(2)))
def test_times_sort_as_text(one: datetime, other: datetime) -> None:
    assert (one < other) == (to_text(one) < to_text(other))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (-240, "4 min"), (7260, "2 h 1 min"), (200000, "2 d 7 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.text(st.characters()))
def test_any_text_becomes_one_line_that_can_be_written(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 200
    assert "\n" not in line
    line.encode("utf-8")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner),
        max_leaves=10,
    )
)
def test_what_is_clean_survives_a_file(value: object) -> None:
    cleaned = clean(value)
    assert json.loads(json.dumps(cleaned, ensure_ascii=False).encode("utf-8")) == cleaned


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock) -> Site:
    return Site(tmp_path, clock)


def test_info_before_the_first_deployment(site: Site) -> None:
    known = site.info()
    assert known == {
        "lease": None,
        "current": None,
        "origin": None,
        "interrupted": None,
        "history": [],
        "lost": [],
        "msg": "No deployment was opened on this control host yet.",
    }
    assert site.tree() == {}


def test_info_during_a_deployment(site: Site, clock: FakeClock) -> None:
    first = site.open()
    site.step(first, "gate", limit=60)
    clock.advance(20)
    known = site.info()
    assert known["msg"] == f"Deployment {first['id']} is under way, in step 'gate'."
    assert known["lease"]["live"] is True
    assert (known["lease"]["seconds_left"], known["lease"]["clock_went_back"]) == (40, False)
    assert known["interrupted"] is None
    assert known["history"][0]["status"] == "open"


def test_info_after_a_controller_died(site: Site, clock: FakeClock) -> None:
    first = site.open()
    site.step(first, "gate", facts={"lost": {"app3": "unreachable"}})
    clock.advance(121)
    known = site.info()
    assert known["msg"] == f"Deployment {first['id']} was interrupted in step 'gate'."
    assert (known["lease"]["live"], known["lease"]["seconds_left"]) == (False, 0)
    assert (known["interrupted"]["id"], known["interrupted"]["how"]) == (first["id"], "expired")
    assert known["lost"] == [{"host": "app3", "deployment": first["id"], "reason": "unreachable"}]


def test_info_after_the_end(site: Site) -> None:
    for number in range(3):
        site.close(site.open(version=f"v{number}"), "whole" if number < 2 else "failed")
    known = site.info(limit=2)
    assert [entry["version"] for entry in known["history"]] == ["v2", "v1"]
    assert known["current"]["version"] == "v1"
    assert known["origin"]["version"] == "v1"
    assert known["lease"] is None
    assert known["msg"].endswith("ended failed.")


def test_info_refuses_a_wrong_root_and_a_limit_below_one(site: Site, tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(Refused, match="is no directory on this host"):
        Site(tmp_path / "nothing", clock).info()
    with pytest.raises(InvalidOption, match="limit: 0 is not accepted"):
        site.info(limit=0)
