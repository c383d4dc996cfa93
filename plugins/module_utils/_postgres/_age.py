# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption by the program `age`: what leaves the host is readable only by who holds an identity."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import Dumper, Written

METHOD = "age"
# An age public key, or an SSH one. Nothing that the program could take for an option or a file.
_RECIPIENT = re.compile(r"age1[0-9a-z]{50,2000}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( [^\n]*)?")


def validate_recipients(recipients: Sequence[str]) -> None:
    """Refuse what is no public key.

    :raises InvalidOption: one is not.
    """
    for recipient in recipients:
        if recipient.startswith("AGE-SECRET-KEY-"):
            raise InvalidOption("recipients", "AGE-SECRET-KEY-…", "public keys; this is a secret one")
        if not _RECIPIENT.fullmatch(recipient):
            raise InvalidOption("recipients", recipient, "public keys, as age1… or ssh-ed25519 …")


def validate_identity(path: str) -> None:
    """Refuse an identity that can't be read, or that others can read.

    :raises InvalidOption: see above.
    """
    try:
        mode = os.stat(path).st_mode & 0o777
    except OSError as error:
        raise InvalidOption("identity", path, f"a file that this user can read ({error.strerror})") from error
    if mode & 0o077:
        raise InvalidOption(
            "identity",
            path,
            f"a file that nobody else can read (its mode is {mode:04o})",
            remedy=f"chmod 0600 {path}",
        )


@dataclass(frozen=True)
class Age:
    """The program, and how it is run: its output is digested and made durable."""

    program: str
    dumper: Dumper

    def encrypt(self, source: str, target: str, recipients: Sequence[str], *, timeout_s: float) -> Written:
        """Write the encrypted content of a file to a new one.

        :raises SlipwayError: it failed; the target may hold a part.
        """
        keys = [word for recipient in recipients for word in ("--recipient", recipient)]
        return self.dumper.dump([self.program, "--encrypt", *keys, "--", source], {}, target, timeout_s=timeout_s)

    def decrypt(self, source: str, target: str, identity: str, *, timeout_s: float) -> Written:
        """Write the plain content of an encrypted file to a new one.

        :raises SlipwayError: it failed, or the identity is of nobody that it was encrypted to.
        """
        argv = [self.program, "--decrypt", "--identity", identity, "--", source]
        try:
            return self.dumper.dump(argv, {}, target, timeout_s=timeout_s)
        except CommandFailed as error:
            if "no identity matched" in error.stderr:
                error.remedy = f"It was encrypted to others: give the identity of one of its recipients, not {identity}"
            raise


def find_age(dumper: Dumper, which: Callable[[str], str | None] = shutil.which) -> Age:
    """Return the program of this host.

    :raises Refused: there is none.
    """
    program = which("age")
    if program is None:
        raise Refused(
            "This host has no program age, and encrypted copies need it",
            untouched="Nothing was changed",
            remedy="Install it (on Debian: age)",
        )
    return Age(program, dumper)
