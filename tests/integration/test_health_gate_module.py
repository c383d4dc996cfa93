# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""health_gate against real servers, each with a habit of its own."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.gate_servers import (
    RELEASE,
    SECRET,
    Habit,
    Serve,
    answers_half,
    answers_half_in_chunks,
    closes,
    drips,
    drips_its_head,
    endless,
    gate,
    hangs,
    healthy,
    make_authority,
    red,
    redirects,
    server_tls,
    serving,
    silent_about_its_release,
    slow,
    speaks_something_else,
    strict_about_its_host,
    strict_about_its_token,
    wrong_release,
)


@pytest.fixture(name="serve")
def _serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


@pytest.fixture(scope="module", name="authority")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(name="tls")
def _tls(authority: Path) -> ssl.SSLContext:
    return server_tls(authority)


def test_a_healthy_server_passes_at_once_and_again(serve: Serve) -> None:
    server = serve(healthy)
    check = {"url": server.url, "release": RELEASE, "json": {"status": "ok"}, "text": "ok"}
    for check_mode in (False, True):
        result = gate(check, check_mode=check_mode).succeeded()
        assert (result["changed"], result["verdict"], result["code"]) == (False, "pass", "passed")
        assert result["msg"] == "pass: the check passed"
        assert result["elapsed_s"] < 1
        (seen,) = result["checks"]
        assert seen["samples"] == {"good": 3, "bad": 0, "no_data": 0, "error": 0}
        assert (seen["last_status"], seen["releases"], seen["last_fault"]) == (200, [RELEASE], None)
        assert 0 < seen["latency_ms"]["p50"] <= seen["latency_ms"]["max"] < 500
    assert len(server.heads) == 6
    assert server.heads[0].startswith("GET /health/ready HTTP/1.1\r\n")


SICK = [
    (red, "status", "status 503 (expected 200)"),
    (redirects, "status", "status 302 (expected 200; redirects are not followed)"),
    (silent_about_its_release, "release_missing", f"no header X-Release (expected release {RELEASE})"),
    (closes, "closed", "the connection was closed without an answer"),
    (answers_half, "incomplete", "the connection was closed in the middle of the answer"),
    (answers_half_in_chunks, "incomplete", "the connection was closed in the middle of the answer"),
    (speaks_something_else, "not_http", "the answer is not HTTP (BadStatusLine)"),
    (strict_about_its_host, "status", "status 400 (expected 200)"),
    (hangs, "timeout", "no whole answer within 1 s (while waiting for the answer)"),
    (drips, "timeout", "no whole answer within 1 s (while reading the answer)"),
    (drips_its_head, "timeout", "no whole answer within 1 s (while waiting for the answer)"),
]


@pytest.mark.parametrize(("habit", "code", "words"), SICK, ids=[row[0].__name__ for row in SICK])
def test_a_sick_server_is_a_rollback_that_says_what_was_seen(serve: Serve, habit: Habit, code: str, words: str) -> None:
    server = serve(habit)
    started = time.monotonic()
    run = gate({"url": server.url, "release": RELEASE}, failures_allowed=1)
    assert time.monotonic() - started < 20, "the deadline of a sample is none"
    assert run.failed
    result = run.result
    assert (result["verdict"], result["code"]) == ("rollback", "too_many_failures")
    assert result["elapsed_s"] < 2.6, "two samples of at most 1 s"
    (seen,) = result["checks"]
    assert seen["last_fault"] == {"code": code, "text": words}
    assert seen["samples"] == {"good": 0, "bad": 2, "no_data": 0, "error": 0}
    assert run.msg.startswith(
        f"The gate's verdict is rollback, seen from {socket.gethostname()}. Check check 1 ({server.url})"
    )
    assert f"2 bad, allowed 1; last: {words}; 2 samples: 0 good, 2 bad, 0 no data, 0 error" in run.msg
    assert f"expected 3 in a row with status 200, release {RELEASE} in X-Release within 3 s" in run.msg
    assert "body-that-nobody-may-see" not in run.output


def test_another_release_is_doomed_at_its_limit(serve: Serve) -> None:
    run = gate({"url": serve(wrong_release).url, "release": RELEASE}, deadline=30)
    assert run.failed
    assert run.result["code"] == "wrong_release"
    assert run.result["elapsed_s"] < 2
    assert run.result["checks"][0]["releases"] == ["000000000000-11111111"]
    assert f"release 000000000000-11111111 answered with status 200 (expected {RELEASE})" in run.msg


def test_nobody_there(serve: Serve) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        run = gate({"url": f"http://127.0.0.1:{unused.getsockname()[1]}/"}, deadline=1)
    assert run.failed
    assert (run.result["verdict"], run.result["code"]) == ("rollback", "not_healthy_in_time")
    assert run.result["checks"][0]["last_fault"] == {"code": "refused", "text": "the connection was refused"}
    assert run.result["elapsed_s"] < 1.5


def test_a_server_that_comes_up_later_passes(serve: Serve) -> None:
    def recovers(connection: socket.socket, head: str) -> None:
        (red if len(server.heads) <= 4 else healthy)(connection, head)

    server = serve(recovers)
    result = gate({"url": server.url}, deadline=15).succeeded()
    assert result["checks"][0]["samples"] == {"good": 3, "bad": 4, "no_data": 0, "error": 0}


def test_a_name_that_can_not_be_resolved_says_nothing_about_the_release() -> None:
    run = gate({"url": "http://no-such-host.invalid/", "timeout": 0.5}, deadline=1)
    assert run.failed
    assert (run.result["verdict"], run.result["code"]) == ("hold", "probe_error")
    assert run.result["checks"][0]["last_fault"]["code"] == "resolve"
    assert run.result["checks"][0]["samples"]["bad"] == 0


def test_the_host_header_is_the_one_given(serve: Serve) -> None:
    server = serve(strict_about_its_host)
    gate({"url": server.url, "host": "shop.example.com"}).succeeded()
    assert "Host: shop.example.com\r\n" in server.heads[0]


def test_a_secret_header_is_sent_and_never_shown(serve: Serve) -> None:
    server = serve(strict_about_its_token)
    run = gate(
        {"url": server.url, "secret_headers": {"Authorization": f"Bearer {SECRET}"}, "headers": {"X-Seen": "yes"}}
    )
    run.succeeded()
    assert f"Authorization: Bearer {SECRET}\r\n" in server.heads[0]
    assert "X-Seen: yes\r\n" in server.heads[0]
    assert SECRET not in run.output
    assert "X-Seen" in run.output
    run = gate({"url": server.url, "secret_headers": {"Authorization": f"Bearer {SECRET}\r\nX: y"}})
    assert run.failed
    assert SECRET not in run.output


def test_checks_are_asked_at_the_same_time(serve: Serve) -> None:
    result = gate(*[{"url": serve(slow).url} for _number in range(5)], successes=2, deadline=10).succeeded()
    assert 0.6 <= result["elapsed_s"] < 1.5, "two rounds of 0.3 s, not ten"


def test_one_that_hangs_does_not_hide_the_others(serve: Serve) -> None:
    run = gate({"url": serve(hangs).url}, {"url": serve(healthy).url}, deadline=4)
    assert [check["verdict"] for check in run.result["checks"]] == ["rollback", "pass"]
    assert run.result["elapsed_s"] < 4.5
    assert "check 2" not in run.msg


def test_a_body_without_end_is_read_no_further_than_needed(serve: Serve) -> None:
    gate({"url": serve(endless).url, "timeout": 3}, successes=1, deadline=4).succeeded()
    run = gate({"url": serve(endless).url, "timeout": 3, "json": {"status": "ok"}}, failures_allowed=0, deadline=4)
    assert run.result["checks"][0]["last_fault"]["code"] == "too_long"


def test_a_verdict_that_need_not_fail_is_returned(serve: Serve) -> None:
    result = gate({"url": serve(red).url}, failures_allowed=0, fail_on=[]).succeeded()
    assert result["verdict"] == "rollback"
    assert result["msg"] == "rollback: 1 bad, allowed 0"


def test_a_gate_that_can_not_pass_is_refused_before_the_first_sample(serve: Serve) -> None:
    server = serve(healthy)
    run = gate({"url": server.url}, successes=100)
    assert run.failed
    assert run.msg == (
        "deadline: 3.0 is not accepted, expected 9.9 seconds or more: 100 samples every 0.1 s after 0 s. "
        "Nothing was changed."
    )
    assert server.heads == []


def test_tls_is_verified_for_the_host_that_is_asked_for(serve: Serve, tls: ssl.SSLContext, authority: Path) -> None:
    check = {"url": serve(healthy, tls).url, "ca_path": str(authority / "cert.pem")}
    result = gate({**check, "host": "shop.example.com"}).succeeded()
    assert result["checks"][0]["tls_verified"] is True
    run = gate(check, failures_allowed=0)
    assert run.result["checks"][0]["last_fault"]["code"] == "tls_verify"
    assert "IP address mismatch" in run.msg


def test_an_unknown_authority_is_not_believed_unless_told_so(serve: Serve, tls: ssl.SSLContext) -> None:
    check = {"url": serve(healthy, tls).url, "host": "shop.example.com"}
    run = gate(check, failures_allowed=0)
    assert run.failed
    assert run.result["checks"][0]["last_fault"]["code"] == "tls_verify"
    result = gate({**check, "validate_certs": False}).succeeded()
    assert result["checks"][0]["tls_verified"] is False


def test_a_server_that_hangs_in_the_middle_of_tls_is_cut(serve: Serve) -> None:
    server = serve(hangs)
    run = gate({"url": server.url.replace("http:", "https:")}, failures_allowed=0)
    assert run.result["elapsed_s"] < 1.5
    assert run.result["checks"][0]["last_fault"]["text"].endswith("(while agreeing on TLS)")
