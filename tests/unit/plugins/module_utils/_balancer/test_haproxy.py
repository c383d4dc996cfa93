# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import csv
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._haproxy import (
    HaproxyDriver,
    SocketSender,
    parse_address,
    parse_age,
    parse_level,
    parse_process,
    parse_servers_state,
    parse_statistics,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Order,
    Process,
    Running,
    Server,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import StateFile
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from hypothesis import given
from hypothesis import strategies as st

# The same pool in the same states, recorded from each version.
RECORDED = Path(__file__).parent / "recorded"
VERSIONS = sorted(path.name for path in RECORDED.iterdir())


def recorded(name: str, version: str = VERSIONS[0]) -> str:
    return (RECORDED / version / f"{name}.txt").read_text(encoding="utf-8")


class FakeSocket:
    """Answers commands from recorded output, by the beginning of the command; the longest match wins."""

    def __init__(self, version: str = VERSIONS[0], **overrides: str) -> None:
        self.sent: list[str] = []
        self._answers = {
            "show cli level": recorded("show_cli_level_admin", version),
            "show info": recorded("show_info", version),
            "show stat": recorded("show_stat", version),
            "show servers state": recorded("show_servers_state", version),
            "show backend": recorded("show_backend", version),
            "set server": recorded("set_server_ok", version),
            **{key.replace("_", " "): value for key, value in overrides.items()},
        }

    def __call__(self, command: str) -> str:
        self.sent.append(command)
        return self._answers[max((key for key in self._answers if command.startswith(key)), key=len)]


def driver_of(*sends: FakeSocket) -> HaproxyDriver:
    return HaproxyDriver(sends, StateFile(None))


def test_the_pool_is_asked_for_by_its_number() -> None:
    # `show stat shop` answers for a frontend of that name: a pool without servers.
    socket = FakeSocket()
    driver_of(socket).observe("shop")
    number = parse_servers_state(recorded("show_servers_state"))["shop", "app1-blue"]["be_id"]
    assert f"show stat {number} 4 -1" in socket.sent


def observed(version: str) -> dict[str, Server]:
    return {server.name: server for server in driver_of(FakeSocket(version)).observe("shop").servers}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "admin", "status", "serving"),
    [
        ("app1-blue", Admin.READY, "UP", True),
        ("app1-green", Admin.MAINT, "MAINT", False),
        ("app2-blue", Admin.DRAIN, "DRAIN", False),
        ("app2-green", Admin.DRAIN, "DRAIN 1/3", False),
        ("app3-blue", Admin.READY, "UP 2/3", False),
        ("app3-green", Admin.READY, "DOWN", False),
        ("app4-nocheck", Admin.READY, "no check", False),
        ("app5-fall1", Admin.READY, "UP", True),
        ("app6-backup", Admin.READY, "UP", False),
        ("app7-tracks", Admin.DRAIN, "DRAIN", False),
    ],
)
def test_recorded_servers(version: str, name: str, admin: Admin, status: str, serving: bool) -> None:
    server = observed(version)[name]
    assert (server.admin, server.status, server.serving) == (admin, status, serving)


@pytest.mark.parametrize(
    ("bits", "admin"),
    [
        (0x00, Admin.READY),
        (0x01, Admin.MAINT),
        (0x02, Admin.MAINT),
        (0x04, Admin.READY),  # disabled in the configuration, and made ready since
        (0x05, Admin.MAINT),
        (0x08, Admin.DRAIN),
        (0x0C, Admin.DRAIN),
        (0x10, Admin.DRAIN),
        (0x20, Admin.MAINT),
        (0x09, Admin.MAINT),
    ],
)
def test_admin_states(bits: int, admin: Admin) -> None:
    text = recorded("show_servers_state").replace("app1-blue 127.0.0.1 2 0 ", f"app1-blue 127.0.0.1 2 {bits} ")
    servers = driver_of(FakeSocket(show_servers_state=text)).observe("shop").servers
    assert servers[0].admin is admin


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_figures(version: str) -> None:
    servers = observed(version)
    assert servers["app1-blue"].open == 1
    assert servers["app5-fall1"].sessions == (3 if version == "haproxy-2.6.12" else 4)
    assert (servers["app1-blue"].weight, servers["app1-blue"].configured_weight) == (100, 100)
    assert servers["app1-blue"].address == "127.0.0.1:18101"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_whose_checks_begin_to_fail_still_gets_requests(version: str) -> None:
    servers = observed(version)
    assert [name for name, server in servers.items() if server.receiving] == [
        "app1-blue",
        "app3-blue",
        "app4-nocheck",
        "app5-fall1",
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_checks(version: str) -> None:
    servers = observed(version)
    assert servers["app1-blue"].check.text == "L7OK 200 Layer7 check passed"
    assert servers["app3-green"].check.text == "L4CON Connection refused"
    assert [name for name, s in servers.items() if not s.check.configured] == ["app4-nocheck", "app7-tracks"]
    assert [name for name, s in servers.items() if s.check.trusts_blindly] == ["app5-fall1"]
    assert not servers["app3-blue"].check.passed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_follower_is_known_as_one(version: str) -> None:
    assert observed(version)["app7-tracks"].inherited_from == "shop/app2-blue"


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_process(version: str) -> None:
    assert parse_process(recorded("show_info", version)).pid > 1


def test_a_new_process_with_the_same_id_is_another_one() -> None:
    # In a container HAProxy gets the same id at every start.
    assert parse_process("Pid: 8\nStart_time_sec: 10\n") != parse_process("Pid: 8\nStart_time_sec: 11\n")
    assert parse_process("Pid: 8\n") == Process(8, 0)


def test_several_processes_are_refused() -> None:
    with pytest.raises(Refused, match="runs as 2 processes, each of which counts only its own sessions"):
        parse_process("Nbproc: 2\nPid: 8\n")


def test_as_many_sockets_as_processes_are_taken() -> None:
    assert parse_process("Nbproc: 2\nPid: 8\n", 2) == Process(8, 0)
    with pytest.raises(Refused, match=r"runs as 2 processes, .* and 3 sockets were named"):
        parse_process("Nbproc: 2\nPid: 8\n", 3)


# --- several processes ---------------------------------------------------------------------------------------------


def with_bits(bits: int, **overrides: str) -> FakeSocket:
    text = recorded("show_servers_state").replace("app1-blue 127.0.0.1 2 0 ", f"app1-blue 127.0.0.1 2 {bits} ")
    return FakeSocket(show_servers_state=text, **overrides)


def test_the_sessions_of_all_processes_are_summed_up() -> None:
    one = driver_of(FakeSocket()).observe("shop")
    both = driver_of(FakeSocket(), FakeSocket(show_info="Pid: 77\n")).observe("shop")
    assert [server.open for server in both.servers] == [2 * server.open for server in one.servers]
    assert not any(server.mixed for server in both.servers)
    assert str(both.process) == f"{one.process.pid}, 77"
    assert both.process != one.process


def test_a_server_that_one_process_still_sends_requests_to_is_not_out() -> None:
    for sockets in ((with_bits(8), with_bits(0)), (with_bits(0), with_bits(1))):
        server = driver_of(*sockets).observe("shop").servers[0]
        assert server.admin is Admin.READY
        assert server.mixed


def test_a_server_that_one_process_finds_ill_is_ill() -> None:
    well = recorded("show_stat")
    row = next(line for line in well.splitlines() if ",app1-blue," in line)
    ill = well.replace(row, row.replace(",UP,", ",DOWN,", 1))
    assert driver_of(FakeSocket(), FakeSocket(show_stat=ill)).observe("shop").servers[0].status == "DOWN"


def test_every_process_is_told_and_asked_for_rights() -> None:
    first, second = FakeSocket(), FakeSocket()
    driver_of(first, second).apply("shop", [Order("app1-blue", Admin.DRAIN)])
    assert first.sent == second.sent == ["set server shop/app1-blue state drain"]
    with pytest.raises(Refused, match="gives the level 'user'"):
        driver_of(FakeSocket(), FakeSocket(show_cli_level="user\n")).require_rights()


def test_processes_of_different_configurations_are_refused() -> None:
    fewer = "\n".join(line for line in recorded("show_stat").splitlines() if ",app7-tracks," not in line)
    with pytest.raises(BalancerError, match="The processes of HAProxy do not know the same servers of shop: app1-blue"):
        driver_of(FakeSocket(), FakeSocket(show_stat=fewer)).observe("shop")


# --- what is open --------------------------------------------------------------------------------------------------


def test_recorded_sessions_are_named() -> None:
    answers = {
        "show_sess": recorded("show_sess"),
        "show_sess_0x564b7dd7a150": recorded("show_sess_websocket"),
        "show_sess_0x7faae4039d90": recorded("show_sess_request"),
    }
    socket = FakeSocket(**answers)
    assert driver_of(socket).running("shop", ["a"]) == (
        Running("a", "WebSocket", "127.0.0.1:54794", 2.0),
        Running("a", "request", "127.0.0.1:54800", 2.0),
    )
    assert driver_of(socket).running("shop", ["b"]) == ()
    assert driver_of(socket).running("other", ["a"]) == ()


def test_only_the_first_hundred_are_asked_for() -> None:
    line = next(line for line in recorded("show_sess").splitlines() if " srv=a " in line)
    many = "\n".join(line.replace("0x564b7dd7a150", f"0x{number:x}") for number in range(150))
    socket = FakeSocket(show_sess=many, show_sess_0x=recorded("show_sess_websocket"))
    kinds = [one.kind for one in driver_of(socket).running("shop", ["a"])]
    assert kinds == ["WebSocket"] * 100 + ["session"] * 50
    assert len(socket.sent) == 101


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("59s", 59), ("1m30s", 90), ("2h1m", 7260), ("3d4h", 273600), ("1d", 86400), ("?", None), ("", None)],
)
def test_ages(text: str, seconds: float | None) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "Permission denied\n", "Pid: eight\n"])
def test_information_that_is_none(text: str) -> None:
    with pytest.raises(BalancerError, match="HAProxy's answer to 'show info' is not understood"):
        parse_process(text)


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_levels(version: str) -> None:
    assert parse_level(recorded("show_cli_level_admin", version)) == "admin"
    assert parse_level(recorded("show_cli_level_user", version)) == "user"
    with pytest.raises(BalancerError, match=r"'show cli level' is not understood: .Unknown command"):
        parse_level(recorded("unknown_command", version))


def test_too_low_a_level_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        driver_of(FakeSocket(show_cli_level="operator\n")).require_rights()
    assert caught.value.message == (
        "This socket of HAProxy gives the level 'operator', and changing servers needs 'admin'. Nothing was changed. "
        "Use the socket that HAProxy's configuration gives 'level admin'."
    )


def test_an_unknown_pool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidOption) as caught:
        driver_of(FakeSocket()).observe("nope")
    assert caught.value.message == (
        "pool: 'nope' is not accepted, expected a backend of this HAProxy: other, shop. Nothing was changed."
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "name",
    ["set_server_permission", "set_server_unknown_pool", "set_server_unknown_server", "unknown_command"],
)
def test_text_after_an_order_is_an_error(version: str, name: str) -> None:
    driver = driver_of(FakeSocket(set_server=recorded(name, version)))
    with pytest.raises(BalancerError) as caught:
        driver.apply("shop", [Order("app1-blue", Admin.DRAIN)])
    assert recorded(name, version).strip().rstrip(".") in caught.value.message
    assert "This order was not carried out." in caught.value.message


def test_a_weight_that_is_refused_is_an_error() -> None:
    with pytest.raises(BalancerError, match="Absolute weight can only be between 0 and 256"):
        driver_of(FakeSocket(set_server=recorded("set_server_weight_300"))).apply(
            "shop", [Order("app1-blue", weight=300)]
        )


def test_orders_as_they_are_sent() -> None:
    send = FakeSocket()
    driver = driver_of(send)
    driver.apply("shop", [Order("app1-blue", Admin.MAINT, 50), Order("app2-blue", doubted=True)])
    assert send.sent == [
        "set server shop/app1-blue weight 50",
        "set server shop/app1-blue state maint",
        "set server shop/app2-blue health down",
    ]


def saved_by(socket: FakeSocket, directory: Path) -> str:
    HaproxyDriver([socket], StateFile(str(directory / "state"))).persist()
    return (directory / "state").read_text(encoding="utf-8")


def test_the_saved_state_is_what_haproxy_told_to_the_last_line(tmp_path: Path) -> None:
    saved = saved_by(FakeSocket(), tmp_path)
    # One empty line is fine, a line that HAProxy can't read is not: then it ignores all of the file.
    assert saved == recorded("show_servers_state").rstrip("\n") + "\n"
    assert saved.startswith("1\n# be_id be_name ")


def test_a_state_that_is_cut_is_never_saved(tmp_path: Path) -> None:
    text = recorded("show_servers_state")
    cut = text[: len(text) - 30]
    with pytest.raises(BalancerError, match="'show servers state' is not understood: '3 shop 10 app7-tracks"):
        saved_by(FakeSocket(show_servers_state=cut), tmp_path)
    assert not (tmp_path / "state").exists()


def test_a_server_without_state_is_not_guessed() -> None:
    text = "\n".join(line for line in recorded("show_servers_state").splitlines() if "app1-blue" not in line)
    with pytest.raises(BalancerError, match="no line for shop/app1-blue"):
        driver_of(FakeSocket(show_servers_state=text)).observe("shop")


def test_another_version_of_the_state_is_not_understood() -> None:
    with pytest.raises(BalancerError, match="not understood"):
        parse_servers_state("2" + recorded("show_servers_state")[1:])


def test_statistics_that_are_none() -> None:
    with pytest.raises(BalancerError, match="'show stat' is not understood: 'Permission denied'"):
        parse_statistics("Permission denied\n")


@given(
    st.dictionaries(
        st.text(alphabet=st.characters(categories=["L", "N"], include_characters="_.-"), min_size=1, max_size=12),
        st.tuples(st.integers(0, 9999), st.integers(0, 9999), st.sampled_from(["UP", "DOWN", "MAINT (via a/b)"])),
        min_size=1,
        max_size=8,
    )
)
def test_statistics_of_any_servers_come_back(servers: dict[str, tuple[int, int, str]]) -> None:
    out = io.StringIO()
    columns = ["pxname", "svname", "qcur", "scur", "new column", "status", "type"]
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    for name, (queued, sessions, status) in servers.items():
        row: list[object] = ["shop", name, queued, sessions, 'a "word", more', status, 2]
        writer.writerow(dict(zip(columns, row)))
    writer.writerow(dict(zip(columns, ["shop", "BACKEND", 0, 0, "", "UP", 1])))
    rows = parse_statistics("# " + ",".join(columns) + "\n" + out.getvalue() + "\n")
    assert {n: (int(r["qcur"]), int(r["scur"]), r["status"]) for n, r in rows.items()} == servers


@given(st.text())
def test_any_text_as_state_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BalancerError):
        assert parse_servers_state(text) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/run/haproxy/admin.sock", "/run/haproxy/admin.sock"),
        ("127.0.0.1:9999", ("127.0.0.1", 9999)),
        ("[::1]:9999", ("::1", 9999)),
    ],
)
def test_addresses(text: str, expected: object) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "admin.sock", "lb1:", ":9999", "lb1:http"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(InvalidOption, match="expected the absolute path of a UNIX socket, or host:port"):
        parse_address(text)


@contextlib.contextmanager
def answering(path: str, answer: bytes) -> Iterator[list[bytes]]:
    """A socket that takes one command and answers; yields what it got."""
    got: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                got.append(connection.recv(100))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield got
        thread.join()


def test_the_sender_reads_the_whole_answer(tmp_path: Path) -> None:
    answer = b"x" * 200_000 + b"\n\n"
    with answering(str(tmp_path / "s"), answer) as got:
        assert SocketSender(str(tmp_path / "s"))("show info") == answer.decode()
    assert got == [b"show info\n"]


@pytest.mark.parametrize("answer", [b"", b"# pxname,svname", b"Pid: 12\n"])
def test_an_answer_that_is_cut_is_none(tmp_path: Path, answer: bytes) -> None:
    # HAProxy was killed meanwhile. To an order, no answer at all would look like success.
    with (
        answering(str(tmp_path / "s"), answer),
        pytest.raises(BalancerUnreachable, match="the connection was closed in the middle of the answer"),
    ):
        SocketSender(str(tmp_path / "s"))("set server shop/a state drain")


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*/*.txt")), ids=lambda path: path.stem)
def test_every_recorded_answer_ends_with_an_empty_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == "\n" or text.endswith("\n\n")


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BalancerUnreachable) as caught:
        SocketSender(str(tmp_path / "s"))("show info")
    assert "HAProxy gave no answer on" in caught.value.message
    assert "See that HAProxy runs and that its configuration has 'stats socket" in caught.value.message


def test_a_haproxy_that_hangs_is_not_awaited_for_ever(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with pytest.raises(BalancerUnreachable, match="timed out"):
            SocketSender(path, timeout_s=0.05)("show info")


def test_a_socket_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may use every socket, so the kernel's answer is played.
    class Closed(socket.socket):
        def connect(self, _address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Closed)
    with pytest.raises(BalancerUnreachable) as caught:
        SocketSender("/run/haproxy/admin.sock")("show info")
    assert caught.value.message == (
        "HAProxy gave no answer on /run/haproxy/admin.sock to 'show info': [Errno 13] Permission denied. "
        "Run the task as a user of the socket's group (on Debian: haproxy), or as root."
    )
