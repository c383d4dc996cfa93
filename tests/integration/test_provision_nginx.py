# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What provision writes for nginx as the balancer: the driver reads it, and a real nginx takes it and goes by it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx import parse_groups
from ansible_collections.slipway.django.tests.integration.balancer_worlds import NGINX
from ansible_collections.slipway.django.tests.integration.lab_haproxy import free_port, wait_until

ROLE = Path(__file__).resolve().parents[2] / "roles" / "provision"
SERVERS = ("app1-blue", "app1-green", "app2-blue", "app2-green")


@pytest.fixture(name="written", scope="module")
def _written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The files of two hosts, where nobody listens: nginx answers 502 where it would ask one, and names the group."""
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    port = free_port()
    (folder / "http.conf").touch()
    (folder / "server.conf").write_text("add_header X-Group $slipway_group always;\n")
    (folder / "flags" / "shop").mkdir(parents=True)
    (folder / "hosts").write_text(
        "[app]\napp1 ansible_host=127.0.0.1\napp2 ansible_host=127.0.0.1\n[asgi]\napp1\n"
        "[all:vars]\nansible_connection=local\n"
    )
    variables = {
        "provision_site": "shop",
        "provision_pool": "shop",
        "provision_asgi_pool": "shop_asgi",
        "provision_ports": {"blue": free_port(), "green": free_port()},
        "provision_asgi_ports": {"blue": free_port(), "green": free_port()},
        "provision_asgi_paths": ["/ws/"],
        "provision_static_port": free_port(),
        "provision_bind": f"127.0.0.1:{port}",
        "provision_domain": "shop.example",
        "provision_request_timeout": 65,
        "provision_nginx_flag": {"file": f"{folder}/upstreams.conf", "directory": f"{folder}/flags"},
        "maintenance_nginx": {"http": f"{folder}/http.conf", "server": f"{folder}/server.conf"},
        "ansible_python_interpreter": sys.executable,
    }
    tasks = [
        {"name": name, "ansible.builtin.template": {"src": f"{ROLE}/templates/{name}.j2", "dest": str(folder / to)}}
        for name, to in [("nginx-upstreams.conf", "upstreams.conf"), ("nginx-balancer.conf", "site.conf")]
    ]
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": variables,
        "vars_files": [f"{ROLE}/vars/main.yml"],
        "tasks": tasks,
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", folder / "hosts", folder / "play.yml"],
        check=True,
        capture_output=True,
    )
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"events {{ }}\nhttp {{ access_log off;\n{temporary}\ninclude {folder}/site.conf;\n}}\n"
    )
    process = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf"])
    try:
        wait_until("nginx is up", lambda: _is_up(process, folder))
        yield folder, port
    finally:
        process.terminate()
        process.wait(10)


def _is_up(process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "error.log").read_text()
    return (folder / "nginx.pid").exists()


def test_the_driver_finds_a_group_for_each_set_that_may_be_out(written: tuple[Path, int]) -> None:
    folder, _port = written
    groups = parse_groups((folder / "upstreams.conf").read_text(), "upstreams.conf")
    assert [line.name for line in groups["shop"]] == list(SERVERS)
    wanted = {"--".join(["shop", *out]) for count in range(5) for out in combinations(SERVERS, count)}
    assert {name for name in groups if not name.startswith("shop_asgi")} == wanted
    assert [line.name for line in groups["shop--app1-blue--app2-green"]] == ["app1-green", "app2-blue"]
    assert [line.name for line in groups["shop_asgi"]] == ["app1-blue", "app1-green"]


@pytest.mark.parametrize("out", [(), ("app1-green",), ("app1-green", "app2-green"), SERVERS])
def test_nginx_chooses_the_group_without_what_has_a_flag(written: tuple[Path, int], out: tuple[str, ...]) -> None:
    folder, port = written
    flags = [folder / "flags" / "shop" / name for name in out]
    for flag in flags:
        flag.write_text("maint\n")
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/orders/", headers={"Host": "shop.example"})
        answer = connection.getresponse()
        connection.close()
    finally:
        for flag in flags:
            flag.unlink()
    assert (answer.status, answer.headers["X-Group"]) == (502, "--".join(["shop", *out]))
