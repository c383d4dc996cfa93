# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_slot on a real server of the lab: real systemd, releases that are tiny Python programs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun
from ansible_collections.slipway.django.tests.integration.lab_host import LabHost, lab_host

SITE = "slottest"
ROOT = f"/srv/{SITE}"
PORTS = {"blue": 18001, "green": 18002}
V1, V2, V3 = "aaaaaaaaaaaa-00000001", "bbbbbbbbbbbb-00000002", "cccccccccccc-00000003"
BROKEN, CRASHING, MUTE, SLOW, TORN = (f"{letter * 12}-0000000d" for letter in "12345")
HABITS = {V1: "serve", V2: "serve", V3: "serve", BROKEN: "exit 3", CRASHING: "crash", MUTE: "mute", SLOW: "slow"}
# Type and Restart of each kind's unit.
KINDS = {"web": ("notify", "on-failure"), "worker": ("exec", "on-failure"), "beat": ("exec", "no")}
SECRET = "mark-of-the-broker"

PROGRAM = """\
import http.server, os, signal, socket, sys, time

habit = open("habit").read().strip()
if habit == "exit 3":
    sys.exit(3)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
if "NOTIFY_SOCKET" in os.environ:
    notify.connect(os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1))
    notify.send(b"READY=1")
if habit == "slow":
    signal.signal(signal.SIGTERM, lambda *_: (time.sleep(12), open("../../../shared/ended", "w"), os._exit(0)))
if habit == "mute" or sys.argv[1] != "web":
    time.sleep(3600)
address = ("0.0.0.0", int(os.environ["SLIPWAY_PORT"]))
server = http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler)
if habit == "crash":
    server.timeout = 0.5
    server.handle_request()
    sys.exit(4)
server.serve_forever()
"""

# Ready when the file is there; tells as whom, where and with what it was asked.
READY = f"""\
#!/bin/sh
echo "$(id -un) $(pwd) $1 $SLIPWAY_SLOT $BROKER_URL" > {ROOT}/shared/asked
test -e {ROOT}/shared/ready || {{ echo "no answer from redis://:{SECRET}@db1/0" >&2; exit 69; }}
"""

UNIT = f"""\
[Service]
Type=TYPE
User={SITE}
Environment=SLIPWAY_SLOT=%i
EnvironmentFile=/etc/slipway/{SITE}/slot-%i.env
EnvironmentFile={ROOT}/slots/%i/env
WorkingDirectory={ROOT}/slots/%i/src
ExecStart=/usr/bin/python3 program.py KIND
KillMode=mixed
TimeoutStopSec=20
Restart=RESTART
RestartSec=1
[Install]
WantedBy=multi-user.target
"""


def files() -> dict[str, str]:
    """All files of the site, by path."""
    made = {f"/etc/slipway/{SITE}/slot-{slot}.env": f"SLIPWAY_PORT={port}\n" for slot, port in PORTS.items()}
    for kind, start, restart in (
        ("web", "notify", "on-failure"),
        ("worker", "exec", "on-failure"),
        ("beat", "exec", "no"),
    ):
        text = UNIT.replace("TYPE", start).replace("KIND", kind).replace("RESTART", restart)
        made[f"/etc/systemd/system/{SITE}-{kind}@.service"] = text
    for release in (*HABITS, TORN):
        top = f"{ROOT}/releases/{release}"
        made[f"{top}/src/program.py"] = PROGRAM
        made[f"{top}/src/habit"] = HABITS.get(release, "serve")
        made[f"{top}/venv/bin/ready"] = READY
        made[f"{top}/env"] = f'BROKER_URL="redis://:{SECRET}@db1/0"\n'
        if release != TORN:
            made[f"{top}/release.json"] = "{}"
    return made


INSTALL = f"""
id {SITE} >/dev/null 2>&1 || useradd --system --home-dir {ROOT} {SITE}
python3 - <<'END'
import json, os
for path, text in json.loads(r'''FILES''').items():
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as stream:
        stream.write(text)
    os.chmod(path, 0o755 if path.endswith("/ready") else 0o644)
END
mkdir -p {ROOT}/slots {ROOT}/shared
chown -R {SITE}: {ROOT}
chmod 600 {ROOT}/releases/*/env
systemctl daemon-reload
"""
UNITS = " ".join(f"{SITE}-{kind}@{slot}.service" for kind in KINDS for slot in PORTS)
STOP = f"""
systemctl kill --signal=SIGKILL {UNITS} 2>/dev/null || true
systemctl disable --quiet --now {UNITS} 2>/dev/null || true
systemctl reset-failed {UNITS} 2>/dev/null || true
rm -rf {ROOT}/slots/* {ROOT}/shared/*
"""
REMOVE = f"""
rm -rf {ROOT} /etc/slipway/{SITE} /etc/systemd/system/{SITE}-*@.service
systemctl daemon-reload
userdel {SITE}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LabHost]:
    host = lab_host("app2")
    host.root(INSTALL.replace("FILES", json.dumps(files())))
    yield host
    host.root(STOP + REMOVE)


@pytest.fixture
def host(server: LabHost) -> LabHost:
    """The site is installed, nothing of it runs, both slots are empty."""
    server.root(STOP)
    return server


def call(host: LabHost, state: str = "started", *, check: bool = False, **options: Any) -> ModuleRun:
    given = {"state": state, "site": SITE, "kind": "web", "ports": PORTS, "timeout": 15, "stop_timeout": 30, **options}
    return host.module("service_slot", given, check=check)


def started(host: LabHost, release: str, **options: Any) -> dict[str, Any]:
    return call(host, release=release, **options).succeeded()


def live(host: LabHost, release: str, **options: Any) -> dict[str, Any]:
    return call(host, "live", release=release, **options).succeeded()


def serving(host: LabHost, kind: str = "web") -> int:
    """V1 is live in blue, as an earlier deployment left it; return its process."""
    host.root(f"ln -sfn ../releases/{V1} {ROOT}/slots/blue; systemctl enable --quiet --now {SITE}-{kind}@blue")
    return pid(host, "blue", kind)


def truth(host: LabHost, kind: str = "web") -> dict[str, list[str]]:
    """Link, enabled and active of each slot, asked without us."""
    script = "".join(
        f"echo {slot} $(basename $(readlink {ROOT}/slots/{slot} || echo -)) "
        f"$(systemctl is-enabled {SITE}-{kind}@{slot}) $(systemctl is-active {SITE}-{kind}@{slot});"
        for slot in PORTS
    )
    return {words[0]: words[1:] for words in map(str.split, host.root(script).splitlines())}


def pid(host: LabHost, slot: str, kind: str = "web") -> int:
    return int(host.root(f"systemctl show --value -p MainPID {SITE}-{kind}@{slot}"))


def test_a_first_start_is_predicted_done_and_not_repeated(host: LabHost) -> None:
    predicted = call(host, release=V1, check=True).succeeded()
    assert truth(host)["blue"] == ["-", "disabled", "inactive"]
    result = started(host, V1)
    assert truth(host) == {"blue": [V1, "disabled", "active"], "green": ["-", "disabled", "inactive"]}
    assert predicted.keys() == result.keys()
    assert predicted["changed"]
    assert predicted["reason"] == result["reason"]
    assert (result["changed"], result["slot"], result["other"], result["port"]) == (True, "blue", "green", 18001)
    assert result["pid"] == pid(host, "blue")
    assert host.root(f"curl -sf http://127.0.0.1:18001/habit; stat -c %U /proc/{result['pid']}") == f"serve{SITE}\n"
    again = started(host, V1)
    assert (again["changed"], again["pid"]) == (False, result["pid"])


def test_a_switch_leaves_the_serving_slot_alone_until_it_is_live(host: LabHost) -> None:
    first = started(host, V1)
    assert live(host, V1)["changed"]
    assert truth(host)["blue"] == [V1, "enabled", "active"]
    second = started(host, V2)
    assert (second["slot"], pid(host, "blue")) == ("green", first["pid"])
    assert truth(host) == {"blue": [V1, "enabled", "active"], "green": [V2, "disabled", "active"]}
    predicted = call(host, "live", release=V2, check=True).succeeded()
    assert (predicted["changed"], pid(host, "blue")) == (True, first["pid"])
    result = live(host, V2)
    assert truth(host) == {"blue": [V1, "disabled", "inactive"], "green": [V2, "enabled", "active"]}
    assert (result["changed"], result["pid"], result["reason"]) == (True, second["pid"], predicted["reason"])
    assert not live(host, V2)["changed"]
    # The way back: the old release is where it was.
    assert started(host, V1)["slot"] == "blue"
    live(host, V1)
    assert truth(host) == {"blue": [V1, "enabled", "active"], "green": [V2, "disabled", "inactive"]}
    # The next one takes the idle slot.
    assert started(host, V3)["slot"] == "green"
    assert truth(host)["green"] == [V3, "disabled", "active"]


@pytest.mark.parametrize(
    ("release", "words"),
    [
        (BROKEN, "failed (result exit-code, exit status 3)"),
        (CRASHING, "failed (result exit-code, exit status 4)"),
    ],
)
def test_a_release_that_does_not_start_is_given_up_at_once(host: LabHost, release: str, words: str) -> None:
    served = serving(host)
    began = time.monotonic()
    run = call(host, release=release, timeout=120)
    assert time.monotonic() - began < 100, "it waited though there was nothing to wait for"
    assert run.failed
    assert run.msg == (
        f"Release {release} did not start: {SITE}-web@green.service {words}. "
        f"{SITE}-web@green.service was stopped again; slot blue was not touched. "
        f"Read `journalctl -u {SITE}-web@green.service` on this host."
    )
    assert pid(host, "blue") == served
    assert truth(host)["green"][2] == "inactive"
    # Its slot is free for the next attempt.
    assert started(host, V2)["slot"] == "green"


def test_a_release_that_never_opens_its_port_ends_at_the_deadline(host: LabHost) -> None:
    serving(host)
    run = call(host, release=MUTE, timeout=3)
    assert run.failed
    assert f"not ready after 3 s: {SITE}-web@green.service runs, but port 18002 is not open." in run.msg
    assert truth(host)["green"] == [MUTE, "disabled", "inactive"]


def test_a_port_that_somebody_else_has(host: LabHost) -> None:
    serving(host)
    host.root(f"systemd-run --quiet --unit={SITE}-squatter python3 -m http.server 18002; sleep 1")
    try:
        run = call(host, release=V2)
    finally:
        host.root(f"systemctl stop {SITE}-squatter")
    assert run.failed
    assert "Port 18002 of slot green is taken by process " in run.msg
    assert f"(python3) of {SITE}-squatter.service. Nothing was changed." in run.msg
    assert truth(host)["green"] == ["-", "disabled", "inactive"]


def test_what_is_not_whole_or_not_provisioned_is_refused(host: LabHost) -> None:
    run = call(host, release=TORN)
    assert run.failed
    assert f"Release {TORN} is not whole on this host" in run.msg
    assert call(host, release=TORN, check=True).succeeded()["reason"].startswith(f"{TORN} is not on this host yet")
    run = call(host, release=V1, site="slotnone", root=ROOT, user=SITE)
    assert run.failed
    assert run.msg.startswith("systemd can't use slotnone-web@blue.service: it is not-found. Nothing was changed.")


def test_with_something_in_both_slots_a_third_release_is_refused(host: LabHost) -> None:
    serving(host)
    started(host, V2, kind="worker")
    run = call(host, release=V3)
    assert run.failed
    assert f"No slot is free for {V3}: something runs in blue ({V1}: web) and green ({V2}: worker)." in run.msg
    assert call(host, "stopped", slot="green", kind="worker").succeeded()["changed"]
    assert started(host, V3)["slot"] == "green"


def test_a_link_that_was_moved_under_a_running_process_is_noticed(host: LabHost) -> None:
    started(host, V1)
    host.root(f"ln -sfn ../releases/{V2} {ROOT}/slots/blue")
    for state in ("started", "live"):
        run = call(host, state, release=V2)
        assert run.failed
        assert f"release {V1}" in run.msg or f"runs {V1}" in run.msg
    assert truth(host)["blue"] == [V2, "disabled", "active"]


def test_what_does_not_run_does_not_become_live(host: LabHost) -> None:
    serving(host)
    run = call(host, "live", release=V2)
    assert run.failed
    assert f"{SITE}-web@green.service does not run release {V2}: it is inactive (dead). Nothing was changed." in run.msg
    assert truth(host)["blue"] == [V1, "enabled", "active"]


@pytest.mark.long
def test_a_slow_end_is_waited_for_and_a_signal_shortens_it(host: LabHost) -> None:
    started(host, SLOW)
    run = call(host, "stopped", slot="blue", stop_timeout=1)
    assert run.failed
    assert f"{SITE}-web@blue.service is still deactivating (stop-sigterm), process " in run.msg
    assert call(host, "stopped", slot="blue").succeeded()["pid"] is None
    host.root(f"rm {ROOT}/shared/ended")
    assert not call(host, "stopped", slot="blue").succeeded()["changed"]
    started(host, SLOW)
    call(host, "stopped", slot="blue", stop_signal="SIGKILL").succeeded()
    assert truth(host)["blue"] == [SLOW, "disabled", "inactive"]
    host.root(f"test ! -e {ROOT}/shared/ended")


def test_of_the_scheduler_never_two_run(host: LabHost) -> None:
    serving(host, "beat")
    count = f"""
    until test -e {ROOT}/shared/over || test $SECONDS -gt 40; do
      pgrep -fc 'program.py beat' || true
      sleep 0.05
    done
    """
    counted: list[int] = []
    watcher = threading.Thread(target=lambda: counted.extend(map(int, host.root(count).split())))
    watcher.start()
    started(host, V2, kind="beat")
    host.root(f"touch {ROOT}/shared/over")
    watcher.join()
    assert (counted[0], counted[-1], max(counted)) == (1, 1, 1)
    assert len(counted) > 20
    live(host, V2, kind="beat")
    assert truth(host, "beat") == {"blue": [V1, "disabled", "inactive"], "green": [V2, "enabled", "active"]}


def test_a_unit_that_has_failed_starts_again(host: LabHost) -> None:
    started(host, V1, kind="beat")
    host.root(f"systemctl kill --signal=SIGKILL {SITE}-beat@blue; sleep 0.5")
    assert truth(host, "beat")["blue"][2] == "failed"
    result = started(host, V1, kind="beat")
    assert "beat in blue its failure forgotten; beat in blue started" in result["reason"]


def test_a_worker_is_asked_as_its_user_with_its_environment(host: LabHost) -> None:
    ready: dict[str, Any] = {"kind": "worker", "ready_command": ["venv/bin/ready", "worker-%i@app2"]}
    run = call(host, release=V1, timeout=3, **ready)
    assert run.failed
    assert "the ready command ended with status 69 and said: no answer from <BROKER_URL>" in run.msg
    assert SECRET not in run.output
    assert host.root(f"cat {ROOT}/shared/asked").split() == [
        SITE,
        f"{ROOT}/releases/{V1}/src",
        "worker-blue@app2",
        "blue",
        f"redis://:{SECRET}@db1/0",
    ]
    host.root(f"(sleep 4; touch {ROOT}/shared/ready) >/dev/null 2>&1 &")
    result = started(host, V1, **ready)
    assert (result["changed"], result["port"]) == (True, None)
    run = call(host, release=V2, kind="worker", ready_command=["venv/bin/no-such"])
    assert run.failed
    assert "worker@green.service was stopped again; slot blue was not touched" in run.msg
