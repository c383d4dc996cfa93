# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From samples to verdicts: what must hold for every row of samples, and the cases one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._decision import (
    decide_check,
    decide_gate,
    good_in_a_row,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._model import (
    Action,
    Decision,
    GateVerdict,
    Rule,
    Sample,
    State,
)
from hypothesis import given
from hypothesis import strategies as st

LETTERS = {
    "g": State.GOOD,
    "b": State.BAD,
    "n": State.NO_DATA,
    "e": State.ERROR,
    "w": State.BAD,
    "h": State.BAD,
    "t": State.BAD,
    "d": State.BAD,
}
ACTIONS = {"h": Action.HOLD, "t": Action.NOTIFY}


def samples(letters: str) -> list[Sample]:
    """g good, n no data, e error; bad: b, w of another release, h to be looked at, t to be told, d doomed."""
    return [
        Sample(
            LETTERS[letter],
            letter,
            letter,
            0.01,
            release_is_wrong=letter == "w",
            action=ACTIONS.get(letter, Action.ROLLBACK),
            doomed=letter == "d",
        )
        for letter in letters
    ]


rows = st.text(alphabet="gbnewhtd", max_size=30)
rules = st.builds(
    Rule,
    successes=st.integers(1, 6),
    failures_allowed=st.none() | st.integers(0, 5),
    wrong_release_limit=st.integers(0, 5),
)


@pytest.mark.parametrize(
    ("row", "over", "verdict", "code", "reason"),
    [
        ("", False, GateVerdict.HOLD, "waiting", "0 of 3 good in a row so far"),
        ("ggg", False, GateVerdict.PASS, "passed", "3 good in a row"),
        ("bbggg", False, GateVerdict.PASS, "passed", "3 good in a row"),
        ("ggbgg", False, GateVerdict.HOLD, "waiting", "2 of 3 good in a row so far"),
        ("ggeg", False, GateVerdict.HOLD, "waiting", "1 of 3 good in a row so far"),
        ("bbbbb", False, GateVerdict.ROLLBACK, "too_many_failures", "5 bad, allowed 4"),
        ("ww", False, GateVerdict.ROLLBACK, "wrong_release", "another release answered 2 times"),
        ("wggg", False, GateVerdict.PASS, "passed", "3 good in a row"),
        ("gd", False, GateVerdict.ROLLBACK, "d", "d: waiting can't change it"),
        ("gtg", False, GateVerdict.PASS, "passed", "3 good in a row"),
        ("hhhhhhh", False, GateVerdict.HOLD, "waiting", "0 of 3 good in a row so far"),
        ("hhggg", False, GateVerdict.PASS, "passed", "3 good in a row"),
        (
            "ghhg",
            True,
            GateVerdict.HOLD,
            "to_be_looked_at",
            "2 to be looked at, the last: h; wanted 3 good in a row before the deadline",
        ),
        ("ghb", True, GateVerdict.ROLLBACK, "not_healthy_in_time", "1 bad, wanted 3 good in a row before the deadline"),
        ("gg", True, GateVerdict.HOLD, "too_few_samples", "2 good in a row at the deadline, wanted 3 good in a row"),
        ("bgg", True, GateVerdict.ROLLBACK, "not_healthy_in_time", "1 bad, wanted 3 good in a row before the deadline"),
        (
            "",
            True,
            GateVerdict.HOLD,
            "no_data",
            "no sample says anything about the application, wanted 3 good in a row",
        ),
        (
            "nne",
            True,
            GateVerdict.HOLD,
            "probe_error",
            "no sample says anything about the application, wanted 3 good in a row",
        ),
    ],
)
def test_one_check(row: str, over: bool, verdict: GateVerdict, code: str, reason: str) -> None:
    decision = decide_check(samples(row), Rule(3, 4, 2), over=over)
    assert (decision.verdict, decision.code, decision.reason) == (verdict, code, reason)


@given(row=st.text(alphabet="ne", max_size=30), rule=rules, over=st.booleans())
def test_without_a_word_of_the_application_the_answer_is_hold(row: str, rule: Rule, over: bool) -> None:
    assert decide_check(samples(row), rule, over=over).verdict is GateVerdict.HOLD


@given(row=rows, rule=rules, over=st.booleans())
def test_a_pass_needs_the_newest_samples_good(row: str, rule: Rule, over: bool) -> None:
    if decide_check(samples(row), rule, over=over).verdict is GateVerdict.PASS:
        assert len(row) >= rule.successes
        assert set(row[-rule.successes :]) <= set("gt")


@given(row=rows, rule=rules, over=st.booleans())
def test_a_rollback_needs_a_bad_sample(row: str, rule: Rule, over: bool) -> None:
    if decide_check(samples(row), rule, over=over).verdict is GateVerdict.ROLLBACK:
        assert set(row) & set("bwd")


@given(row=rows, place=st.integers(0, 29), rule=rules, over=st.booleans(), worse=st.sampled_from("bnehd"))
def test_a_worse_sample_never_gives_a_better_verdict(row: str, place: int, rule: Rule, over: bool, worse: str) -> None:
    if place < len(row) and row[place] == "g":
        before = decide_check(samples(row), rule, over=over)
        after = decide_check(samples(row[:place] + worse + row[place + 1 :]), rule, over=over)
        assert after.verdict.severity >= before.verdict.severity


@given(row=rows, more=rows, rule=rules, over=st.booleans())
def test_a_rollback_before_the_end_stays_one_whatever_follows(row: str, more: str, rule: Rule, over: bool) -> None:
    decision = decide_check(samples(row), rule, over=False)
    if decision.settled:
        assert decision.verdict is GateVerdict.ROLLBACK
        assert decide_check(samples(row + more), rule, over=over).verdict is GateVerdict.ROLLBACK


@given(row=rows, rule=rules)
def test_at_the_end_all_is_settled(row: str, rule: Rule) -> None:
    assert decide_check(samples(row), rule, over=True).settled


@given(row=rows)
def test_the_run_of_good_samples_is_at_the_end(row: str) -> None:
    assert good_in_a_row(samples(row)) == len(row) - len(row.rstrip("gt"))


def decision(verdict: GateVerdict, settled: bool = True) -> Decision:
    return Decision(verdict, settled, verdict.value, "because")


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([], GateVerdict.HOLD),
        ([GateVerdict.PASS, GateVerdict.PASS], GateVerdict.PASS),
        ([GateVerdict.PASS, GateVerdict.HOLD], GateVerdict.HOLD),
        ([GateVerdict.HOLD, GateVerdict.ROLLBACK, GateVerdict.PASS], GateVerdict.ROLLBACK),
    ],
)
def test_a_gate_is_as_bad_as_its_worst_check(checks: Sequence[GateVerdict], verdict: GateVerdict) -> None:
    assert decide_gate([decision(check) for check in checks]).verdict is verdict


def test_a_gate_goes_on_while_a_check_waits() -> None:
    assert not decide_gate([decision(GateVerdict.PASS), decision(GateVerdict.HOLD, settled=False)]).settled


def test_a_gate_ends_when_all_pass_at_the_same_moment() -> None:
    rule = Rule(1, None, 0)
    gate = decide_gate([decide_check(samples(row), rule, over=False) for row in ("g", "bg")])
    assert gate == Decision(GateVerdict.PASS, True, "passed", "all 2 checks passed")
