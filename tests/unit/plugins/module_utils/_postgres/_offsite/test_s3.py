# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before a storage is asked, and the parts in which large files are sent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._s3 import (
    Credentials,
    Place,
    S3Store,
    connect,
)
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20


@given(st.integers(0, 5 << 40))
def test_no_file_has_more_parts_than_s3_takes(size: int) -> None:
    part = S3Store(None, Place("b")).part_size(size)
    assert part % MIB == 0
    assert 64 * MIB <= part <= 5 << 30
    assert -(-size // part) <= 10_000


def test_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(Refused) as caught:
        connect(Place("b"), Credentials())
    assert caught.value.seen.startswith(f"The Python that runs this module, {sys.executable}, has no boto3 (")
    assert caught.value.remedy.endswith("ansible_python_interpreter: /opt/slipway/venv/bin/python")


def test_credentials_are_not_shown() -> None:
    assert "mark" not in repr(Credentials(access_key="mark-1", secret_key="mark-2"))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (Place("b", prefix="/a"), "prefix: '/a' is not accepted"),
        (Place("b", prefix="a//b"), "names with / between them, none before and none behind"),
        (Place("b", prefix="a/../b"), "prefix: 'a/../b' is not accepted"),
        (Place("b", endpoint_url="https://u:mark@h"), "endpoint_url: 'https://…@h' is not accepted"),
        (Place("b", endpoint_url="ftp://h"), "an address as https://storage.example.com"),
        (Place("b", ca_bundle="/nowhere"), "ca_bundle: '/nowhere' is not accepted"),
        (Place("b", kms_key_id="k", server_side_encryption="AES256"), "server_side_encryption: aws:kms beside it"),
    ],
)
def test_places_that_can_not_be_meant(place: Place, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        place.validate()
    assert message in caught.value.message
    assert "mark" not in caught.value.message


def test_places_that_can() -> None:
    for place in (Place("b"), Place("b", "a/b", "http://h:9000"), Place("b", server_side_encryption="aws:kms")):
        place.validate()
    assert Place("b").in_words == "s3://b"
    assert S3Store(None, Place("b", "a/b")).in_words("x") == "s3://b/a/b/x"


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        (Credentials(access_key="mark"), "both of access_key and secret_key, or none of them"),
        (Credentials(secret_key="mark"), "both of access_key and secret_key, or none of them"),
        (Credentials("p", None, "mark", "mark"), "either keys, or profile and credentials_file"),
        (Credentials(file="/nowhere"), "a file that this user can read (No such file or directory)"),
    ],
)
def test_credentials_that_can_not_be_meant(credentials: Credentials, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        credentials.validate()
    assert message in caught.value.message
    assert "mark" not in caught.value.message + str(caught.value.facts)


def test_a_credentials_file_is_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.touch(mode=0o640)
    with pytest.raises(InvalidOption) as caught:
        Credentials(file=str(file)).validate()
    assert f"(its mode is 0640). Nothing was changed. chmod 0600 {file}." in caught.value.message
    file.chmod(0o600)
    Credentials(profile="p", file=str(file)).validate()
