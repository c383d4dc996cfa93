# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How age is run, and what is refused before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._age import (
    Age,
    find_age,
    validate_identity,
    validate_recipients,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import Written
from hypothesis import given
from hypothesis import strategies as st

ANNA = "age1" + "q" * 58
BERT = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMxyz bert@example.com"


@dataclass
class Dumper:
    stderr: str | None = None
    calls: list[tuple[list[str], str, float]] = field(default_factory=list)

    def dump(
        self, argv: Sequence[str], env: Mapping[str, str], path: str, *, timeout_s: float, **_tells: Any
    ) -> Written:
        assert not env
        self.calls.append((list(argv), path, timeout_s))
        if self.stderr is not None:
            raise CommandFailed(argv, 1, self.stderr)
        return Written([], "")

    dump_directory = dump


def test_files_are_named_behind_the_options() -> None:
    dumper = Dumper()
    age = Age("/usr/bin/age", dumper)
    age.encrypt("-x", "/t/1", [ANNA, BERT], timeout_s=7)
    age.decrypt("/s", "/t/2", "/key", timeout_s=8)
    assert dumper.calls == [
        (["/usr/bin/age", "--encrypt", "--recipient", ANNA, "--recipient", BERT, "--", "-x"], "/t/1", 7),
        (["/usr/bin/age", "--decrypt", "--identity", "/key", "--", "/s"], "/t/2", 8),
    ]


@pytest.mark.parametrize(
    ("stderr", "remedy"),
    [
        (
            "age: error: no identity matched any of the recipients",
            "It was encrypted to others: give the identity of one of its recipients, not /key",
        ),
        ("age: error: failed to read header", ""),
    ],
)
def test_what_age_says_is_passed_on(stderr: str, remedy: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        Age("age", Dumper(stderr)).decrypt("/s", "/t", "/key", timeout_s=8)
    assert stderr in caught.value.message
    assert caught.value.remedy == remedy


def test_where_it_is_not_installed() -> None:
    assert find_age(Dumper(), lambda _name: "/usr/bin/age").program == "/usr/bin/age"
    with pytest.raises(Refused) as caught:
        find_age(Dumper(), lambda _name: None)
    assert caught.value.message == (
        "This host has no program age, and encrypted copies need it. Nothing was changed. Install it (on Debian: age)."
    )


def test_public_keys() -> None:
    validate_recipients([ANNA, BERT, "ssh-rsa AAAAB3NzaC1yc2E="])


@given(st.text() | st.sampled_from(["-o/etc/passwd", "/etc/hosts", ANNA + "\n", f"{BERT}\n-x", "age1", ANNA.upper()]))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        validate_recipients([ANNA, text])


def test_a_secret_key_is_not_repeated() -> None:
    with pytest.raises(InvalidOption) as caught:
        validate_recipients(["AGE-SECRET-KEY-1ABCDEF"])
    assert "1ABCDEF" not in caught.value.message + str(caught.value.facts)


@pytest.mark.parametrize(("mode", "good"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_an_identity_is_for_its_owner(tmp_path: Path, mode: int, good: bool) -> None:
    path = tmp_path / "identity"
    path.touch()
    path.chmod(mode)
    if good:
        validate_identity(str(path))
        return
    with pytest.raises(InvalidOption) as caught:
        validate_identity(str(path))
    assert f"(its mode is {mode:04o}). Nothing was changed. chmod 0600 {path}." in caught.value.message
