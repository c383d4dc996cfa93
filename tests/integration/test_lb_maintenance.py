# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_maintenance against a real HAProxy and a real nginx. What it claims is proved by requests."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module
from ansible_collections.slipway.django.tests.integration.lab_haproxy import Application, free_port
from ansible_collections.slipway.django.tests.integration.lab_maintenance import (
    INSTALLED,
    KINDS,
    OPERATOR,
    SECRET,
    Balancer,
    Visit,
    visit,
)

pytestmark = [
    pytest.mark.skipif(not INSTALLED, reason="needs the package haproxy or nginx"),
    pytest.mark.timeout(300),
]


@pytest.fixture(name="application")
def _application() -> Iterator[Application]:
    application = Application(free_port())
    yield application
    application.stop()


@pytest.fixture(name="balancer", params=INSTALLED)
def _balancer(request: pytest.FixtureRequest, tmp_path: Path, application: Application) -> Iterator[Balancer]:
    _program, kind = KINDS[request.param]
    balancer = kind(tmp_path, application)
    balancer.start()
    yield balancer
    balancer.stop()


def maintenance(balancer: Balancer, state: str, *, check: bool = False, **options: Any) -> ModuleRun:
    return run_module("lb_maintenance", {**balancer.options, "state": state, **options}, check=check)


def is_page(answer: Visit) -> bool:
    wanted = {"retry-after": "77", "x-maintenance": "on", "cache-control": "no-store"}
    return answer.status == 503 and {key: answer.headers.get(key) for key in wanted} == wanted


def test_check_apply_check_apply(balancer: Balancer, application: Application) -> None:
    for state, other in (("on", "off"), ("off", "on")):
        assert maintenance(balancer, state, check=True).succeeded()["changed"]
        assert is_page(visit(balancer.front)) is (other == "on")

        applied = maintenance(balancer, state, owner="ada", reason="a test").succeeded()
        assert (applied["changed"], applied["maintenance"]["state"]) == (True, state)
        assert applied["deployment_log"]["event"] == "maintenance.switched"
        assert is_page(visit(balancer.front)) is (state == "on")

        assert not maintenance(balancer, state, check=True).succeeded()["changed"]
        again = maintenance(balancer, state, owner="bob").succeeded()
        assert not again["changed"]
        assert again["maintenance"] == applied["maintenance"]
        assert "deployment_log" not in again
    assert visit(balancer.front).body == str(application.port)


def test_each_kind_of_client_gets_what_is_meant_for_it(balancer: Balancer, application: Application) -> None:
    maintenance(balancer, "on").succeeded()
    site = str(application.port)

    page = visit(balancer.front)
    assert is_page(page)
    assert (page.body, page.headers["content-type"]) == ("<p>closed</p>", "text/html; charset=utf-8")
    client = visit(balancer.front, Accept="application/json")
    assert is_page(client)
    assert json.loads(client.body) == {"error": "maintenance"}
    assert visit(balancer.front, Accept="text/html, application/json").body == "<p>closed</p>"
    # A browser's upload is answered too, and not by 405.
    assert is_page(visit(balancer.front, "/upload", method="POST", body=b"x" * 300_000))
    assert is_page(visit(balancer.front, method="HEAD"))
    assert is_page(visit(balancer.front, "/health/more"))
    assert is_page(visit(balancer.front, X_Maintenance_Pass=SECRET + "x"))

    assert visit(balancer.front, "/health").body == site
    assert visit(balancer.front, "/live").body == site
    assert visit(balancer.front, source=OPERATOR).body == site
    assert visit(balancer.front, X_Maintenance_Pass=SECRET).body == site
    assert visit(balancer.front, Cookie=f"a=b; maintenance_pass={SECRET}").body == site
    # As an operator asks, too, whether visitors are let in.
    assert is_page(visit(balancer.front, source=OPERATOR, X_Maintenance_Probe="1"))


def test_the_sites_own_503_is_left_alone(balancer: Balancer, application: Application) -> None:
    application.healthy = False

    answer = visit(balancer.front, "/health")

    assert (answer.status, answer.body) == (503, str(application.port))
    assert "retry-after" not in answer.headers


def test_it_outlives_a_reload_and_a_restart(balancer: Balancer) -> None:
    maintenance(balancer, "on").succeeded()

    balancer.reload()
    assert is_page(visit(balancer.front))
    balancer.stop(signal.SIGKILL)
    balancer.start()
    assert is_page(visit(balancer.front))

    maintenance(balancer, "off").succeeded()
    balancer.stop()
    balancer.start()
    assert visit(balancer.front).status == 200


def test_a_switch_that_a_restart_would_forget_is_found(balancer: Balancer) -> None:
    maintenance(balancer, "on", owner="ada").succeeded()
    (balancer.switch / "switch.map").write_text("maintenance off\n")
    (balancer.switch / "on").unlink(missing_ok=True)

    again = maintenance(balancer, "on").succeeded()

    assert again["changed"]
    assert again["maintenance"]["owner"] == "ada"
    balancer.stop()
    balancer.start()
    assert is_page(visit(balancer.front))


def test_a_balancer_that_knows_nothing_of_it_is_refused(balancer: Balancer) -> None:
    balancer.stop()
    balancer.start(prepared=False)

    for check in (True, False):
        refused = maintenance(balancer, "on", check=check)
        assert refused.failed
        assert "Nothing was changed. Prepare the balancer (playbook provision" in refused.msg
    assert sorted(path.name for path in balancer.switch.glob("switch.json")) == []
    assert visit(balancer.front).status == 200


def test_a_balancer_that_is_away_is_a_failure(balancer: Balancer) -> None:
    balancer.stop()

    refused = maintenance(balancer, "on")

    assert refused.failed
    assert "gave no answer" in refused.msg
    balancer.start()
    assert visit(balancer.front).status == 200


def test_a_window_is_remembered_and_withdrawn(balancer: Balancer) -> None:
    window: dict[str, Any] = {"window_from": "2030-01-01T22:00Z", "window_until": "2030-01-01T23:00:30Z"}

    said = maintenance(balancer, "announced", **window).succeeded()
    assert said["maintenance"]["window"] == {
        "from": "2030-01-01T22:00:00.000000Z",
        "until": "2030-01-01T23:00:30.000000Z",
    }
    assert not maintenance(balancer, "announced", **window).succeeded()["changed"]
    assert visit(balancer.front).status == 200
    assert maintenance(balancer, "off").succeeded()["maintenance"]["window"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "announced"}, "window_from: '' is not accepted"),
        ({"state": "announced", "window_from": "soon"}, "window_from: 'soon' is not accepted"),
        ({"state": "on", "window_until": "2030-01-01T23:00Z"}, "window_from: '' is not accepted"),
        ({"state": "perhaps"}, "value of state must be one of: on, off, announced"),
        ({"state": "on", "probe_url": "lb1"}, "probe_url: 'lb1' is not accepted"),
        ({"state": "on", "directory": "/nowhere"}, "may not make files in /nowhere"),
    ],
)
def test_bad_input_is_refused(options: dict[str, str], message: str) -> None:
    refused = run_module("lb_maintenance", {"directory": "/nowhere", **options})

    assert refused.failed
    assert message in refused.msg


def test_nobody_gets_anything_but_the_site_or_the_page(balancer: Balancer) -> None:
    """Visitors on kept and new connections while it is switched four times: no third answer."""
    strange: list[Visit] = []
    pages, over = [0], threading.Event()

    def go_on_asking() -> None:
        while not over.is_set():
            answer = visit(balancer.front)
            pages[0] += is_page(answer)
            if not (is_page(answer) or answer.status == 200):
                strange.append(answer)

    threads = [threading.Thread(target=go_on_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for state in ("on", "off", "on", "off"):
            maintenance(balancer, state).succeeded()
    finally:
        over.set()
        for thread in threads:
            thread.join(20)
    assert strange == []
    assert pages[0] > 0
