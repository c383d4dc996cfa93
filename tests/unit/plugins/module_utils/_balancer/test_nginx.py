# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Check,
    Process,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx import (
    Processes,
    Worker,
    build_server,
    group_of,
    parse_groups,
    read_groups,
    replace_group,
    told,
    without_notes,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from hypothesis import given
from hypothesis import strategies as st

TEXT = """# The pool of the shop
upstream shop {
    least_conn;
    server 192.0.2.1:8001 weight=100 max_fails=0; # app1-blue
    server 192.0.2.2:8001 weight=25 down; # app2-blue drain of 100
    server 192.0.2.3:8001 down; # app3-blue
    server 192.0.2.4:8001 backup;
    keepalive 16;
}
upstream other {
    server 192.0.2.9:80; # app1-blue
}
"""


def test_servers_as_they_stand() -> None:
    groups = parse_groups(TEXT, "f")
    assert list(groups) == ["shop", "other"]
    lines = {line.name: line for line in groups["shop"]}
    assert [(line.admin, line.weight, line.own_weight) for line in lines.values()] == [
        (Admin.READY, 100, 100),
        (Admin.DRAIN, 25, 100),
        (Admin.MAINT, 1, 1),
        (Admin.READY, 1, 1),
    ]
    assert lines["app1-blue"].parameters == ("max_fails=0",)
    assert lines["192.0.2.4:8001"].backup


def test_only_the_line_that_changes_is_written_anew() -> None:
    lines = {line.name: line for line in parse_groups(TEXT, "f")["shop"]}
    new = replace_group(TEXT, "shop", {"app1-blue": told(lines["app1-blue"], Admin.MAINT, None)})
    assert new == TEXT.replace(
        "server 192.0.2.1:8001 weight=100 max_fails=0; # app1-blue",
        "server 192.0.2.1:8001 weight=100 max_fails=0 down; # app1-blue maint",
    )
    assert new.count("app1-blue maint") == 1
    back = parse_groups(new, "f")["shop"][0]
    assert replace_group(new, "shop", {"app1-blue": told(back, Admin.READY, None)}) == TEXT


def test_the_weight_of_its_own_is_kept_beside_another_one() -> None:
    line = told(parse_groups(TEXT, "f")["shop"][0], None, 5)
    assert str(line) == "    server 192.0.2.1:8001 weight=5 max_fails=0; # app1-blue of 100"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("server 192.0.2.1:8001", "server 192.0.2.1:8001"),
        ("server 192.0.2.1:8001; # the big one here", "server 192.0.2.1:8001; # the big one here"),
        ("server 192.0.2.1:8001; # a drain", "the line and what stands behind # say different things"),
        ("server 192.0.2.1:8001 down; # a of 5 drain", "a of 5 drain"),
    ],
)
def test_a_line_that_is_not_understood(line: str, said: str) -> None:
    with pytest.raises(BalancerError) as caught:
        parse_groups(f"upstream shop {{\n  {line}\n}}\n", "f")
    assert caught.value.message.startswith("f is not understood: ")
    assert said in caught.value.message
    assert "Nothing was changed. One server a line, its name behind #, as: " in caught.value.message


def test_two_servers_of_one_name() -> None:
    with pytest.raises(BalancerError, match="two servers of upstream shop bear the same name: a, a"):
        parse_groups("upstream shop {\nserver 1.1.1.1:1; # a\nserver 1.1.1.2:1; # a\n}\n", "f")


def test_what_only_people_read_needs_no_reload() -> None:
    assert without_notes(TEXT) == without_notes(TEXT.replace("# app2-blue drain of 100", "# app2-blue maint of 100"))
    assert without_notes(TEXT) != without_notes(TEXT.replace("weight=25", "weight=26"))


def test_an_unknown_pool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidOption) as caught:
        group_of(parse_groups(TEXT, "f"), "nope", "f")
    assert caught.value.message == (
        "pool: 'nope' is not accepted, expected an upstream group of f: other, shop. Nothing was changed."
    )


def test_a_server_by_a_unix_socket_is_refused() -> None:
    # Its connections can't be counted.
    with pytest.raises(InvalidOption, match="the address of a in f: 'unix:/run/a' is not accepted, expected a host"):
        group_of(parse_groups("upstream shop {\nserver unix:/run/a; # a\n}\n", "f"), "shop", "f")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="can't be read: No such file or directory"):
        read_groups(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("admin", "passed", "status"),
    [
        (Admin.READY, True, "UP"),
        (Admin.READY, False, "DOWN"),
        (Admin.DRAIN, True, "DRAIN"),
        (Admin.DRAIN, False, "DOWN"),
        (Admin.MAINT, False, "MAINT"),
    ],
)
def test_how_a_server_is(admin: Admin, passed: bool, status: str) -> None:
    line = told(parse_groups(TEXT, "f")["shop"][0], admin, None)
    assert build_server(line, Check(configured=True, passed=passed, text=""), 2).status == status


names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


@given(
    st.dictionaries(names, st.tuples(st.sampled_from(Admin), st.integers(1, 256), st.integers(1, 256)), min_size=1),
    st.data(),
)
def test_whatever_is_written_is_read_back(servers: dict[str, tuple[Admin, int, int]], data: st.DataObject) -> None:
    body = "\n".join(f"  server 192.0.2.{n}:80; # {name}" for n, name in enumerate(servers))
    text = f"upstream shop {{\n{body}\n}}\n"
    lines = {line.name: line for line in parse_groups(text, "f")["shop"]}
    wanted = {name: told(line, servers[name][0], servers[name][1]) for name, line in lines.items()}
    new = replace_group(text, "shop", wanted)
    assert {line.name: line for line in parse_groups(new, "f")["shop"]} == wanted


# --- processes -----------------------------------------------------------------------------------------------------


def process(proc: Path, pid: int, parent: int, title: str, *, state: str = "S", started: int = 7) -> None:
    directory = proc / str(pid)
    directory.mkdir(parents=True)
    numbers = " ".join(["0"] * 17)
    (directory / "stat").write_text(f"{pid} (nginx (x) y) {state} {parent} {numbers} {started} 0\n")
    (directory / "cmdline").write_text(f"{title}\0")
    (directory / "status").write_text("Name:\tnginx\nUid:\t33\t33\t33\t34\nGid:\t33\t33\t33\t35\nGroups:\t4 5\n")


@pytest.fixture(name="nginx")
def _nginx(tmp_path: Path) -> Processes:
    (tmp_path / "pid").write_text("100\n")
    process(tmp_path / "proc", 100, 1, "nginx: master process /usr/sbin/nginx")
    process(tmp_path / "proc", 101, 100, "nginx: worker process", started=8)
    process(tmp_path / "proc", 102, 100, "nginx: worker process is shutting down", started=9)
    process(tmp_path / "proc", 103, 100, "nginx: worker process", state="Z")
    process(tmp_path / "proc", 104, 100, "nginx: cache manager process")
    process(tmp_path / "proc", 105, 1, "nginx: worker process")
    (tmp_path / "proc" / "self").mkdir()
    return Processes(str(tmp_path / "pid"), proc=str(tmp_path / "proc"))


def test_its_own_workers_old_and_new(nginx: Processes) -> None:
    assert nginx.master() == Process(100, 7)
    assert nginx.workers(nginx.master()) == (Worker(101, 8, False), Worker(102, 9, True))
    assert nginx.user(101) == (34, (35, 4, 5))
    assert nginx.user(999) is None


def test_its_children_are_taken_from_the_kernel_where_it_tells_them(nginx: Processes, tmp_path: Path) -> None:
    children = tmp_path / "proc" / "100" / "task" / "100" / "children"
    children.parent.mkdir(parents=True)
    children.write_text("101 ")
    assert nginx.workers(nginx.master()) == (Worker(101, 8, False),)


@pytest.mark.parametrize("pid", ["", "101\n", "999\n", "no number\n"])
def test_a_pid_file_that_names_no_nginx(nginx: Processes, tmp_path: Path, pid: str) -> None:
    (tmp_path / "pid").write_text(pid)
    with pytest.raises(BalancerUnreachable, match=r"nginx does not run: .* Start it \(systemctl start nginx\)"):
        nginx.master()


def test_no_pid_file(nginx: Processes, tmp_path: Path) -> None:
    os.unlink(tmp_path / "pid")
    with pytest.raises(BalancerUnreachable, match="names no process"):
        nginx.master()
