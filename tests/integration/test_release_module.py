# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules release and release_info with a real ansible-core, git, virtual environment and pip.

No network: the repository and the wheels are made here. Only systemctl is a stand-in, as systemd need not run.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._release._environment import read_environment

pytestmark = pytest.mark.timeout(300)

CHECKOUT = Path(__file__).resolve().parents[2]
SECRET = 'mark-7f3a-SECRET_KEY-"quoted"-$HOME-`id`-\\'
PASSWORD = "mark-b81c/database password"
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "shop.settings",
    "SECRET_KEY": SECRET,
    "DATABASE_PASSWORD": PASSWORD,
    # Trap: masked wherever they occur, these would leave no commit id in the result as it is.
    "WORKERS": 2,
    "DEBUG": "0",
    "LETTER": "a",
}
MANAGE = """\
import hashlib, json, os, pathlib, sys

command = sys.argv[1]
if command == "check":
    import shop.settings
elif command == "collectstatic":
    target = pathlib.Path(os.environ["SLIPWAY_STATIC_ROOT"])
    names = {}
    for source in pathlib.Path("assets").glob("*"):
        data = source.read_bytes()
        digest = hashlib.md5(data).hexdigest()[:12]
        hashed = f"css/{source.stem}.{digest}{source.suffix}"
        names[f"css/{source.name}"] = hashed
        for name in (f"css/{source.name}", hashed):
            (target / name).parent.mkdir(exist_ok=True)
            (target / name).write_bytes(data)
    (target / "staticfiles.json").write_text(json.dumps({"paths": names}))
elif command == "tell":
    sys.exit("can't connect with " + os.environ["DATABASE_PASSWORD"] + " and " + repr(os.environ["SECRET_KEY"]))
"""
COMMANDS = [["python", "manage.py", "check"], ["python", "manage.py", "collectstatic", "--noinput"]]


def run(*argv: str, cwd: Path | None = None) -> str:
    return subprocess.run(argv, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def make_wheel(house: Path, name: str, version: str, source: str) -> None:
    """The smallest wheel that pip takes."""
    house.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
    files[f"{info}/RECORD"] = "".join(lines) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(house / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@dataclass
class Repository:
    """A site's repository with two versions."""

    path: Path

    def git(self, *words: str) -> str:
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
        return run(
            "git", *identity, "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *words, cwd=self.path
        )

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def commit(self, subject: str, *tags: str, files: Mapping[str, str] | None = None) -> str:
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        for tag in tags:
            self.git("tag", "-a", tag, "-m", tag)
        return self.git("rev-parse", "HEAD")


@dataclass
class Result:
    """What a task said, and all that Ansible printed with -vvv."""

    values: dict[str, Any]
    output: str

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def failed(self) -> bool:
        return bool(self.values.get("failed"))


@dataclass
class Host:
    """A host's root, and the way to run a module on it."""

    base: Path
    repository: Repository
    house: Path
    root: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.base / "srv"
        self.root.mkdir()
        (self.root / "slots").mkdir()
        link = self.base / "collections/ansible_collections/slipway/django"
        link.parent.mkdir(parents=True)
        link.symlink_to(CHECKOUT)

    def task(self, name: str, /, *, check: bool = False, **options: Any) -> Result:
        """Run one task, in a playbook of its own, and return its result and all that was printed."""
        answer = self.base / "answer.json"
        answer.unlink(missing_ok=True)
        module = {
            f"slipway.django.{name}": {"root": str(self.root), **options},
            "register": "answer",
            "ignore_errors": True,
        }
        keep = {"ansible.builtin.copy": {"content": "{{ answer | to_json }}", "dest": str(answer), "mode": "0600"}}
        self.write_play("play.json", module, {**keep, "check_mode": False})
        argv = [*self.command, *(["--check"] if check else []), "play.json"]
        done = subprocess.run(argv, cwd=self.base, env=self.environment, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        assert answer.exists(), output
        return Result(json.loads(answer.read_text(encoding="utf-8")), output)

    def write_play(self, name: str, *tasks: Mapping[str, object]) -> None:
        (self.base / name).write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))

    def module(self, name: str, /, *, check: bool = False, **options: Any) -> Result:
        """Run a module by itself, as ansible-core runs it on a host: many times faster than a playbook."""
        done = subprocess.run(
            self.direct(name),
            input=self.arguments(check, options),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return Result(json.loads(done.stdout), done.stdout + done.stderr)

    def direct(self, name: str) -> list[str]:
        return [sys.executable, "-m", f"ansible_collections.slipway.django.plugins.modules.{name}"]

    def arguments(self, check: bool, options: Mapping[str, object]) -> str:
        own = {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(self.base)}
        return json.dumps({"ANSIBLE_MODULE_ARGS": {"root": str(self.root), **own, **options}})

    @property
    def command(self) -> list[str]:
        return ["ansible-playbook", "-i", "localhost,", "-c", "local", "-vvv", "--diff"]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.base / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(self.base / "collections"),
            "PYTHONPATH": str(self.base / "collections"),
            "ANSIBLE_HOME": str(self.base / "ansible"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "PIP_CACHE_DIR": str(self.base / "pip"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "protocol.file.allow",
            "GIT_CONFIG_VALUE_0": "always",
        }

    def name_of(self, commit: str, **options: Any) -> str:
        found = self.module(
            "release_info", repository=str(self.repository.path), version=commit, **self.build(**options)
        )
        assert not found.failed, found.output
        return str(found["name"])

    def build(self, **options: Any) -> dict[str, Any]:
        arguments = ["--no-index", "--find-links", str(self.house)]
        build = {
            "environment": ENVIRONMENT,
            "python": sys.executable,
            "commands": COMMANDS,
            "install_arguments": arguments,
        }
        return {**build, **options}

    def wanted(self, commit: str, name: str, **options: Any) -> dict[str, Any]:
        return {"name": name, "repository": str(self.repository.path), "commit": commit, **self.build(**options)}

    def stage(self, commit: str, name: str, *, check: bool = False, **options: Any) -> Result:
        return self.module("release", check=check, **self.wanted(commit, name, **options))

    def stage_by_playbook(self, commit: str, name: str, *, check: bool = False, **options: Any) -> Result:
        return self.task("release", check=check, **self.wanted(commit, name, **options))

    def path(self, name: str) -> Path:
        return self.root / "releases" / name


def snapshot(top: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, time and content of everything below a directory."""
    entries = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        entries[str(path.relative_to(top))] = (status.st_mode, status.st_mtime_ns, content)
    return entries


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "shop"
    path.mkdir()
    repository = Repository(path)
    repository.git("init", "-q")
    files = {
        "manage.py": MANAGE,
        "requirements.txt": "tinyshop==1.0\n",
        "shop/__init__.py": "",
        "shop/settings.py": "import os\nimport tinyshop\nSECRET_KEY = os.environ['SECRET_KEY']\n",
        "assets/base.css": "body { color: black }\n",
        "assets/same.css": "p { margin: 0 }\n",
    }
    repository.commit("First version", "v1", files=files)
    repository.commit(
        "Sell in red", "v2", files={"assets/base.css": "body { color: red }\n", "assets/new.css": "a {}\n"}
    )
    return repository


@pytest.fixture
def host(tmp_path: Path, repository: Repository) -> Host:
    house = tmp_path / "wheels"
    make_wheel(house, "tinyshop", "1.0", "PRICE = 3\n")
    base = tmp_path / "host"
    base.mkdir()
    return Host(base, repository, house)


@pytest.fixture
def v1(repository: Repository) -> str:
    return repository.git("rev-parse", "v1^{commit}")


@pytest.fixture
def v2(repository: Repository) -> str:
    return repository.git("rev-parse", "v2^{commit}")


def assert_no_secret(text: str) -> None:
    for mark in ("mark-7f3a", "mark-b81c"):
        assert mark not in text


def test_check_apply_check_apply(host: Host, v1: str) -> None:
    name = host.name_of(v1)
    before = snapshot(host.root)

    planned = host.stage_by_playbook(v1, name, check=True, version="v1", who="ann")
    assert planned["changed"] is True
    assert planned["reason"] == f"release {name} is built: it was not there"
    assert snapshot(host.root) == before

    applied = host.stage_by_playbook(v1, name, version="v1", who="ann")
    assert not applied.failed, applied.output
    assert applied["changed"] is True
    assert set(applied["release"]) == set(planned["release"])
    assert set(applied.values) == set(planned.values)
    # None of it was masked by the short values in the environment.
    assert applied["release"]["commit"] == v1
    assert applied["release"]["path"] == str(host.path(name))
    assert applied["static"] == {"added": 4, "replaced": 0, "same": 0}
    steps = [
        "repository",
        "source",
        "venv",
        "install",
        "compile",
        "import",
        "check",
        "collectstatic",
        "publish",
        "total",
    ]
    assert set(applied["release"]["seconds"]) == set(steps)
    assert_release_is_whole(host, name, v1)

    after = snapshot(host.root)
    again = host.stage_by_playbook(v1, name, check=True)
    assert again["changed"] is False
    assert again["reason"] == f"release {name} is there"
    once_more = host.stage_by_playbook(v1, name)
    assert once_more["changed"] is False
    assert once_more["release"]["built_at"] == applied["release"]["built_at"]
    assert snapshot(host.root) == after
    for result in (planned, applied, again, once_more):
        assert_no_secret(result.output)


def assert_release_is_whole(host: Host, name: str, commit: str) -> None:
    path = host.path(name)
    record = (path / "release.json").read_text(encoding="utf-8")
    assert json.loads(record)["commit"] == commit
    assert json.loads(record)["built_by"] == "ann"
    assert_no_secret(record)

    handed = read_environment(str(path / "env"))
    assert handed["SECRET_KEY"] == SECRET
    assert handed["WORKERS"] == "2"
    assert handed["SLIPWAY_RELEASE"] == name
    assert handed["SLIPWAY_STATIC_ROOT"] == str(path / "static")
    assert stat.S_IMODE((path / "env").stat().st_mode) == 0o600

    assert (path / "src/manage.py").read_text(encoding="utf-8") == MANAGE
    assert run(str(path / "venv/bin/python"), "-c", "import tinyshop; print(tinyshop.PRICE)") == "3"
    assert list(path.glob("src/shop/__pycache__/settings.*.pyc"))
    assert list(path.glob("venv/lib/*/site-packages/__pycache__/tinyshop.*.pyc"))
    assert not (path / ".src.tar").exists()
    for inner in path.rglob("*"):
        assert inner.is_symlink() or not stat.S_IMODE(inner.stat().st_mode) & 0o022, inner

    published = sorted(str(file.relative_to(host.root / "static")) for file in (host.root / "static").rglob("*.*"))
    assert len(published) == 4
    assert "staticfiles.json" not in published


def test_a_second_release_beside_the_first(host: Host, v1: str, v2: str) -> None:
    old, new = host.name_of(v1), host.name_of(v2)
    assert not host.stage(v1, old).failed
    before = snapshot(host.path(old))
    staged = host.stage(v2, new)
    assert not staged.failed, staged.output
    # base.<digest>.css and new.css are new, same.css is there, base.css belongs to the release staged last.
    assert staged["static"] == {"added": 3, "replaced": 1, "same": 2}
    merged = host.root / "static/css"
    assert (merged / "base.css").read_text() == "body { color: red }\n"
    assert len(list(merged.glob("base.*.css"))) == 2
    assert snapshot(host.path(old)) == before
    # The mirror was made by the first and had the second commit as well: one clone, no fetch.
    assert not list(host.root.glob("*.partial"))

    # A file that got lost is found and published again.
    (merged / "new.css").unlink()
    planned = host.stage(v2, new, check=True)
    assert planned["changed"] is True
    assert planned["reason"] == f"release {new} is there; 1 static files to add, 0 to replace, 5 are there"
    assert not (merged / "new.css").exists()
    assert host.stage(v2, new)["changed"] is True
    assert (merged / "new.css").exists()


def test_the_same_name_with_another_environment_is_refused(host: Host, v1: str) -> None:
    name = host.name_of(v1)
    assert not host.stage(v1, name).failed
    before = snapshot(host.root)
    refused = host.stage_by_playbook(v1, name, environment={**ENVIRONMENT, "DATABASE_PASSWORD": "mark-b81c-new"})
    assert refused.failed
    assert f"release {name} is there already and was built with another environment" in refused["msg"]
    assert snapshot(host.root) == before
    assert_no_secret(refused.output)


def test_a_package_that_is_not_there(host: Host, repository: Repository) -> None:
    commit = repository.commit("Ask for too much", files={"requirements.txt": "tinyshop==9.9\n"})
    failed = host.stage(commit, host.name_of(commit))
    assert failed.failed
    assert failed["step"] == "install"
    assert "No matching distribution found for tinyshop==9.9" in failed["msg"]
    assert "What runs was not touched, and the partial directory was removed" in failed["msg"]
    assert os.listdir(host.root / "releases") == [".lock"]
    assert not (host.root / "static").exists()


def test_a_command_that_prints_secrets_when_it_fails(host: Host, v1: str) -> None:
    commands = [["python", "manage.py", "tell"]]
    failed = host.stage_by_playbook(v1, host.name_of(v1, commands=commands), commands=commands)
    assert failed.failed
    assert failed["step"] == "tell"
    assert "can't connect with <DATABASE_PASSWORD> and '<SECRET_KEY>'" in failed["msg"]
    assert_no_secret(failed.output)
    assert os.listdir(host.root / "releases") == [".lock"]


def test_a_release_that_can_not_be_imported(host: Host, repository: Repository) -> None:
    commit = repository.commit("Break it", files={"shop/settings.py": "import nothing_of_this_name\n"})
    failed = host.stage(commit, host.name_of(commit, commands=[]), commands=[], imports=["shop.settings"])
    assert failed["step"] == "import"
    assert "No module named 'nothing_of_this_name'" in failed["msg"]


def test_submodules_are_refused(host: Host, repository: Repository) -> None:
    repository.git("submodule", "--quiet", "add", str(repository.path), "vendor/lib")
    commit = repository.commit("Take a library in")
    failed = host.stage(commit, host.name_of(commit))
    assert failed["step"] == "source"
    assert "has submodules (vendor/lib), which are not supported" in failed["msg"]


def test_remains_are_built_anew(host: Host, v1: str) -> None:
    name = host.name_of(v1)
    remains = host.path(name)
    remains.mkdir(parents=True)
    (remains / "half").touch()
    (host.root / "repository.git.partial").mkdir()
    planned = host.stage(v1, name, check=True)
    assert planned["reason"] == f"release {name} is built anew: it was not complete"
    assert (remains / "half").exists()
    assert not host.stage(v1, name).failed
    assert not (remains / "half").exists()
    assert (remains / "release.json").exists()
    assert not (host.root / "repository.git.partial").exists()


LONG = """\
import os, pathlib, subprocess, sys, time
grandchild = subprocess.Popen(["sleep", "120"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {grandchild.pid}")
time.sleep(120)
"""


def test_killed_in_the_middle_and_run_again(host: Host, repository: Repository) -> None:
    """SIGKILL of the module during a command: no release says it is whole, what is left is ended, and it is built."""
    commit = repository.commit("Take long", files={"long.py": LONG})
    started = host.base / "started"
    name = host.name_of(commit)
    wanted = host.wanted(commit, name, commands=[["python", "long.py", str(started)]])
    with in_background(host, host.direct("release"), host.arguments(False, wanted)) as module:
        child, grandchild = (Path("/proc") / pid for pid in wait_for_text(started).split())
        module.kill()
        module.wait(30)
    wait_until(lambda: not child.exists())
    assert grandchild.exists()
    assert not (host.path(name) / "release.json").exists()
    again = host.stage(commit, name)
    assert not again.failed, again.output
    assert again["reason"] == f"release {name} is built anew: it was not complete"
    assert (host.path(name) / "release.json").exists()
    wait_until(lambda: not grandchild.exists())


@contextmanager
def in_background(host: Host, argv: list[str], text: str = "") -> Iterator[subprocess.Popen[str]]:
    with (
        (host.base / "background.log").open("w") as log,
        subprocess.Popen(
            argv, cwd=host.base, env=host.environment, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        try:
            yield process
        finally:
            process.kill()


def wait_until(reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def wait_for_text(path: Path) -> str:
    wait_until(lambda: path.exists() and path.read_text() != "")
    return path.read_text()


def test_a_run_waits_for_the_one_before_it_and_finds_its_release(host: Host, v1: str) -> None:
    name = host.name_of(v1)
    (host.root / "releases").mkdir()
    with (host.root / "releases/.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        with in_background(host, host.direct("release"), host.arguments(False, host.wanted(v1, name))) as first:
            wait_until(lambda: str(first.pid) in who_has_open(host.root / "releases/.lock"))
            assert os.listdir(host.root / "releases") == [".lock"]
            fcntl.lockf(lock, fcntl.LOCK_UN)
            second = host.stage(v1, name)
            assert first.wait(60) == 0, (host.base / "background.log").read_text()
    assert not second.failed, second.output
    assert (host.path(name) / "release.json").exists()


def who_has_open(path: Path) -> list[str]:
    """Processes that have a file open."""
    found = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if descriptor.readlink() == path:
                found.append(descriptor.parts[2])
        except OSError:
            continue
    return found


def test_no_secret_in_any_list_of_arguments(host: Host, repository: Repository) -> None:
    script = "import os, time\nassert os.environ['SECRET_KEY']\ntime.sleep(1)\n"
    commit = repository.commit("Take a second", files={"second.py": script})
    commands = [["python", "second.py"]]
    name = host.name_of(commit, commands=commands)
    seen: set[str] = set()
    wanted = {"root": str(host.root), **host.wanted(commit, name, commands=commands)}
    host.write_play("background.json", {"slipway.django.release": wanted})
    with in_background(host, [*host.command, "background.json"]) as controller:
        while controller.poll() is None:
            seen |= set(arguments_of_all())
            time.sleep(0.05)
    output = (host.base / "background.log").read_text()
    assert controller.returncode == 0, output
    assert_no_secret(output)
    assert any("second.py" in arguments for arguments in seen)
    for arguments in seen:
        assert_no_secret(arguments)


def arguments_of_all() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def test_a_scratch_build_in_check_mode(host: Host, v1: str) -> None:
    name = host.name_of(v1)
    before = snapshot(host.root)
    scratch = host.base / "scratch"
    staged = host.stage(v1, name, check=True, scratch=str(scratch))
    assert not staged.failed, staged.output
    path = Path(staged["release"]["path"])
    assert path == scratch / "releases" / name
    assert (path / "src/manage.py").exists()
    assert (path / "static/staticfiles.json").exists()
    assert read_environment(str(path / "env"))["SLIPWAY_STATIC_ROOT"] == str(path / "static")
    assert run(str(path / "venv/bin/python"), "-c", "import tinyshop; print(tinyshop.PRICE)") == "3"
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
    assert host.stage(v1, name, check=True, scratch=str(scratch))["changed"] is False
    assert snapshot(host.root) == before

    removed = host.module("release", state="absent", name=name, scratch=str(scratch), check=True)
    assert removed["changed"] is True
    assert not scratch.exists()
    assert snapshot(host.root) == before


def test_pruned(host: Host, repository: Repository, v1: str, v2: str) -> None:
    third = repository.commit("Third", "v3", files={"assets/third.css": "c {}\n"})
    names = [host.name_of(commit) for commit in (v1, v2, third)]
    for commit, name in zip((v1, v2, third), names):
        assert not host.stage(commit, name).failed
        backdate(host.path(name), names.index(name))
    (host.root / "slots/blue").symlink_to(f"../releases/{names[0]}")
    before = snapshot(host.root)

    planned = host.module("release", state="pruned", keep=1, check=True)
    assert planned["changed"] is True
    assert planned["removed"] == [{"name": names[1], "reason": "older than the newest 1, and nothing uses it"}]
    assert snapshot(host.root) == before

    # A process that runs from it keeps a release alive, whatever slots say.
    with subprocess.Popen(["sleep", "60"], cwd=host.path(names[1]) / "src") as process:
        used = host.module("release", state="pruned", keep=1)
        process.kill()
    assert used["changed"] is False
    assert {entry["name"]: entry["reason"] for entry in used["kept"]} == {
        names[2]: "among the newest 1",
        names[1]: f"process {process.pid} (sleep) runs from it",
        names[0]: "slot blue links to it",
    }
    assert snapshot(host.root) == before

    protected = host.module("release", state="pruned", keep=1, protected=[names[1]])
    assert protected["changed"] is False

    applied = host.module("release", state="pruned", keep=1)
    assert applied["changed"] is True
    assert applied["removed"] == planned["removed"]
    assert sorted(entry.name for entry in (host.root / "releases").glob("[0-9a-f]*")) == sorted([names[0], names[2]])
    # All files of the second release are part of the third; those of the first are still there.
    assert len(list((host.root / "static/css").glob("base.*.css"))) == 2
    assert host.module("release", state="pruned", keep=1, check=True)["changed"] is False
    assert host.module("release", state="pruned", keep=1)["changed"] is False

    refused = host.module("release", state="absent", name=names[0])
    assert refused.failed
    assert "slot blue links to it" in refused["msg"]
    (host.root / "slots/blue").unlink()
    gone = host.module("release", state="absent", name=names[0])
    assert gone["changed"] is True
    assert gone["static_removed"] == 1
    assert len(list((host.root / "static/css").glob("base.*.css"))) == 1
    assert host.module("release", state="absent", name=names[0])["changed"] is False


def backdate(release: Path, day: int) -> None:
    record = json.loads((release / "release.json").read_text())
    record["built_at"] = f"2026-11-0{day + 1}T12:00:00Z"
    (release / "release.json").write_text(json.dumps(record))


def ask(host: Host, **options: Any) -> Result:
    return host.module("release_info", repository=str(host.repository.path), **options)


def test_versions_are_resolved_in_the_repository(host: Host, repository: Repository, v1: str, v2: str) -> None:
    repository.git("branch", "hotfix", "v1")
    repository.git("tag", "hotfix", "v2")
    before = snapshot(host.root)
    assert (ask(host, version="v1")["commit"], ask(host, version="v1")["ref"]) == (v1, "refs/tags/v1")
    assert ask(host, version="main")["commit"] == v2
    assert ask(host, version=v1)["commit"] == v1
    assert ask(host, version="refs/heads/hotfix")["commit"] == v1
    ambiguous = ask(host, version="hotfix")
    assert ambiguous.failed
    assert "version 'hotfix' is ambiguous in the repository" in ambiguous["msg"]
    unknown = ask(host, version="v9")
    assert unknown.failed
    assert "Tags: v2, v1, hotfix; branches: main, hotfix." in unknown["msg"]
    assert snapshot(host.root) == before
    lost = host.module("release_info", repository=str(host.base / "no.git"), version="v1")
    assert lost.failed
    assert "does not appear to be a git repository" in lost["msg"]


def test_names_follow_the_configuration(host: Host, v1: str) -> None:
    name = host.name_of(v1)
    assert host.name_of("v1") == name
    assert host.name_of(v1, environment={**ENVIRONMENT, "DATABASE_PASSWORD": "other"}) != name
    assert host.name_of(v1, commands=[]) != name
    assert name.startswith(v1[:12])


def test_slots_and_changes(host: Host, v1: str, v2: str) -> None:
    systemctl(host, blue="enabled", green="disabled")
    name = host.name_of(v1)
    assert not host.stage(v1, name, version="v1").failed
    (host.root / "slots/blue").symlink_to(f"../releases/{name}")

    found = ask(host, site="shop", version="v2")
    assert found["live"] == {"slot": "blue", "release": name}
    assert found["slots"]["blue"] == {"release": name, "enabled": True, "running": ["web", "asgi", "worker", "beat"]}
    assert found["slots"]["green"] == {"release": None, "enabled": False, "running": []}
    assert [(entry["name"], entry["version"], entry["complete"]) for entry in found["releases"]] == [(name, "v1", True)]
    assert found["commits"] == [{"id": v2, "subject": "Sell in red"}]
    assert (found["commits_known"], found["commits_removed"]) == (True, [])

    back = ask(host, version="v1", since=v2)
    assert (back["commits"], back["commits_removed"]) == ([], [{"id": v2, "subject": "Sell in red"}])

    systemctl(host, blue="enabled", green="enabled")
    both = ask(host, site="shop")
    assert both["live"] is None
    assert "both slots are enabled" in both["live_reason"]


def test_changes_that_the_mirror_does_not_have_yet(host: Host, repository: Repository, v1: str) -> None:
    assert not host.stage(v1, host.name_of(v1)).failed
    newer = repository.commit("Sell in blue", "v3")
    scratch = host.base / "scratch"
    before = snapshot(host.root)
    unknown = ask(host, version="v3", since=v1)
    assert unknown["commits_known"] is False
    assert "no scratch directory was named" in unknown["commits_reason"]
    found = ask(host, version="v3", since=v1, scratch=str(scratch))
    assert [entry["subject"] for entry in found["commits"]] == ["Sell in blue", "Sell in red"]
    assert not scratch.exists()
    assert snapshot(host.root) == before
    # Staging fetches what is missing, once.
    assert not host.stage(newer, host.name_of(newer)).failed
    assert ask(host, version="v3", since=v1)["commits_known"] is True


def systemctl(host: Host, **enabled: str) -> None:
    """A stand-in for systemctl that says what systemd 252 says."""
    blocks = [
        f"Id=shop-{kind}@{slot}.service\nActiveState={'active' if state == 'enabled' else 'inactive'}\n"
        f"UnitFileState={state}\n"
        for slot, state in enabled.items()
        for kind in ("web", "asgi", "worker", "beat")
    ]
    path = host.base / "bin/systemctl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(blocks) + "END\n")
    path.chmod(0o755)


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on this machine")
def test_uv(host: Host, v1: str) -> None:
    name = host.name_of(v1, installer="uv")
    staged = host.stage(v1, name, installer="uv")
    assert not staged.failed, staged.output
    assert run(str(host.path(name) / "venv/bin/python"), "-c", "import tinyshop; print(tinyshop.PRICE)") == "3"
    assert host.stage(v1, name, installer="uv")["changed"] is False
