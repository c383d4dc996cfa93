# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._release._layout import is_release_name
from ansible_collections.slipway.django.plugins.module_utils._release._naming import (
    BuildIdentity,
    checked_commit,
    configuration_digest,
    environment_digest,
    release_name,
)

COMMIT = "3f2a9c1d0b7e" + "0" * 28
BUILD = BuildIdentity("/usr/bin/python3", "pip", "requirements.txt", (), (("python", "manage.py", "check"),))
ENVIRONMENT = {"A": "1", "B": "2"}


def test_the_name_holds_commit_and_configuration() -> None:
    digest = configuration_digest(ENVIRONMENT, BUILD)
    name = release_name(COMMIT, digest)
    assert name == f"3f2a9c1d0b7e-{digest[:8]}"
    assert is_release_name(name)


def test_the_digest_is_the_same_on_each_host_and_in_each_version_of_this_collection() -> None:
    # A change of it would give every release another name: a deployment of what is live would build it again.
    assert configuration_digest(ENVIRONMENT, BUILD)[:16] == "e831f3738b5bbe85"
    assert environment_digest(ENVIRONMENT)[:16] == "c710fab1d8597e0f"


def test_the_order_of_variables_does_not_matter() -> None:
    assert configuration_digest({"B": "2", "A": "1"}, BUILD) == configuration_digest(ENVIRONMENT, BUILD)


@pytest.mark.parametrize(
    "build",
    [
        replace(BUILD, python="/usr/bin/python3.12"),
        replace(BUILD, installer="uv"),
        replace(BUILD, requirements="requirements/prod.txt"),
        replace(BUILD, install_arguments=("--require-hashes",)),
        replace(BUILD, commands=(("python", "manage.py check"),)),
        replace(BUILD, commands=()),
    ],
)
def test_each_option_of_the_build_counts(build: BuildIdentity) -> None:
    assert configuration_digest(ENVIRONMENT, build) != configuration_digest(ENVIRONMENT, BUILD)


@pytest.mark.parametrize("environment", [{"A": "1"}, {"A": "1", "B": "3"}, {"A": "12", "B": ""}, {"A": "2", "B": "1"}])
def test_each_variable_counts(environment: dict[str, str]) -> None:
    assert configuration_digest(environment, BUILD) != configuration_digest(ENVIRONMENT, BUILD)
    assert environment_digest(environment) != environment_digest(ENVIRONMENT)


def test_digests_of_different_purpose_differ() -> None:
    assert environment_digest(ENVIRONMENT) != configuration_digest(ENVIRONMENT, BUILD)


def test_a_commit_is_whole() -> None:
    assert checked_commit("commit", COMMIT.upper()) == COMMIT
    with pytest.raises(InvalidOption, match="a whole commit id"):
        checked_commit("commit", COMMIT[:12])
