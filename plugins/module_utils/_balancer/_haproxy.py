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
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Check,
    Order,
    Pool,
    Process,
    Running,
    Server,
    Traits,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import StateFile
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused

# srv_admin_state of `show servers state` (include/haproxy/server-t.h). 0x04 (disabled in the configuration) stays
# set after `ready` and says nothing about now; 0x20 is maintenance because the name does not resolve.
_MAINTENANCE: Final = 0x01 | 0x02 | 0x20
_DRAINING: Final = 0x08 | 0x10
_INHERITED: Final = 0x02 | 0x10
# srv_check_state: a check is configured and enabled (include/haproxy/check-t.h).
_CHECKED: Final = 0x02 | 0x04
_CHECK_PASSED: Final = frozenset({"L4OK", "L6OK", "L7OK", "PROCOK"})
# The words for a server that is well, in service or drained.
_WELL: Final = frozenset({"UP", "DRAIN", "MAINT"})
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


def parse_process(text: str, sockets: int = 1) -> Process:
    """Return the process that ``show info`` tells.

    :param sockets: how many sockets were named. With ``nbproc`` each process must have one of its own.
    """
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    if values.get("Nbproc", "1") not in {"1", str(sockets)}:
        raise Refused(
            f"HAProxy runs as {values['Nbproc']} processes, each of which counts only its own sessions, and "
            f"{sockets} sockets were named",
            untouched="Nothing was changed",
            remedy="Give each process its own ('stats socket … process N') and name them all, or use one process with "
            "threads (nbthread); nbproc is gone since HAProxy 2.5",
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


# A line of `show sess` as 2.6 prints it: the session's address, then key=value.
_SESSION: Final = re.compile(r"(0x[0-9a-f]+): proto=\S+ src=(\S*) fe=(\S*) be=(\S*) srv=(\S*) .*?\bage=(\S+) ")
_AGE: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
# Each is asked for by a command of its own; thousands of WebSockets would take longer than anybody waits.
_ASKED_FOR: Final = 100
# What `show sess ADDRESS` says of one whose protocol was changed.
_TUNNEL: Final = "MSG_TUNNEL"


def parse_age(text: str) -> float | None:
    """Return the seconds of ``1h2m``, ``12s`` or ``?``, which HAProxy says in its two largest units."""
    found = _AGE.fullmatch(text)
    if not found or not text:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def parse_sessions(text: str, pool: str, servers: Sequence[str]) -> list[tuple[str, Running]]:
    """Return the sessions on these servers that ``show sess`` tells, each with its address inside HAProxy."""
    return [
        (found[1], Running(found[5], "request", found[2] or "?", parse_age(found[6])))
        for line in text.splitlines()
        if (found := _SESSION.match(line)) and found[4] == pool and found[5] in servers
    ]


def require_admin(send: Send) -> None:
    """Refuse a socket over which nothing can be changed.

    :raises Refused: its level is another than C(admin).
    """
    level = parse_level(send("show cli level"))
    if level != "admin":
        raise Refused(
            f"This socket of HAProxy gives the level '{level}', and changing servers needs 'admin'",
            untouched="Nothing was changed",
            remedy="Use the socket that HAProxy's configuration gives 'level admin'",
            facts={"level": level},
        )


class _Process:
    """One process of HAProxy by its socket."""

    def __init__(self, send: Send, processes: int) -> None:
        self._send = send
        self._processes = processes

    def require_rights(self) -> None:
        require_admin(self._send)

    def pools(self) -> tuple[str, ...]:
        lines = self._send("show backend").splitlines()
        return tuple(sorted(line for line in lines if line and not line.startswith("#")))

    def observe(self, pool: str) -> Pool:
        process = parse_process(self._send("show info"), self._processes)
        state = {
            key: row for key, row in parse_servers_state(self._ask("show servers state")).items() if key[0] == pool
        }
        if not state:
            raise InvalidOption("pool", pool, f"a backend of this HAProxy: {', '.join(self.pools())}")
        # By its number: a frontend may have the same name, and a name would find that one.
        number = next(iter(state.values()))["be_id"]
        statistics = parse_statistics(self._send(f"show stat {number} 4 -1"))
        servers = []
        for name, row in statistics.items():
            if (pool, name) not in state:
                raise _not_understood("show servers state", f"no line for {pool}/{name}")
            servers.append(build_server(name, row, state[pool, name]))
        return Pool(pool, process, tuple(servers))

    def tell(self, pool: str, order: Order) -> None:
        name = f"{pool}/{order.server}"
        if order.weight is not None:
            self._order(f"set server {name} weight {order.weight}")
        if order.admin is not None:
            self._order(f"set server {name} state {order.admin.value}")
        if order.doubted:
            self._order(f"set server {name} health down")

    def state(self) -> str:
        text = self._ask("show servers state")
        # One line that HAProxy can't read makes it ignore the whole file, with no more than a warning.
        parse_servers_state(text)
        return text

    def running(self, pool: str, servers: Sequence[str]) -> list[Running]:
        found = parse_sessions(self._send("show sess"), pool, servers)
        asked = [self._with_kind(address, session) for address, session in found[:_ASKED_FOR]]
        return asked + [replace(session, kind="session") for _address, session in found[_ASKED_FOR:]]

    def _with_kind(self, address: str, session: Running) -> Running:
        whole = self._send(f"show sess {address}")
        return replace(session, kind="WebSocket" if _TUNNEL in whole else session.kind)

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


def merge_pools(pools: Sequence[Pool]) -> Pool:
    """Put together what several processes of one configuration say of a pool.

    What counts is the most exposed word: a server that one process still sends requests to is not out.

    :raises BalancerError: the processes do not know the same servers.
    """
    first, *others = pools
    names = [server.name for server in first.servers]
    for other in others:
        if [server.name for server in other.servers] != names:
            raise BalancerError(
                f"The processes of HAProxy do not know the same servers of {first.name}: {', '.join(names)} and "
                f"{', '.join(server.name for server in other.servers)}",
                untouched="Nothing more was sent",
                remedy="Let all of them read the same configuration",
                facts={"pool": first.name},
            )
    servers = tuple(_merge(same) for same in zip(*(pool.servers for pool in pools)))
    return Pool(first.name, replace(first.process, others=tuple(pool.process for pool in others)), servers)


def _merge(servers: Sequence[Server]) -> Server:
    exposed = min(servers, key=lambda server: list(Admin).index(server.admin))
    # The worst of those that are told the same: one process that finds it ill is enough.
    same = [server for server in servers if server.admin is exposed.admin]
    worst = next((server for server in same if not (server.check.passed and server.status in _WELL)), exposed)
    return replace(
        worst,
        sessions=sum(server.sessions or 0 for server in servers),
        queued=sum(server.queued for server in servers),
        failures=sum(server.failures for server in servers),
        mixed=len({(server.admin, server.weight) for server in servers}) > 1,
        check=replace(worst.check, trusts_blindly=any(server.check.trusts_blindly for server in servers)),
    )


class HaproxyDriver:
    """A :class:`Driver` over the runtime API, of one process or of several that share the work."""

    traits = Traits("HAProxy", largest_weight=256, forgets=True)

    def __init__(self, sends: Sequence[Send], state_file: StateFile) -> None:
        self._processes = [_Process(send, len(sends)) for send in sends]
        self._state_file = state_file

    def require_rights(self) -> None:
        for process in self._processes:
            process.require_rights()
        self._state_file.require_writable()

    def pools(self) -> tuple[str, ...]:
        """Return the names of all backends."""
        return self._processes[0].pools()

    def observe(self, pool: str) -> Pool:
        return merge_pools([process.observe(pool) for process in self._processes])

    def refuse(self, pool: Pool, orders: Sequence[Order]) -> None:
        """Every order can be sent to every server."""

    def apply(self, pool: str, orders: Sequence[Order]) -> None:
        for order in orders:
            for process in self._processes:
                process.tell(pool, order)

    def persist(self) -> None:
        # They read the same file, and were told the same.
        self._state_file.write((self._processes[0].state().rstrip("\n") + "\n").encode())

    def running(self, pool: str, servers: Sequence[str]) -> tuple[Running, ...]:
        return tuple(session for process in self._processes for session in process.running(pool, servers))
