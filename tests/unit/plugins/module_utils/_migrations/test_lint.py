# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import answer_of
from ansible_collections.slipway.django.plugins.module_utils._migrations.lint import arguments, changed_since, lint
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed

ANSWER = answer_of({"plan": [], "refused": []})


def test_migrations_are_known_by_their_folder() -> None:
    files = ["shop/migrations/0002_note.py", "shop/migrations/__init__.py", "shop/models.py", "migrations/0001_a.py"]
    runner = FakeRunner([completed("\0".join([*files, "apps/orders/migrations/0003_b.py", ""]))])

    assert changed_since("origin/main", "src", runner) == ["shop.0002_note", "orders.0003_b"]
    (call,) = runner.calls
    assert list(call.argv)[:6] == ["git", "-C", "src", "diff", "--name-only", "--diff-filter=AMR"]


def test_nothing_that_has_changed_is_nothing_to_judge_and_not_all() -> None:
    runner = FakeRunner([completed(""), completed(ANSWER)])

    assert lint(arguments(["--settings", "s", "--since", "HEAD"]), runner) == (0, "")
    request = json.loads(runner.calls[1].stdin or "")
    assert (request["only"], request["connect"], request["server"]) == ([], False, 15)


def test_without_names_all_are_asked_for() -> None:
    runner = FakeRunner([completed(ANSWER)])

    lint(arguments(["--settings", "s", "--python", "/venv/bin/python"]), runner)

    assert json.loads(runner.calls[0].stdin or "")["only"] is None
    assert runner.calls[0].argv[0] == "/venv/bin/python"


def test_what_is_refused_is_the_exit_status() -> None:
    runner = FakeRunner([completed(answer_of({"plan": [], "refused": ["shop.0002"]}))])

    assert lint(arguments(["--settings", "s"]), runner)[0] == 1


def test_no_answer_is_no_success() -> None:
    runner = FakeRunner([completed("", stderr="Killed")])

    with pytest.raises(SlipwayError) as caught:
        lint(arguments(["--settings", "s"]), runner)

    assert "the project could not be asked: Killed" in caught.value.message


def test_settings_are_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)

    with pytest.raises(SystemExit) as caught:
        arguments([])

    assert caught.value.code == 2
    assert "--settings or DJANGO_SETTINGS_MODULE is needed" in capsys.readouterr().err


def test_the_project_is_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = FakeRunner([completed(ANSWER)])

    lint(arguments(["--settings", "s", "--project", "src"]), runner)

    assert json.loads(runner.calls[0].stdin or "")["project"] == str(tmp_path / "src")
