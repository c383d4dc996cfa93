# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres._scram import make_verifier, matches
from hypothesis import given, settings
from hypothesis import strategies as st

# RFC 7677, section 3, has the user "user" with the password "pencil", this salt and 4096 iterations;
# the server signature there proves the server key below.
RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
RFC_VERIFIER = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_the_verifier_of_the_standard_s_example() -> None:
    assert make_verifier("pencil", salt=RFC_SALT) == RFC_VERIFIER


@settings(max_examples=20)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1), st.binary(min_size=8, max_size=16))
def test_a_verifier_matches_its_password_and_no_other(password: str, salt: bytes) -> None:
    verifier = make_verifier(password, salt=salt)
    assert matches(password, verifier)
    assert not matches(password + "x", verifier)


@pytest.mark.parametrize("verifier", ["", "md5d41d8cd98f00b204e9800998ecf8427e", "SCRAM-SHA-256$x"])
def test_what_is_no_verifier_matches_nothing(verifier: str) -> None:
    assert not matches("pencil", verifier)


def test_a_password_that_would_need_saslprep_is_refused() -> None:
    with pytest.raises(ValueError, match="SASLprep"):
        make_verifier("pässword")
