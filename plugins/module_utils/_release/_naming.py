# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a release: which code, with which configuration.

The name is public (the site answers it in a header), and the configuration holds secrets. So its digest is
made by PBKDF2: who sees eight digits of it can't try a thousand million guesses of a short password for free.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption

_ITERATIONS = 100_000  # 40 ms on a small server
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


@dataclass(frozen=True)
class BuildIdentity:
    """The options that decide what a build of one commit makes. How packages are reached is not among them."""

    python: str
    installer: str
    requirements: str
    install_arguments: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


def is_commit(text: str) -> bool:
    """True for a whole commit id (SHA-1 or SHA-256) in small letters."""
    return _COMMIT.match(text) is not None


def checked_commit(option: str, commit: str) -> str:
    """Return a whole commit id in small letters.

    :raises InvalidOption: it is abbreviated or something else.
    """
    if not is_commit(commit.lower()):
        raise InvalidOption(option, commit, "a whole commit id of 40 (or 64) hexadecimal digits")
    return commit.lower()


def environment_digest(environment: Mapping[str, str]) -> str:
    """The digest of the variables alone, for C(release.json)."""
    return _digest("environment", {"environment": dict(environment)})


def configuration_digest(environment: Mapping[str, str], build: BuildIdentity) -> str:
    """The digest of all that makes two releases of one commit different."""
    commands: Sequence[Sequence[str]] = build.commands
    return _digest(
        "configuration",
        {
            "environment": dict(environment),
            "python": build.python,
            "installer": build.installer,
            "requirements": build.requirements,
            "install_arguments": list(build.install_arguments),
            "commands": [list(command) for command in commands],
        },
    )


def release_name(commit: str, digest: str) -> str:
    """The name of the release of a commit with a configuration."""
    return f"{commit[:12]}-{digest[:8]}"


def _digest(purpose: str, value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    salt = f"slipway.django {purpose} 1".encode()
    return hashlib.pbkdf2_hmac("sha256", canonical.encode(), salt, _ITERATIONS).hex()
