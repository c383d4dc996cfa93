# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._build import (
    Builder,
    BuildOptions,
    checked_identity,
    checked_imports,
    command_label,
    find_uv,
)
from ansible_collections.slipway.django.plugins.module_utils._release._layout import ReleasePaths
from ansible_collections.slipway.django.plugins.module_utils._release._naming import BuildIdentity
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed

IDENTITY = BuildIdentity("/usr/bin/python3", "pip", "requirements.txt", ("--require-hashes",), ())
OPTIONS = BuildOptions(IDENTITY, "/usr/bin/uv", ("shop.wsgi",), {"PIP_CERT": "/ca.crt", "A": "build"}, 60)
ENVIRONMENT = {"SECRET_KEY": "hunter2", "A": "release"}


@pytest.fixture
def paths(tmp_path: Path) -> ReleasePaths:
    paths = ReleasePaths(str(tmp_path / "0123456789ab-01234567"))
    Path(paths.src).mkdir(parents=True)
    (Path(paths.src) / "requirements.txt").touch()
    return paths


def test_pip_runs_from_the_interpreters_own_wheel(paths: ReleasePaths) -> None:
    runner = FakeRunner(["/usr/share/python-wheels/pip-23.0.1-py3-none-any.whl\n", "", ""])
    builder = Builder(runner, OPTIONS, paths, ENVIRONMENT)
    builder.make_venv()
    builder.install()
    assert runner.argvs[1:] == [
        ("/usr/bin/python3", "-m", "venv", "--without-pip", paths.venv),
        (
            *(paths.python, "/usr/share/python-wheels/pip-23.0.1-py3-none-any.whl/pip"),
            *("install", "--quiet", "--no-compile", "--requirement", "requirements.txt", "--require-hashes"),
        ),
    ]
    assert runner.calls[2].cwd == paths.src


@pytest.mark.parametrize("answer", [completed("\n"), completed(returncode=1, stderr="No module named ensurepip")])
def test_without_a_wheel_pip_goes_into_the_environment(paths: ReleasePaths, answer: object) -> None:
    runner = FakeRunner([answer, "", ""])  # type: ignore[list-item]
    builder = Builder(runner, OPTIONS, paths, ENVIRONMENT)
    builder.make_venv()
    builder.install()
    assert runner.argvs[1] == ("/usr/bin/python3", "-m", "venv", paths.venv)
    assert runner.argvs[2][:4] == (paths.python, "-m", "pip", "install")


def test_uv(paths: ReleasePaths) -> None:
    runner = FakeRunner(["", ""])
    builder = Builder(runner, replace(OPTIONS, identity=replace(IDENTITY, installer="uv")), paths, ENVIRONMENT)
    builder.make_venv()
    builder.install()
    assert runner.argvs == [
        ("/usr/bin/uv", "venv", "--quiet", "--python", "/usr/bin/python3", paths.venv),
        (
            *("/usr/bin/uv", "pip", "install", "--quiet", "--python", paths.python),
            *("--requirement", "requirements.txt", "--require-hashes"),
        ),
    ]
    assert runner.calls[0].env["UV_PYTHON_DOWNLOADS"] == "never"


def test_installers_get_the_builds_variables_and_no_secret(paths: ReleasePaths) -> None:
    runner = FakeRunner(["", "", ""])
    builder = Builder(runner, OPTIONS, paths, ENVIRONMENT)
    builder.make_venv()
    builder.install()
    for call in runner.calls:
        assert "SECRET_KEY" not in call.env
    assert runner.calls[2].env["PIP_CERT"] == "/ca.crt"
    assert runner.calls[2].env["A"] == "build"


def test_commands_get_the_releases_environment(paths: ReleasePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    runner = FakeRunner(["", "", ""])
    builder = Builder(runner, OPTIONS, paths, ENVIRONMENT)
    builder.command(["python", "manage.py", "check"])
    builder.import_modules()
    builder.compile()
    for call in runner.calls:
        assert call.env["SECRET_KEY"] == "hunter2"
        assert call.env["A"] == "release"
        assert call.env["PIP_CERT"] == "/ca.crt"
        assert call.env["PATH"] == f"{paths.bin}:/usr/bin"
        assert call.env["PYTHONDONTWRITEBYTECODE"] == ""
        assert not any("hunter2" in word for word in call.argv)
    assert runner.calls[0].cwd == paths.src
    assert runner.argvs[1] == (paths.python, "-c", "import shop.wsgi")


def test_the_sites_own_wish_for_no_bytecode_does_not_stop_the_one_compilation(paths: ReleasePaths) -> None:
    runner = FakeRunner(["", ""])
    builder = Builder(runner, OPTIONS, paths, {"PYTHONDONTWRITEBYTECODE": "1"})
    builder.command(["python", "manage.py", "check"])
    builder.compile()
    assert [call.env["PYTHONDONTWRITEBYTECODE"] for call in runner.calls] == ["1", ""]


def test_a_file_that_can_not_be_compiled_is_no_failure_but_a_crash_is(paths: ReleasePaths) -> None:
    Builder(FakeRunner([completed(returncode=1)]), OPTIONS, paths, {}).compile()
    with pytest.raises(CommandFailed, match="status -9"):
        Builder(FakeRunner([completed(returncode=-9)]), OPTIONS, paths, {}).compile()


def test_what_a_program_says_on_its_standard_output_is_heard(paths: ReleasePaths) -> None:
    said = "The virtual environment was not created successfully because ensurepip is not\navailable."
    with pytest.raises(
        CommandFailed, match=r"ensurepip is not\navailable.*Install the package python3-venv on this host"
    ):
        Builder(FakeRunner(["", completed(said, returncode=1)]), OPTIONS, paths, {}).make_venv()


def test_the_message_has_the_last_lines_and_the_facts_have_more(paths: ReleasePaths) -> None:
    said = "\n".join(f"line {number}" for number in range(100))
    with pytest.raises(CommandFailed) as caught:
        Builder(FakeRunner([completed(returncode=1, stderr=said)]), OPTIONS, paths, {}).command(["python"])
    assert "line 92\n" in caught.value.message
    assert "line 91\n" not in caught.value.message
    assert "line 1\n" in str(caught.value.facts["stderr"])


def test_imports_are_names() -> None:
    assert checked_imports(["shop.wsgi", "_x"]) == ("shop.wsgi", "_x")
    for name in ("", "os; x", "shop.", "1a", "a-b", "a\n"):
        with pytest.raises(InvalidOption, match=r"names of modules such as shop\.wsgi"):
            checked_imports([name])


def test_missing_requirements_are_named(paths: ReleasePaths) -> None:
    options = replace(OPTIONS, identity=replace(IDENTITY, requirements="requirements/prod.txt"))
    with pytest.raises(SlipwayError, match=r"the commit has no file 'requirements/prod.txt'\. Name the file"):
        Builder(FakeRunner(), options, paths, {}).install()


def test_no_requirements_and_no_imports_are_no_work(paths: ReleasePaths) -> None:
    builder = Builder(
        FakeRunner(), replace(OPTIONS, identity=replace(IDENTITY, requirements=""), imports=()), paths, {}
    )
    builder.install()
    builder.import_modules()


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (replace(IDENTITY, commands=((),)), "lists of arguments, none of them empty"),
        (replace(IDENTITY, requirements="/etc/passwd"), "a path inside of the source"),
        (replace(IDENTITY, requirements="../x"), "a path inside of the source"),
        (replace(IDENTITY, requirements="-e ."), "a path inside of the source"),
        (
            replace(IDENTITY, install_arguments=("--index-url=https://ann:t0p@pypi.example.com/",)),
            "arguments without secrets",
        ),
        (
            replace(IDENTITY, install_arguments=("--index-url", "https://t0p@pypi.example.com/")),
            "arguments without secrets",
        ),
    ],
)
def test_refused_options(identity: BuildIdentity, message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as caught:
        checked_identity(identity)
    assert "t0p" not in caught.value.message


def test_an_at_sign_in_the_path_of_a_url_is_no_password() -> None:
    identity = replace(IDENTITY, install_arguments=("https://example.com/x@1.0.whl",))
    assert checked_identity(identity) is identity


@pytest.mark.parametrize(
    ("argv", "label"),
    [
        (["python", "manage.py", "collectstatic", "--noinput"], "collectstatic"),
        (["python3.11", "-W", "error", "manage.py", "check"], "error"),
        (["npm", "run", "build"], "npm"),
        (["/opt/tool"], "tool"),
        (["python", "manage.py"], "manage.py"),
        (["python"], "python"),
    ],
)
def test_labels(argv: list[str], label: str) -> None:
    assert command_label(argv) == label


def test_uv_is_found_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uv").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_uv("uv") == str(tmp_path / "uv")
    with pytest.raises(SlipwayError, match=r"the program 'uvv' was not found in .*Install uv on this host"):
        find_uv("uvv")
