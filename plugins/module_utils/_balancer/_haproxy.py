# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy by its runtime API.

The API answers every command with success at the level of the socket; errors are text in the answer.
So every answer is judged. One command a connection: commands joined by ``;`` run on after an error.
"""

from __future__ import annotations

import csv
import io
import socket
from collections.abc import Callable, Mapping
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Check,
    Pool,
    Process,
    Server,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused

# srv_admin_state of `show servers state` (include/haproxy/server-t.h). 0x04 (disabled in the configuration) stays
# set after `ready` and says nothing about now; 0x20 is maintenance because the name does not resolve.
_MAINTENANCE: Final = 0x01 | 0x02 | 0x20
_DRAINING: Final = 0x08 | 0x10
_INHERITED: Final = 0x02 | 0x10
# srv_check_state: a check is configured and enabled (include/haproxy/check-t.h).
_CHECKED: Final = 0x02 | 0x04
_CHECK_PASSED: Final = frozenset({"L4OK", "L6OK", "L7OK", "PROCOK"})
_LEVELS: Final = ("user", "operator", "admin")
_STATE_VERSION: Final = "1"
_ANSWER_LIMIT_S: Final = 5.0

Send = Callable[[str], str]
Row = Mapping[str, str]


def parse_address(text: str) -> tuple[str, int] | str:
    """Return the path of a UNIX socket, or host and port.

    :raises InvalidOption: it is neither.
    """
    if text.startswith("/"):
        return text
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise InvalidOption("socket", text, "the absolute path of a UNIX socket, or host:port")
    return host.strip("[]"), int(port)


class SocketSender:
    """Sends one command by a connection of its own and returns the whole answer."""

    def __init__(self, address: str, *, timeout_s: float = _ANSWER_LIMIT_S) -> None:
        self._text = address
        self._address = parse_address(address)
        self._timeout_s = timeout_s

    def __call__(self, command: str) -> str:
        try:
            with self._connect() as connection:
                connection.sendall(f"{command}\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode("utf-8", "replace")
            # Every answer ends with an empty line. One that does not comes from a process that was killed meanwhile.
            if answer != "\n" and not answer.endswith("\n\n"):
                raise ConnectionResetError("the connection was closed in the middle of the answer")
        except OSError as error:
            raise BalancerUnreachable(
                f"HAProxy gave no answer on {self._text} to '{command}': {error}",
                remedy=self._remedy(error),
                facts={"socket": self._text, "command": command},
            ) from error
        return answer

    def _connect(self) -> socket.socket:
        if not isinstance(self._address, str):
            return socket.create_connection(self._address, timeout=self._timeout_s)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._timeout_s)
            connection.connect(self._address)
        except OSError:
            connection.close()
            raise
        return connection

    def _remedy(self, error: OSError) -> str:
        if isinstance(error, PermissionError):
            return "Run the task as a user of the socket's group (on Debian: haproxy), or as root"
        return f"See that HAProxy runs and that its configuration has 'stats socket {self._text} level admin'"


def parse_level(text: str) -> str:
    """Return the rights that ``show cli level`` tells."""
    level = text.strip()
    if level not in _LEVELS:
        raise _not_understood("show cli level", text)
    return level


def parse_process(text: str) -> Process:
    """Return the process that ``show info`` tells."""
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    if values.get("Nbproc", "1") != "1":
        raise Refused(
            f"HAProxy runs as {values['Nbproc']} processes, each of which counts only its own sessions",
            untouched="Nothing was changed",
            remedy="Use one process with threads (nbthread); nbproc is gone since HAProxy 2.5",
        )
    try:
        # Inside a container every new process may get the same id: its start tells them apart.
        return Process(pid=int(values["Pid"]), started=int(values.get("Start_time_sec", "0")))
    except (KeyError, ValueError) as error:
        raise _not_understood("show info", text) from error


def parse_statistics(text: str) -> dict[str, Row]:
    """Return the rows of the servers that ``show stat POOL 4 -1`` tells, by name."""
    if not text.startswith("# pxname,svname,"):
        raise _not_understood("show stat", text)
    rows = csv.DictReader(io.StringIO(text[2:].strip()))
    return {row["svname"]: row for row in rows if row["type"] == "2"}


def parse_servers_state(text: str) -> dict[tuple[str, str], Row]:
    """Return what ``show servers state`` tells, by pool and server.

    :raises BalancerError: a line is not of the form that the header says.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or lines[0] != _STATE_VERSION or not lines[1].startswith("# be_id "):
        raise _not_understood("show servers state", text)
    names = lines[1][2:].split()
    rows: dict[tuple[str, str], Row] = {}
    for line in lines[2:]:
        values = line.split()
        if len(values) != len(names):
            raise _not_understood("show servers state", line)
        row = dict(zip(names, values))
        rows[row["be_name"], row["srv_name"]] = row
    return rows


def build_server(name: str, statistics: Row, state: Row) -> Server:
    """Put together what the two commands say of one server."""
    bits = int(state["srv_admin_state"])
    return Server(
        name=name,
        address=statistics["addr"],
        admin=_admin(bits),
        status=statistics["status"],
        check=_check(statistics, state),
        weight=int(state["srv_uweight"]),
        configured_weight=int(state["srv_iweight"]),
        sessions=int(statistics["scur"]),
        queued=int(statistics["qcur"]),
        failures=int(statistics["econ"]) + int(statistics["wretr"]),
        backup=statistics["bck"] == "1",
        inherited_from=statistics["tracked"] if bits & _INHERITED else "",
    )


def _admin(bits: int) -> Admin:
    if bits & _MAINTENANCE:
        return Admin.MAINT
    return Admin.DRAIN if bits & _DRAINING else Admin.READY


def _check(statistics: Row, state: Row) -> Check:
    # "* " stands before the last result while the next check is under way.
    status = statistics["check_status"].replace("* ", "", 1)
    words = (status, statistics["check_code"], statistics["last_chk"] or statistics["check_desc"])
    return Check(
        configured=int(state["srv_check_state"]) & _CHECKED == _CHECKED,
        passed=status in _CHECK_PASSED,
        text=" ".join(word for word in words if word),
        # Out of maintenance its health is `rise`; with `fall 1` that is already the best there is, so that it is
        # called healthy at once and shows the result of a check made before (tried with 2.6).
        trusts_blindly=statistics["check_fall"] == "1",
    )


def _not_understood(command: str, text: str) -> BalancerError:
    return BalancerError(
        f"HAProxy's answer to '{command}' is not understood: {text.strip()[:500]!r}",
        untouched="Nothing more was sent",
        remedy="See that the socket is the one of a HAProxy process (2.4 or newer), not of its master",
        facts={"command": command, "answer": text.strip()[:500]},
    )


class HaproxyDriver:
    """A :class:`Driver` over the runtime API."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def require_rights(self) -> None:
        level = parse_level(self._send("show cli level"))
        if level != "admin":
            raise Refused(
                f"This socket of HAProxy gives the level '{level}', and changing servers needs 'admin'",
                untouched="Nothing was changed",
                remedy="Use the socket that HAProxy's configuration gives 'level admin'",
                facts={"level": level},
            )

    def observe(self, pool: str) -> Pool:
        process = parse_process(self._send("show info"))
        state = {
            key: row for key, row in parse_servers_state(self._ask("show servers state")).items() if key[0] == pool
        }
        if not state:
            raise self._unknown_pool(pool)
        # By its number: a frontend may have the same name, and a name would find that one.
        number = next(iter(state.values()))["be_id"]
        statistics = parse_statistics(self._send(f"show stat {number} 4 -1"))
        servers = []
        for name, row in statistics.items():
            if (pool, name) not in state:
                raise _not_understood("show servers state", f"no line for {pool}/{name}")
            servers.append(build_server(name, row, state[pool, name]))
        return Pool(pool, process, tuple(servers))

    def set_admin(self, pool: str, server: str, admin: Admin) -> None:
        self._order(f"set server {pool}/{server} state {admin.value}")

    def set_weight(self, pool: str, server: str, weight: int) -> None:
        self._order(f"set server {pool}/{server} weight {weight}")

    def forget_health(self, pool: str, server: str) -> None:
        self._order(f"set server {pool}/{server} health down")

    def saved_state(self) -> bytes:
        text = self._ask("show servers state")
        # One line that HAProxy can't read makes it ignore the whole file, with no more than a warning.
        parse_servers_state(text)
        return (text.rstrip("\n") + "\n").encode()

    def _ask(self, command: str) -> str:
        text = self._send(command)
        if not text.startswith(f"{_STATE_VERSION}\n"):
            raise _not_understood(command, text)
        return text

    def _order(self, command: str) -> None:
        answer = self._send(command).strip()
        if answer:
            raise BalancerError(
                f"HAProxy answered '{command}' with: {answer}",
                untouched="This order was not carried out",
                remedy="See the names of pool and server, and the level of the socket",
                facts={"command": command, "answer": answer},
            )

    def _unknown_pool(self, pool: str) -> InvalidOption:
        known = [line for line in self._send("show backend").splitlines() if line and not line.startswith("#")]
        return InvalidOption("pool", pool, f"a backend of this HAProxy: {', '.join(sorted(known))}")
