# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._annotations import (
    FORMATS,
    Note,
    notes,
    render,
)
from hypothesis import given
from hypothesis import strategies as st

NOTE = Note("shop/migrations/0002.py", 7, "shop.0002", "drop-column", "contract", False, "old code reads it", "Wait")
FINDING = {
    "rule": "drop-column",
    "phase": "contract",
    "lock": "care",
    "why": "old code reads it",
    "instead": "Wait",
    "code": "",
}


def plan(*findings: dict[str, Any], allowed: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    reasons = [{"rule": rule, "reason": "x", "source": "migration"} for rule in allowed]
    operation = {"line": 7, "findings": list(findings)}
    entry = {"app": "shop", "name": "0002", "file": NOTE.file, "acknowledgements": reasons, "operations": [operation]}
    return [entry]


def test_what_objects_is_noted_once_where_it_stands() -> None:
    harmless = {**FINDING, "rule": "add-column", "phase": "expand"}

    assert notes(plan(FINDING, FINDING, harmless)) == [NOTE]
    assert notes(plan({**harmless, "lock": "downtime"}))[0].rule == "add-column"
    assert notes(plan(FINDING, allowed=("drop-column",))) == []


def test_the_code_to_write_instead_is_shown_once_for_each_statement() -> None:
    (note,) = notes(plan(*({**FINDING, "code": code} for code in ("one()", "", "two(\n    2)", "one()"))))
    assert note == replace(NOTE, code="one()\ntwo(\n    2)")
    assert render([note], "plain").splitlines()[1:] == ["    one()", "    two(", "        2)"]
    assert render([note], "github").endswith("Instead: Wait.%0Aone()%0Atwo(%0A    2)\n")
    (entry,) = json.loads(render([note], "gitlab"))
    assert entry["content"]["body"] == "```python\none()\ntwo(\n    2)\n```"


def test_the_forms() -> None:
    assert render([NOTE], "plain") == (
        "shop/migrations/0002.py:7: drop-column: shop.0002: old code reads it. Instead: Wait.\n"
    )
    odd = replace(NOTE, file="a,b:c.py", why="50 %\nof it")
    assert render([odd], "github") == (
        "::error file=a%2Cb%3Ac.py,line=7,title=drop-column::shop.0002: 50 %25%0Aof it. Instead: Wait.\n"
    )
    (entry,) = json.loads(render([replace(NOTE, fails=True)], "gitlab"))
    assert entry["severity"] == "critical"
    assert render([], "plain") == render([], "github") == ""
    assert json.loads(render([], "gitlab")) == []


@given(st.text(), st.text(), st.sampled_from(FORMATS))
def test_no_text_breaks_out_of_its_line(file: str, why: str, form: str) -> None:
    text = render([replace(NOTE, file=file, why=why)], form)

    if form == "gitlab":
        assert json.loads(text)[0]["location"]["path"] == file
    elif form == "github":
        assert text.count("\n") == 1


@given(st.integers(1, 99), st.integers(1, 99))
def test_a_fingerprint_names_the_place(one: int, other: int) -> None:
    def fingerprint(line: int) -> str:
        return str(json.loads(render([replace(NOTE, line=line)], "gitlab"))[0]["fingerprint"])

    assert (fingerprint(one) == fingerprint(other)) is (one == other)
