# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo site's repository: built by the site's own program, served by load1 as git://load1/shop.git."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from . import process
from .engine import Engine
from .settings import Settings
from .talk import Talk

HOST = "load1"
_INSTALL = """
set -e
new=/srv/git/.shop.git.new
rm -rf "$new" && mkdir "$new"
tar --extract --directory="$new"
chown -R git:git "$new"
rm -rf /srv/git/shop.git && mv "$new" /srv/git/shop.git
systemctl enable --quiet --now git-daemon.service
"""


def push(settings: Settings, engine: Engine, talk: Talk) -> bool:
    """Build the repository and lay it on load1, served read-only. Says so and does nothing where there is no site."""
    program = settings.checkout / "lab" / "bin" / "site-repository"
    if not program.exists():
        talk.say(f"no site is served: {program} is not there")
        return False
    with talk.step("the site's repository"):
        process.follow([str(program)], talk, settings.cache / "log" / "site.log", timeout_s=300)
        packed = pack(settings.cache / "site.git")
        container = settings.host(HOST).container
        engine.run("exec", "--interactive", container, "sh", "-c", _INSTALL, stdin=packed, timeout_s=60)
    talk.say(f"the site is served as git://{HOST}/shop.git")
    return True


def pack(repository: Path) -> bytes:
    """The repository as a tar whose files belong to nobody here."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(repository, arcname=".", filter=_anonymous)
    return buffer.getvalue()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
