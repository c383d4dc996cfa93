# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the checklist against real programs: certificates that servers show, and detect-secrets."""

from __future__ import annotations

import json
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Row
from ansible_collections.slipway.django.plugins.module_utils._preflight._scanner import secrets_rows
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.now(timezone.utc)
SCANNER = [sys.executable, "-m", "detect_secrets"]


def certificate(folder: Path, name: str, days: float) -> Path:
    """A certificate that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}-{days}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@contextmanager
def serving(pem: Path | None) -> Iterator[int]:
    """A TLS server with this certificate; without one it takes connections and never says a word."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if pem:
        context.load_cert_chain(pem)
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if pem is None:
                over.wait(30)
                return
            try:
                context.wrap_socket(self.request, server_side=True).close()
            except OSError:
                return  # the other side did not accept it

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        over.set()
        server.shutdown()


def test_certificates_of_real_servers(tmp_path: Path) -> None:
    good, near, expired = (certificate(tmp_path, "shop.example", days) for days in (90, 13, -1))
    other = certificate(tmp_path, "other.example", 90)
    # What each server shows, and whom the asking side trusts.
    pairs = [(good, good), (near, near), (expired, expired), (other, other), (good, near), (None, good)]
    with ExitStack() as stack:
        asked = [
            {
                "name": "shop.example",
                "address": "127.0.0.1",
                "port": stack.enter_context(serving(shown)),
                "ca_path": str(trusted),
            }
            for shown, trusted in pairs
        ]
        options = {"root": "/", "user": "root", "free_mib": 0, "certificates": asked, "reach_timeout": 4}
        run = run_module("host_check", options)
        checked = run_module("host_check", options, check=True)

    rows = [row for row in run.result["rows"] if row["check"] == "certificate shop.example"]
    assert [row["mark"] for row in rows] == ["passed", "failed", "failed", "failed", "failed", "could not be checked"]
    assert [row["seen"] for row in rows[:2]] == ["90 days left", "13 days left"]
    assert rows[2]["seen"] == "not accepted: certificate has expired"
    assert "not valid for 'shop.example'" in rows[3]["seen"]
    assert "self-signed certificate" in rows[4]["seen"]
    # The same in check mode, also what refuses. What is left of a disk is another number each second.
    assert checked.failed
    assert run.failed
    assert [row["mark"] for row in checked.result["rows"]] == [row["mark"] for row in run.result["rows"]]


def scan(src: Path) -> Row:
    (row,) = secrets_rows(str(src), SCANNER, "always", SystemRunner(), 120)
    return row


@pytest.fixture
def src(tmp_path: Path) -> Path:
    place = tmp_path / "src"
    (place / "config").mkdir(parents=True)
    (place / "config" / "settings.py").write_text(
        'import os\n\nSECRET_KEY = os.environ["SECRET_KEY"]\n', encoding="utf-8"
    )
    return place


def test_the_real_scanner_finds_a_secret_until_it_is_audited_and_writes_nothing(src: Path) -> None:
    assert scan(src).seen == "none"

    (src / "config" / "mail.py").write_text('MAIL_PASSWORD = "swordfish-17-lab"\n', encoding="utf-8")
    before = sorted(src.rglob("*"))
    found = scan(src)
    assert (found.mark.value, found.seen) == ("failed", "config/mail.py:1 Secret Keyword")
    assert sorted(src.rglob("*")) == before

    # As a team does it: its own program writes the baseline, here by path, since there is no git repository.
    made = subprocess.run(
        [*SCANNER, "scan", "--all-files", "--no-verify", "."], cwd=src, check=True, capture_output=True, text=True
    ).stdout
    assert json.loads(made)["results"]
    (src / ".secrets.baseline").write_text(made, encoding="utf-8")
    assert scan(src).seen == "none but 1 that were audited"

    (src / "config" / "mail.py").write_text('MAIL_PASSWORD = "swordfish-18-lab"\n', encoding="utf-8")
    assert scan(src).seen == "config/mail.py:1 Secret Keyword"
