# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs `ansible-test COMMAND [ARGUMENT …]` on a copy of this checkout.

A copy, since ansible-test wants to be started inside .../ansible_collections/slipway/django and resolves symbolic
links before it looks (tried with 2.19.14). It holds the files that git knows or does not ignore.

A home folder of its own, since ansible-test keeps its environments there and passes on no environment variable but
HOME and PATH: what pip would have read from files and from PIP_* variables goes into that home's pip.conf.
"""

from __future__ import annotations

import ast
import configparser
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "ansible-test"
HOME = WORK / "home"
COLLECTION = WORK / "ansible_collections" / "slipway" / "django"
OUTPUT = COLLECTION / "tests" / "output"  # its environments are worth keeping: half a minute

# What is not shipped: ruff and mypy look at it. The rules of sanity are for code that runs on servers; they refuse `_`
# as a name and links to folders, for example.
LEFT_OUT = (".ci/", "benchmarks/", "extensions/", "lab/", "tests/", "tools/")
KEPT = "tests/sanity/"

# ansible-test downloads a script that installs pip. This one takes its place and needs no network: ensurepip, in a
# process of its own because it turns off pip's configuration file for the process that it runs in.
GET_PIP = """\
import subprocess, sys
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
subprocess.check_call([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet",
                       *[word for word in sys.argv[1:] if not word.startswith("-")]])
"""
GET_PIP_NAME = "get_pip_24_2.py"  # as ansible-core 2.18 and 2.19 ask for it


def clear() -> None:
    """Remove the copy of the run before, but for the output."""
    kept = WORK / "output"
    if OUTPUT.exists():
        shutil.rmtree(kept, ignore_errors=True)  # of a run that was killed here
        OUTPUT.rename(kept)
    shutil.rmtree(COLLECTION, ignore_errors=True)
    OUTPUT.parent.mkdir(parents=True)
    if kept.exists():
        kept.rename(OUTPUT)


def copy_checkout() -> None:
    """Copy what git knows or does not ignore, into a repository of its own: of the outer one it is an ignored file."""
    subprocess.run(["git", "init", "--quiet"], cwd=COLLECTION, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    names = {name for name in listed.split("\0") if name.startswith(KEPT) or not name.startswith(LEFT_OUT)} - {""}
    for name in sorted(names):
        source, target = ROOT / name, COLLECTION / name
        if not os.path.lexists(source):
            continue  # deleted, and git does not know it yet
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def pip_settings() -> configparser.RawConfigParser:
    """What pip on this machine is told by its files and by the environment, the environment last."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    settings = configparser.RawConfigParser()
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        section = "global" if section == ":env:" else section
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, option, str(ast.literal_eval(value)))
    return settings


def make_home() -> None:
    """The home folder: pip's settings, and the stand-in for the download."""
    configuration = HOME / ".config" / "pip" / "pip.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    with configuration.open("w") as stream:
        pip_settings().write(stream)
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / GET_PIP_NAME).write_text(GET_PIP)


def main(command: str, *arguments: str) -> int:
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second run waits: there is one copy
        return run(command, *arguments)


def run(command: str, *arguments: str) -> int:
    clear()
    copy_checkout()
    make_home()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return subprocess.run(
        ["ansible-test", command, "--venv", "--python", python, *arguments],
        cwd=COLLECTION, env={**os.environ, "HOME": str(HOME)}, check=False,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
