# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SCRAM-SHA-256 verifiers, as PostgreSQL keeps them (RFC 5803; manual, "pg_authid").

A verifier is made here and sent instead of the password: no statement, and so no server log, ever
holds the password. Read back, it tells whether a password is still the right one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

# PostgreSQL's own default, scram_iterations.
ITERATIONS = 4096

_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$(?P<iterations>\d+):(?P<salt>[A-Za-z0-9+/=]+)\$(?P<stored>[^:]+):(?P<server>.+)"
)


def make_verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return the verifier of a password.

    Passwords are taken as they are: PostgreSQL applies SASLprep, which changes nothing in ASCII.

    :param salt: 16 random bytes when not given.
    :raises ValueError: the password is not ASCII.
    """
    if not password.isascii():
        raise ValueError("a password outside of ASCII would need SASLprep")
    chosen = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), chosen, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode("ascii") for part in (chosen, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def matches(password: str, verifier: str) -> bool:
    """Tell whether the verifier was made of this password; False for any other kind of verifier."""
    found = _VERIFIER.fullmatch(verifier)
    if found is None:
        return False
    salt = base64.b64decode(found["salt"])
    return hmac.compare_digest(make_verifier(password, salt=salt, iterations=int(found["iterations"])), verifier)
