# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign behind docs/proof/after.md, which it writes: each check of the runbooks' "After", green and red."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.e2e.test_verify import SETTINGS
from ansible_collections.slipway.django.tests.integration.gate_servers import make_authority, server_tls
from ansible_collections.slipway.django.tests.integration.gate_world import PROMETHEUS, prometheus
from ansible_collections.slipway.django.tests.proof.outside_world import ALERT, Outside, outside_world
from slipway_lab import proof
from slipway_lab.fleet import pattern_of_marks
from slipway_lab.project import Run
from slipway_lab.world import CHECKOUT, World

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="needs the package prometheus")
PAGE = CHECKOUT / "docs" / "proof" / "after.md"
TEMPLATE = """# What the runbooks look at after a deployment

Written by `make proof` (`tests/proof/test_after.py`).

**{verdict}: {checks} checks of the profiles, each green and red on the lab's servers.**

The site is deployed under the watch of all profiles; `verify.yml` asks the same checks again (green), then once more
for each way in which something is not as it should be (red). What can be broken is broken for real; where a limit is
set to what the site can't meet, it says so. Prometheus is a real one; what it measures, the error tracker and the
payment service are stand-ins on the lab's network. Who calls `verify.yml` here says `verify_rollback=false`: the first
red look would have brought the site back.

| row | check | broken by | verdict | what the gate said |
| --- | --- | --- | --- | --- |
{rows}

Query times against the baseline (C9) are in `tests/integration/test_health_gate_statements.py`; plain connections, and
servers that hang, drip and answer half, in `tests/integration/test_health_gate_kinds.py`. A hold is no pass: people
look at it.

{circumstances}
"""
# The row of the runbooks by the beginning of a check's name.
ROWS = {
    "health": "C1",
    "page": "C1",
    "static file": "C1",
    "websocket": "C1",
    "redis": "C1",
    "database answers": "C1",
    "login": "C2",
    "account": "C2",
    "api": "C2",
    "error_rate": "C3, C4, D1",
    "slow": "C3, D1",
    "cache_misses": "C3",
    "queue_length": "C3",
    "memory_free": "C3",
    "disk": "C3",
    "workers": "C3",
    "orders have customers": "C5",
    "error tracker": "C6",
    "security headers": "C7",
    "strangers by CORS": "C7",
    "redirect to HTTPS": "C7",
    "limit of requests": "C7",
    "certificate": "C7",
    "journal": "C7",
    "database": "C8",
    "heartbeats are written": "C10",
    "web service": "C12",
    "worker": "C12",
    "one scheduler": "C12",
    "firing_alerts": "C12",
    "old releases": "C11",
    "temporary files": "C11",
    "request_rate": "C12",
    "websockets": "C12",
    "orders by their key": "C13",
    "upload": "C14",
    "mail": "C14",
    "payment": "C14",
}

# Those that Prometheus answers.
MEASURES = {"error_rate", "slow", "firing_alerts", "cache_misses", "request_rate", "websockets", "queue_length"}
MEASURES |= {"memory_free", "disk_free"}

# A mail server that takes everything.
MAIL = "systemd-run --quiet --unit=lab-mail python3 -m smtpd -n -c DebuggingServer 127.0.0.1:25"


def row_of(name: str) -> str:
    """The row that a check covers: of the beginnings that fit, the longest decides."""
    return ROWS[max((start for start in ROWS if name.startswith(start)), key=len)]


def settings(outside: Outside, secure: Outside, measured: str) -> dict[str, Any]:
    """What a team would write into its inventory."""
    base = f"http://{outside.address}"
    value = {"from": 0, "action": "hold"}
    return {
        **SETTINGS,
        "verify_websocket_url": "ws://127.0.0.1/ws/live",
        "verify_upload_path": "/api/upload",
        "verify_commands": [
            {"name": "mail", "command": ["{{ verify_python }}", "manage.py", "sendtestemail", "ops@example.com"]}
        ],
        "verify_checks": [{"name": "payment", "url": f"{base}/pay", "json": {"status": "ok"}}],
        "verify_tracker_url": f"{base}/tracker",
        "verify_sql": [
            {
                "name": "orders have customers",
                "query": "SELECT count(*) FROM shop_order WHERE customer_id IS NULL",
                "equals": 0,
            },
            {
                "name": "heartbeats are written",
                "query": "SELECT count(*) FROM shop_heartbeat WHERE at > now() - interval '40 seconds'",
                "min": 1,
            },
        ],
        "verify_plans": [
            {
                "name": "orders by their key",
                "query": "SELECT * FROM shop_order WHERE id = 7",
                "uses_index": "shop_order_pkey",
            }
        ],
        "verify_https_url": f"{base}/http",
        "verify_tls_address": secure.server_address[0],
        "verify_tls_port": secure.server_address[1],
        "verify_tls_min_days": 1,
        "verify_ca_path": "/etc/ssl/lab-outside.pem",
        "verify_prometheus_url": measured,
        "verify_thresholds": [
            {"measure": "error_rate", "window": "30s", "from": 0, "above": 0.05, "action": "rollback"},
            {"measure": "slow", "window": "30s", "from": 0, "above": 0.05, "action": "rollback"},
            {"measure": "firing_alerts", "above": 0, **value},
            {"measure": "cache_misses", "window": "30s", "above": 0.5, **value},
            {"measure": "request_rate", "window": "30s", "below_baseline": 0.5, **value},
            {"measure": "websockets", "below_baseline": 0.5, **value},
            {"measure": "queue_length", "above": 1000, **value},
            {"measure": "memory_free", "below": 0.1, **value},
            {"measure": "disk_free", "below": 0.1, **value},
        ],
        "verify_watch_interval": 1,
        "verify_watch_deadline": 30,
    }


@dataclass(frozen=True)
class Red:
    """One check that was not passed.

    :param told: what the gate said.
    """

    name: str
    broken_by: str
    verdict: str
    told: str

    @property
    def check(self) -> str:
        """Of a check that is asked on several hosts one will do: the name without the host."""
        return without_host(self.name)

    def in_words(self) -> str:
        told = self.told.replace("|", "/")
        return f"| {row_of(self.name)} | {self.name} | {self.broken_by} | {self.verdict} | {told} |"


@dataclass
class Seen:
    """What the gates have said.

    :ivar green: names of the checks that passed while all was well.
    :ivar not_seen: what was broken and was not told.
    """

    green: list[str] = field(default_factory=list)
    red: list[Red] = field(default_factory=list)
    not_seen: list[str] = field(default_factory=list)

    def never_red(self) -> list[str]:
        """Checks that nothing has shown to be able to refuse."""
        return sorted({without_host(name) for name in self.green} - {one.check for one in self.red})


def without_host(name: str) -> str:
    """A check's name without the host that it is of."""
    check, _of, host = name.rpartition(" of ")
    return check if host.startswith("app") else name


def verdicts(run: Run) -> dict[str, Mapping[str, Any]]:
    """The checks of all gates of a run by their names, as its log has them."""
    assert run.log is not None
    events = [json.loads(line) for line in (run.log / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    facts = [event["facts"] for event in events if event.get("event") == "gate.verdict"]
    # The name of the load's user, which is a secret to the login check, is blotted out of "upload" as well.
    return {check["name"].replace("********", "load"): check for gate in facts for check in gate["checks"]}


class Site:
    """The deployed site, and looks at it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen = Seen()

    def look(self, **extra: Any) -> dict[str, Mapping[str, Any]]:
        """Call verify.yml and return what each check came to."""
        options = json.dumps({"verify_rollback": False, **extra})
        run = self.world.project.run("verify.yml", arguments=("-e", options))
        assert pattern_of_marks().findall(run.text) == []
        return verdicts(run)

    def green(self) -> None:
        found = self.look()
        ill = {name: check["last_fault"] for name, check in found.items() if check["verdict"] != "pass"}
        assert ill == {}
        self.seen.green = sorted(found)

    def red(self, broken_by: str, *names: str, **extra: Any) -> None:
        """One look at what is broken. Each of the named checks must be red."""
        found = self.look(**extra)
        well = [name for name in names if name not in found or found[name]["verdict"] == "pass"]
        self.seen.not_seen += [f"{broken_by}: {name} passed" for name in well]
        for name in sorted(set(names) - set(well)):
            check = found[name]
            told = (check["last_fault"] or {"text": check["reason"]})["text"]
            self.seen.red.append(Red(name, broken_by, check["verdict"], told))


@contextmanager
def during(world: World, host: str, break_it: str, mend_it: str) -> Iterator[None]:
    """Break something on a host, as root, for as long as the block lasts."""
    world.fleet.script(host, break_it)
    try:
        yield
    finally:
        world.fleet.script(host, mend_it)


def expectations(site: Site) -> None:
    """Limits that the site can't meet."""
    site.red(
        "a limit that can't be met",
        *("page", "static file", "websocket", "login", "api is closed", "api post", "workers", "disk of app1"),
        *("orders have customers", "security headers", "orders by their key", "certificate"),
        verify_page_text="No such text",
        verify_static_path="/absent.css",
        verify_websocket_url="ws://127.0.0.1/ws/absent",
        verify_login_fields={"username": "load", "password": "lab-mark-wrong"},
        verify_api_closed_status=[403],
        verify_api_secret_headers={"Authorization": "Bearer lab-mark-wrong"},
        verify_celery_queues=["absent"],
        verify_sql=[{"name": "orders have customers", "query": "SELECT count(*) FROM shop_order", "equals": 0}],
        verify_plans=[
            {
                "name": "orders by their key",
                "query": "SELECT * FROM shop_order WHERE quantity > 0",
                "uses_index": "shop_order_pkey",
            }
        ],
        verify_headers={"X-Frame-Options": "SAMEORIGIN"},
        verify_min_free_percent=99.99,
        verify_tls_min_days=30,
    )
    site.red("the text is not there", "account", verify_account_text="No such text", verify_profiles=["django_web"])


def servers(site: Site) -> None:
    """Programs that are away, and lines that nobody should find."""
    world = site.world
    line = "MESSAGE=password=lab-mark-x\\nOBJECT_SYSTEMD_UNIT=shop-{}@blue.service\\n"
    with ExitStack() as stack:
        stack.enter_context(during(world, "db1", "systemctl stop redis-server", "systemctl start redis-server"))
        stack.enter_context(
            during(world, "app2", "systemctl stop 'shop-worker@*'", f"systemctl start {live(world, 'app2', 'worker')}")
        )
        stack.enter_context(
            during(world, "app1", "systemctl stop 'shop-beat@*'", f"systemctl start {live(world, 'app1', 'beat')}")
        )
        stack.enter_context(during(world, "app1", "systemctl stop lab-mail", MAIL))
        # Again and again, as a service that dies of something.
        loop = f"while sleep 2; do systemctl kill -s KILL {live(world, 'app3', 'web')}; done"
        stack.enter_context(
            during(
                world,
                "app3",
                f"systemd-run --quiet --unit=lab-killer sh -c '{loop}'",
                "systemctl stop lab-killer; sleep 1; systemctl reset-failed; "
                f"systemctl restart {live(world, 'app3', 'web')}",
            )
        )
        for kind in ("web", "worker"):
            world.fleet.script("app1", f"printf '{line.format(kind)}' | logger --journald")
        time.sleep(45)  # So old must the newest heartbeat be.
        names = ("redis", "workers", "worker of app2", "one scheduler of app1", "mail", "web service of app3")
        left_over = "mkdir -p /var/tmp/slipway-lab && cd /srv/shop/releases && mkdir -p lab-{1,2,3,4,5,6,7,8,9,10}"
        clear = "rmdir /var/tmp/slipway-lab /srv/shop/releases/lab-*"
        with during(world, "app2", f"bash -c '{left_over}'", clear):
            left = ("old releases of app2", "temporary files of app2")
            site.red("nobody has cleared away", *left, verify_profiles=["django_web"], verify_prometheus_url="")
        site.red("the program is stopped or killed", *names, "heartbeats are written")
        journals = ("journal of the web service of app1", "journal of the worker of app1")
        site.red("a password in the journal", *journals, verify_profiles=["security_headers"])


def live(world: World, host: str, kind: str) -> str:
    """The unit of the live slot."""
    (slot,) = world.fleet.live(host, kind)
    return f"shop-{kind}@{slot}.service"


def database(site: Site) -> None:
    """PostgreSQL as nobody wants it, one thing after the other."""
    world = site.world
    postgres: dict[str, Any] = {"verify_profiles": ["postgres"], "verify_prometheus_url": "", "verify_checks": []}
    psql = "sudo --preserve-env=PGAPPNAME -u postgres psql -X -q -d shop -c"

    def session(unit: str, statement: str) -> str:
        return f'systemd-run --quiet --unit={unit} --setenv=PGAPPNAME=lab {psql} "{statement}"; sleep 2'

    hold = session("lab-holder", "BEGIN; LOCK TABLE shop_customer; SELECT pg_sleep(300)")
    wait = session("lab-waiter", "SELECT count(*) FROM shop_customer")
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lab'"
    ended = f'{psql} "{kill}" > /dev/null; systemctl stop lab-holder lab-waiter 2>/dev/null || true'
    with during(world, "db1", f"{hold}; {wait}", ended):
        site.red("a session waits for a lock", "database", **postgres, verify_max_lock_wait=1.0)
        site.red("a query takes long", "database", **postgres, verify_max_query_age=1.0)
    invalid = "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'shop_order_pkey'::regclass"
    with during(world, "db1", f'{psql} "{invalid.format("false")}"', f'{psql} "{invalid.format("true")}"'):
        site.red("an index is invalid", "database", "orders by their key", **postgres)
    site.red("a limit that can't be met: replicas", "database", **postgres, verify_min_replicas=3)
    site.red("a limit that can't be met: connections", "database", **postgres, verify_max_connection_use=0.0001)
    site.red("the database does not exist", "database answers", **postgres, verify_database="absent")


def test_each_check_is_green_then_red(world: World, tmp_path: Path) -> None:
    gateway = world.settings.gateway
    authority = make_authority(tmp_path, "shop.example")
    with socket.socket() as probe:
        probe.bind((gateway, 0))
        port = int(probe.getsockname()[1])
    with (
        outside_world(gateway) as outside,
        outside_world(gateway, server_tls(authority)) as secure,
        prometheus(tmp_path, port, address=gateway, alerts=[ALERT]) as measured,
    ):
        measured.measure_addresses([outside.address])
        world.at_v1()
        world.fleet.run(
            "lb1", "sh", "-c", "cat > /etc/ssl/lab-outside.pem", stdin=(authority / "cert.pem").read_text("utf-8")
        )
        world.fleet.script("app1", f"systemctl is-active -q lab-mail || {MAIL}")
        file = world.project.path / "prod" / "group_vars" / "all" / "verify.yml"
        file.write_text(json.dumps(settings(outside, secure, measured.url)), encoding="utf-8")
        time.sleep(35)  # A window of traffic for the baseline.
        world.deploy("v2")
        site = Site(world)
        limited = {"verify_rate_limit_path": "/limited", "verify_rate_limit_requests": 30}
        stand_in = {"verify_base_url": f"http://{outside.address}", "verify_profiles": ["security_headers"], **limited}
        site.green()
        assert site.look(**stand_in)["limit of requests"]["verdict"] == "pass"
        site.seen.green.append("limit of requests")
        expectations(site)
        database(site)
        servers(site)
        outside.ill = True
        time.sleep(40)  # A window that holds nothing of before.
        careless = ("security headers", "strangers by CORS", "redirect to HTTPS", "limit of requests")
        # Without Prometheus: a rate that is above its threshold ends the gate before others have had two looks.
        site.red("a server that nobody has hardened", *careless, **stand_in, verify_prometheus_url="")
        site.red("it says so", "payment", "error tracker", verify_prometheus_url="")
        measures = [name for name in site.seen.green if name.partition(" over ")[0] in MEASURES]
        site.red("figures that are bad", *measures)
        outside.ill = False
        away = {"verify_health_path": "/absent", "verify_upload_path": "/absent", "verify_prometheus_url": ""}
        site.red("a path that is not there", "health", "upload", **away)
        site.red("a path that is not there", "login form", verify_login_path="/absent", verify_profiles=["django_web"])
    write(site.seen)
    assert site.seen.not_seen == []
    assert site.seen.never_red() == []


def write(seen: Seen) -> None:
    """Write the page."""
    rows = sorted(seen.red, key=lambda one: (int(row_of(one.name)[1:].split(",")[0]), one.name))
    missing = seen.not_seen + [f"{name} was never red" for name in seen.never_red()]
    PAGE.write_text(
        TEMPLATE.format(
            verdict="All held" if not missing else f"NOT as promised: {'; '.join(missing)}",
            checks=len({without_host(name) for name in seen.green}),
            rows="\n".join(one.in_words() for one in rows),
            circumstances=proof.machine_in_words(),
        ),
        encoding="utf-8",
    )
