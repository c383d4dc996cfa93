# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checklist: green for a good release, each step red in one report, a deployment refused by all that is wrong."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from slipway_lab.fleet import ROOT, pattern_of_marks
from slipway_lab.project import Run
from slipway_lab.world import World

# detect-secrets and what it needs: the real program, run by a host's own Python.
_SCANNER = (
    "detect_secrets",
    "unidiff",
    "yaml",
    "requests",
    "urllib3",
    "certifi",
    "idna",
    "charset_normalizer",
)
_SCANNER_AT = "/opt/scan"
_STEP = re.compile(r'"(?P<step>[AB]\d+) +(?P<mark>passed|failed|could not be checked|not asked|not yet) ')


def extra(values: Mapping[str, Any]) -> tuple[str, ...]:
    return ("-e", json.dumps(values))


def marks(run: Run) -> dict[str, str]:
    """The mark of each step, as it was printed last."""
    return {found["step"]: found["mark"] for found in _STEP.finditer(run.text)}


def seen(world: World) -> tuple[object, ...]:
    """What nobody may have touched, and no scratch directory is left."""
    fleet = world.fleet
    scratch = fleet.script("app1", "ls -d /var/tmp/slipway* 2>/dev/null; true")
    return (fleet.trees(), fleet.schema(), fleet.stable_balancer_state(), scratch)


def lay_scanner(world: World, folder: Path) -> list[str]:
    """Bring the scanner to the first app host; return the command."""
    for name in _SCANNER:
        found = importlib.util.find_spec(name)
        assert found is not None, f"{name} is one of the development dependencies"
        assert found.origin is not None
        shutil.copytree(Path(found.origin).parent, folder / name)
    world.fleet.lay("app1", folder, _SCANNER_AT)
    world.fleet.run("app1", "chmod", "-R", "go+rX", _SCANNER_AT)
    return ["env", f"PYTHONPATH={_SCANNER_AT}", "PYTHONDONTWRITEBYTECODE=1", "python3", "-m", "detect_secrets"]


@contextmanager
def site_in_disorder(world: World) -> Iterator[None]:
    """A worker that does not run, and a static file that is gone."""
    fleet = world.fleet
    (worker,) = (
        name for name, unit in fleet.units("app2").items() if name.startswith("worker@") and unit.active == "active"
    )
    published = fleet.script("app1", f"find {ROOT}/static -name 'shop.*.css'").split()[0]
    try:
        fleet.run("app2", "systemctl", "stop", f"shop-{worker}.service")
        fleet.run("app1", "mv", published, "/root/kept.css")
        yield
    finally:
        fleet.run("app1", "mv", "/root/kept.css", published)
        fleet.run("app2", "systemctl", "start", f"shop-{worker}.service")


def commands() -> list[dict[str, Any]]:
    """Of the team: each step's in another place, none as it must be. What they print holds secrets of the site."""
    tells = "import os, sys; print('FAILED with', os.environ.get('API_TOKEN', 'no token')); sys.exit(1)"
    return [
        {"name": "unit tests", "argv": ["python3", "-c", "raise SystemExit('3 failed')"], "where": "controller"},
        {"name": "tests of the release", "argv": ["python", "-c", tells], "where": "release"},
        {"name": "writer", "argv": ["python", "-c", "open('left-over', 'w')"], "where": "release"},
        {"name": "nobody's", "argv": ["true"], "where": "app9"},
        {"name": "load test", "step": "A14", "argv": ["sleep", "60"], "timeout": 1, "where": "db1"},
        {"name": "CI", "step": "A15", "argv": ["/no/such/program"], "where": "controller"},
    ]


def all_red(world: World, scanner: list[str]) -> dict[str, Any]:
    later = datetime.now(timezone.utc) + timedelta(days=3)
    return {
        "preflight_required_variables": ["SECRET_KEY", "PAYMENT_KEY"],
        "preflight_team_commands": commands(),
        "preflight_windows": [{"days": [f"{later:%a}".lower()], "begins": "00:00", "ends": "23:59"}],
        "preflight_freezes": [{"begins": "2020-01-01", "ends": "2099-12-31", "reason": "for ever"}],
        "preflight_sign_off_required": True,
        "preflight_sign_off": "shop v1 by Ada",
        "preflight_rehearsal_log": str(world.project.path / "log"),
        "preflight_release_free_mib": 10**9,
        "preflight_free_inodes": 10**12,
        "preflight_services": ["no-such.service"],
        "preflight_reach": ["127.0.0.1:9"],
        "preflight_certificates": [{"name": "shop.example", "address": "127.0.0.1", "port": 80}],
        "preflight_longest_task": 100_000,
        "preflight_hashes": True,
        "preflight_secrets": "always",
        "preflight_secrets_command": scanner,
        "preflight_audit": "always",
        "preflight_audit_command": ["no-such-audit"],
        "preflight_baseline_required": True,
    }


RED = (
    "A1 pip-audit failed: expected no known vulnerability, seen: no-such-audit is not installed",
    "A1 unit tests failed: expected python3 -c",
    "seen: status 1: 3 failed",
    "seen: status 1: FAILED with <API_TOKEN>",
    "A1 release untouched failed: expected commands that write nothing into the release, seen: 1 files, such as left-o",
    "A1 nobody's could not be checked: expected one of controller, release, app1",
    "app2: A2 variables failed: expected PAYMENT_KEY, SECRET_KEY, seen: not set or empty: PAYMENT_KEY",
    "A3 DEBUG failed: expected off, seen: on",
    "A3 ALLOWED_HOSTS failed: expected named hosts, shop.example among them, no '*', seen: *",
    "A3 check --deploy failed: expected nothing of level WARNING or above, seen: security.W018 WARNING",
    "A3 pinned failed: expected exact versions with digests, seen: ",
    "Django==5.2.19 (requirements.txt:3)",
    "A3 secrets failed: expected no secret in the source beside those audited in .secrets.baseline, seen: ",
    "config/settings.py:25 Secret Keyword",
    "app3: A4 disk failed: expected 1000000000 MiB free at /srv/shop",
    "db1: A4 inodes failed",
    "lb1: A4 service no-such.service failed: expected no-such.service runs, seen: not-found",
    "A4 reach 127.0.0.1:9 failed: expected 127.0.0.1:9 takes connections, seen: Connection refused",
    "lb1: A4 certificate shop.example could not be checked",
    "app1: A4 cache default failed: expected cache default answers within 10 s, seen: ConnectionError",
    "app2: A5 worker runs failed: expected worker runs in one slot, seen: in no slot",
    "A5 baseline could not be checked: expected each measure of the thresholds has figures from before, seen: nothing",
    "A10 deployment window failed",
    "A10 freeze failed: expected no freeze, seen: frozen: 2020-01-01 00:00 to 2099-12-31 23:59 UTC (for ever)",
    "A10 sign-off failed: expected -e preflight_sign_off=",
    "A13 rehearsal failed: expected commit",
    "db1: A14 load test failed: expected sleep 60 ends with status 0 within 1 s, seen: no end within 1 s, killed",
    "A15 CI could not be checked: expected /no/such/program ends with status 0 within 600 s, seen: could not be start",
    "B2 static files of ",
    "B5 keep-alive failed: expected the web server keeps idle connections longer than the balancer, seen: gunicorn 2 s",
    "B9 worker's time to stop failed: expected TimeoutStopSec above 100000 s",
)


def test_each_step_is_green_then_red_in_one_report_and_nothing_is_touched(world: World, tmp_path: Path) -> None:
    world.at_v1()
    scanner = lay_scanner(world, tmp_path)
    before = seen(world)
    green = world.project.run("preflight.yml", arguments=extra({"slipway_version": "v2", **asked(world)}))
    assert green.rc == 0, green.text[-3000:]
    assert {step: mark for step, mark in marks(green).items() if mark != "passed"} == {
        "A6": "not asked",  # by the deployment itself
        "A13": "not asked",  # its red is below, its green in the unit tests: there is no second site here
    }

    with site_in_disorder(world):
        disordered = seen(world)
        red = world.project.run(
            "preflight.yml",
            check=True,  # the same in check mode
            arguments=extra({"slipway_version": "broken-settings", **all_red(world, scanner)}),
        )
        assert seen(world) == disordered
    assert red.rc == 2
    refusal = " ".join(red.text.replace('\\"', '"').split())
    assert [words for words in RED if words not in refusal] == []
    assert {step: mark for step, mark in marks(red).items() if mark != "failed"} == {
        "A6": "not asked",
        "A15": "could not be checked",
    }
    assert pattern_of_marks().findall(red.text) == []
    assert seen(world) == before


def asked(world: World) -> dict[str, Any]:
    """What makes every step a question, and is as it must be."""
    database = world.settings.host("db1").address
    return {
        "preflight_required_variables": ["SECRET_KEY", "DATABASE_URL"],
        "preflight_team_commands": [
            {"name": "unit tests", "argv": ["true"], "where": "controller"},
            {"name": "no migration is missing", "argv": ["python", "manage.py", "check"], "where": "release"},
            {"name": "load test", "step": "A14", "argv": ["true"], "where": "db1"},
            {"name": "CI", "step": "A15", "argv": ["true"], "where": "controller"},
        ],
        "preflight_windows": [
            {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "begins": "00:00", "ends": "23:59"}
        ],
        "preflight_freezes": [{"begins": "2020-01-01", "ends": "2020-12-31", "reason": "long ago"}],
        "preflight_reach": [f"{database}:5432", f"{database}:6379"],
        "preflight_longest_task": 60,
        "preflight_previous_whole": True,
        "preflight_baseline_required": True,
        "verify_thresholds": [{"measure": "query_time", "from": "1h", "times_baseline": 1.2, "action": "hold"}],
    }


def test_a_deployment_is_refused_by_all_that_is_wrong_at_once(world: World) -> None:
    old = world.at_v1()
    before = (world.fleet.schema(), world.fleet.stable_balancer_state(), world.fleet.slots("app1"))
    broken = {
        "slipway_version": "v2",
        "preflight_required_variables": ["PAYMENT_KEY"],
        "preflight_services": ["no-such.service"],
        "preflight_freezes": [{"begins": "2020-01-01", "ends": "2099-12-31", "reason": "for ever"}],
    }
    run = world.project.run(arguments=extra(broken))

    assert run.rc == 2
    verdict = world.fleet.records()[-1]
    assert verdict["verdict"] == "failed"
    for words in ("app1: A2 variables", "app3: A2 variables", "db1: A4 service no-such.service", "A10 freeze"):
        assert words in verdict["facts"]["failure"]["message"], words
    assert marks(run)["A3"] == "not yet"
    assert "TASK [slipway.django.release : Build the release beside what runs]" not in run.text.replace("skipping", "")
    assert (world.fleet.schema(), world.fleet.stable_balancer_state(), world.fleet.slots("app1")) == before
    assert set(world.fleet.releases()["app1"]) == {old}


def test_a_version_that_is_not_there_is_one_row_among_the_others(world: World) -> None:
    world.prepare()
    run = world.project.run("preflight.yml", arguments=extra({"slipway_version": "nosuch"}))

    assert run.rc == 2
    assert "A4 version failed: expected a version that the repository has" in run.text
    assert marks(run)["B9"] == "passed"
