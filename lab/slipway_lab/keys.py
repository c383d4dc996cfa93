# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's SSH keys: one for the deploy user, one for all hosts to show. Made once, kept outside git."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from . import process
from .settings import Settings

USER = "deploy"


@dataclass(frozen=True)
class Keys:
    """Where the keys lie on the controller."""

    user: Path
    host: Path
    fresh: bool = False
    """They were made just now: hosts that are there already don't know them."""


def ensure_keys(settings: Settings) -> Keys:
    """Make the keys that are missing."""
    folder = settings.cache / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = [_ensure_key(folder / "deploy", "deploy@lab"), _ensure_key(folder / "host", "lab")]
    return Keys(user=folder / "deploy", host=folder / "host", fresh=any(made))


def _ensure_key(path: Path, comment: str) -> bool:
    if path.exists() and path.with_suffix(".pub").exists():
        return False
    path.unlink(missing_ok=True)
    process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]).check()
    return True


def known_hosts(settings: Settings, host_key: str) -> str:
    """The known_hosts file: every address of the lab shows the same key, also after it was made anew."""
    key = " ".join(host_key.split()[:2])
    return "".join(f"{host.address} {key}\n" for host in settings.hosts)


def archive(keys: Keys) -> bytes:
    """A tar of the files under /etc/ssh of every host: who may come in, and the key that the host shows."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "authorized_keys", None, 0o755)
        _add(tar, f"authorized_keys/{USER}", keys.user.with_suffix(".pub").read_bytes(), 0o644)
        _add(tar, "ssh_host_ed25519_key", keys.host.read_bytes(), 0o600)
        _add(tar, "ssh_host_ed25519_key.pub", keys.host.with_suffix(".pub").read_bytes(), 0o644)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes | None, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if content is None:
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
        return
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
