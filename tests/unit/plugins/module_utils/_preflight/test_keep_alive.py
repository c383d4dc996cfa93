# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._keep_alive import (
    exec_start,
    idle_of,
    idle_s,
    keep_alive_row,
    option_value,
    static_rows,
    uvicorn_s,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark
from ansible_collections.slipway.django.tests.unit.house import ROOT

# Of systemd 252, with the unit of role provision.
EXEC_START = (
    "ExecStart={ path=/srv/shop/slots/blue/venv/bin/gunicorn ;"
    " argv[]=/srv/shop/slots/blue/venv/bin/gunicorn --workers 2 ;"
    " ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }\n"
)


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ("frontend a\n timeout http-keep-alive 30s", 30),
        ("defaults\n timeout http-keep-alive 30s\nfrontend a\n bind :80", 30),
        ("defaults\n timeout http-keep-alive 30s\nfrontend a\n timeout http-keep-alive 90s # more", 90),
        ("defaults\n timeout http-request 10s\n timeout client 1m\nfrontend a", 10),
        ("defaults\n timeout client 1m\nlisten a", 60),
        ("frontend a\n timeout client 5000", 5),
        ("frontend a\n timeout client 1m\nfrontend b\n timeout client 2m", 120),
        ("frontend a\n timeout client 1m\nfrontend b", None),  # b is bounded by nothing
        ("defaults\n timeout client 1m\ndefaults\n mode http\nfrontend a", None),  # a new section begins empty
        ("defaults\n timeout client 1m\n timeout client-fin 1s\nfrontend a", 60),
        ("backend a\n timeout server 1m", None),
    ],
)
def test_the_time_for_which_haproxy_keeps_an_idle_connection(lines: str, seconds: float | None) -> None:
    assert idle_s(lines) == seconds


def test_our_own_template_is_understood() -> None:
    text = (ROOT / "roles" / "provision" / "templates" / "haproxy.cfg.j2").read_text(encoding="utf-8")
    assert idle_s(text.replace("{{ provision_request_timeout }}", "60")) == 30


def test_a_time_of_another_form_is_not_guessed() -> None:
    with pytest.raises(SlipwayError, match="'timeout client 1y', which is not understood"):
        idle_s("frontend a\n timeout client 1y")


def test_a_file_that_can_not_be_read_is_a_row(tmp_path: Path) -> None:
    assert idle_of("") == (None, [])
    seconds, (row,) = idle_of(str(tmp_path / "absent"))
    assert (seconds, row.mark) == (None, Mark.UNKNOWN)


def test_the_command_of_the_web_unit_is_read_from_systemd() -> None:
    assert exec_start(EXEC_START) == ["/srv/shop/slots/blue/venv/bin/gunicorn", "--workers", "2"]
    with pytest.raises(SlipwayError, match="no ExecStart"):
        exec_start("ExecStart=\n")


def test_uvicorns_time_is_in_its_command() -> None:
    assert uvicorn_s(["uvicorn", "a:b"]) == 5
    assert uvicorn_s(["uvicorn", "--timeout-keep-alive", "75", "a:b"]) == 75
    assert uvicorn_s(["uvicorn", "--timeout-keep-alive=40"]) == 40
    assert option_value(["uvicorn", "--timeout-keep-alive"], "--timeout-keep-alive") is None
    with pytest.raises(SlipwayError, match="is no number"):
        uvicorn_s(["uvicorn", "--timeout-keep-alive=x"])


@pytest.mark.parametrize(
    ("kept", "balancer", "mark"),
    [
        (75.0, 30.0, Mark.PASSED),
        (30.0, 30.0, Mark.FAILED),  # both at once: a request may be on its way
        (2.0, 30.0, Mark.FAILED),
        (None, 30.0, Mark.NOT_ASKED),
        (75.0, None, Mark.NOT_ASKED),
    ],
)
def test_the_web_server_must_keep_connections_longer(kept: float | None, balancer: float | None, mark: Mark) -> None:
    assert keep_alive_row("gunicorn", kept, balancer).mark is mark


def test_static_files_of_each_release_are_judged() -> None:
    old, new = static_rows({"a": (0, 9), "b": (2, 9)})

    assert (old.mark, old.seen) == (Mark.PASSED, "all 9 are")
    assert (new.mark, new.seen) == (Mark.FAILED, "2 of 9 are not")
