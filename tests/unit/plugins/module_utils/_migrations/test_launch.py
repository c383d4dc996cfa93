# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    InvalidOption,
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import (
    Means,
    Site,
    ask,
    find_site,
    process_environment,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import (
    Request,
    answer_of,
    answer_of_error,
)
from ansible_collections.slipway.django.plugins.module_utils._release._environment import write_environment
from ansible_collections.slipway.django.tests.unit.fakes import Call, FakeRunner, completed

PASSWORD = "mark-77 password"
ENVIRONMENT = {
    "SECRET_KEY": "mark-88-key",
    "DATABASE_URL": "postgres://shop:mark-77%20password@db1/shop",
    "SITE_NAME": "shop",
    "PATH": "/opt/tools",
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "shop" / "releases" / "0123456789ab-01234567"
    (path / "src" / "backend").mkdir(parents=True)
    (path / "venv" / "bin").mkdir(parents=True)
    (path / "venv" / "bin" / "python").touch()
    (path / "src" / "manage.py").write_text('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")')
    write_environment(str(path / "env"), ENVIRONMENT)
    return path


def request_for(site: Site) -> Request:
    return Request("applied", False, site.project, site.settings, "default", "r1", "r", 1000, 60, 0, 60, "fail", 0)


def run(release: Path, answer: Any) -> tuple[dict[str, Any], FakeRunner]:
    site = find_site(str(release), ".", "")
    runner = FakeRunner([answer])
    result = ask(site, request_for(site), Means(b"archive", str(release.parent), runner, 60))
    return result, runner


def test_the_settings_module_is_that_of_manage_py(release: Path) -> None:
    assert find_site(str(release), ".", "").settings == "shop.settings"


def test_the_environment_file_comes_before_manage_py_and_the_option_before_both(release: Path) -> None:
    write_environment(str(release / "env"), {"DJANGO_SETTINGS_MODULE": "shop.production"})

    assert find_site(str(release), ".", "").settings == "shop.production"
    assert find_site(str(release), ".", "shop.special").settings == "shop.special"


def test_nothing_that_says_the_settings_module(release: Path) -> None:
    with pytest.raises(Refused, match="nothing says which settings module") as caught:
        find_site(str(release), "backend", "")

    assert "Give the option settings, such as shop.settings." in caught.value.message


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(InvalidOption, match="release_path: 'releases/r1' is not accepted"):
        find_site("releases/r1", ".", "")


def test_a_release_without_its_parts_is_refused(release: Path) -> None:
    (release / "venv" / "bin" / "python").unlink()

    with pytest.raises(Refused, match=r"venv/bin/python not there\. Nothing was changed\. Stage the release"):
        find_site(str(release), ".", "")


def test_the_process_gets_the_environment_of_the_release_and_no_module_path_of_ours(release: Path) -> None:
    values = process_environment(find_site(str(release), ".", ""))

    assert values["SECRET_KEY"] == "mark-88-key"
    assert values["SLIPWAY_RELEASE"] == "0123456789ab-01234567"
    assert values["PYTHONPATH"] == ""
    assert values["PATH"] == f"{release}/venv/bin:/opt/tools"


def test_the_runner_is_a_private_file_that_is_gone_afterwards(release: Path) -> None:
    modes: list[int] = []

    def answer(call: Call) -> str:
        modes.append(os.stat(call.argv[1]).st_mode & 0o777)
        assert json.loads(call.stdin or "")["run_id"] == "r1"
        return answer_of({"changed": True})

    result, runner = run(release, answer)

    assert result == {"changed": True}
    assert modes == [0o600]
    (call,) = runner.calls
    assert call.argv[0] == str(release / "venv" / "bin" / "python")
    assert not os.path.exists(call.argv[1])
    # No secret where other users of the host could read it.
    assert not any(value in part for part in (*call.argv, call.stdin or "") for value in ("mark-77", "mark-88"))


def test_secrets_are_taken_out_of_a_result_and_names_of_tables_stay(release: Path) -> None:
    result, _ = run(release, answer_of({"plan": [{"sql": ["ALTER TABLE shop_order -- mark-88-key"]}]}))

    assert result == {"plan": [{"sql": ["ALTER TABLE shop_order -- <SECRET_KEY>"]}]}


def test_secrets_are_taken_out_of_an_error(release: Path) -> None:
    error = SlipwayError(
        f"can't connect with {ENVIRONMENT['DATABASE_URL']}", remedy=f"not {PASSWORD}", facts={"deep": [PASSWORD]}
    )

    with pytest.raises(SlipwayError) as caught:
        run(release, completed(answer_of_error(error), stderr=f"settings: {PASSWORD!r}, shop"))

    assert caught.value.message == "can't connect with <DATABASE_URL>. not <DATABASE_URL>."
    assert caught.value.facts == {"deep": ["<DATABASE_URL>"], "stderr": "settings: '<DATABASE_URL>', <SITE_NAME>"}
    # A traceback shows causes with their texts.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("returncode", "ended"), [(-9, "was killed by signal 9"), (1, "ended with status 1"), (0, "ended with status 0")]
)
def test_a_runner_that_dies_is_no_success(release: Path, returncode: int, ended: str) -> None:
    with pytest.raises(SlipwayError, match=f"the runner of the migrations {ended} without an answer") as caught:
        run(release, completed("", returncode=returncode, stderr="Killed mark-88-key"))

    assert caught.value.facts["stderr"] == "Killed <SECRET_KEY>"
    assert "What was atomic is rolled back by the server" in caught.value.message


def test_a_runner_that_does_not_end(release: Path) -> None:
    late = TimedOut("python … did not end", facts={"stderr": "waiting with mark-88-key", "command": ["python"]})

    with pytest.raises(SlipwayError, match=r"did not end within 60 s \(timeout\) and were stopped") as caught:
        run(release, late)

    assert caught.value.facts == {"timeout_s": 60, "stderr": "waiting with <SECRET_KEY>"}
