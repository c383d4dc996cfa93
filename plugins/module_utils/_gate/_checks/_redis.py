# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis: one command in its own protocol (RESP 2), and what it answers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import Limits, judge, read_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._tcp import place
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample
from ansible_collections.slipway.django.plugins.module_utils._gate._network import connect, start_tls, tls_context
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import port, words

_PORT = 6379
_LINE_LIMIT, _TEXT_LIMIT, _LIST_LIMIT = 1 << 12, 1 << 20, 1 << 12
# What a gate may ask: it only looks. One that is not here may change something.
_LOOKING = frozenset(
    {"DBSIZE", "EXISTS", "HLEN", "LASTSAVE", "LLEN", "PING", "SCARD", "STRLEN", "TTL", "XLEN", "ZCARD"}
)
# The probe's own login is wrong: that says nothing about the application's.
_NOT_ALLOWED = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


@dataclass(frozen=True)
class RedisCheck:
    """One check by a command."""

    common: Common
    address: str
    port: int
    command: tuple[str, ...]
    limits: Limits
    login: tuple[str, ...] = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    instrument = False

    def where(self) -> str:
        return f"{' '.join(self.command)} at {place(self.address, self.port)}"

    def expected(self) -> str:
        return self.limits.describe()

    def facts(self) -> dict[str, object]:
        return {}

    def look(self, watch: Watch) -> Sample:
        connection = connect(self.address, self.port, watch)
        if self.tls is not None:
            connection = start_tls(connection, self.tls, self.address, watch)
        with connection.makefile("rb") as answers:
            if self.login:
                watch.stage = "logging in"
                _ask(connection, answers, self.login)
            watch.stage = "waiting for the answer"
            value = _ask(connection, answers, self.command)
        return judge(value, self.limits, watch, self.command[0])


def _ask(connection: socket.socket, answers: BinaryIO, command: Sequence[str]) -> str | float:
    parts = [f"*{len(command)}\r\n".encode()]
    for word in command:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    connection.sendall(b"".join(parts))
    return read_answer(answers)


def read_answer(answers: BinaryIO) -> str | float:
    """Read one answer. Of a list its length is returned.

    :raises NotUnderstood: it is an error, nothing, or no answer of Redis.
    """
    kind, rest = _read_line(answers)
    if kind == b"+":
        return rest.decode("utf-8", "replace")
    if kind == b"-":
        # The first word is the kind of the error; what follows may repeat what was sent.
        word = rest.split(b" ", 1)[0].decode("ascii", "replace")[:20]
        text = f"Redis answers with the error {word if word.isalpha() else 'unknown'}"
        raise NotUnderstood("redis_error", text, local=word in _NOT_ALLOWED)
    number = _whole(rest)
    if kind == b":":
        return number
    if kind == b"$" and number < 0:
        raise NotUnderstood("absent", "Redis has no such key")
    if kind == b"$" and number <= _TEXT_LIMIT:
        return _read_text(answers, number).decode("utf-8", "replace")
    if kind == b"*" and number <= _LIST_LIMIT:
        for _turn in range(max(0, number)):
            read_answer(answers)
        return max(0, number)
    raise NotUnderstood("not_redis", "the answer is not one of Redis")


def _read_line(answers: BinaryIO) -> tuple[bytes, bytes]:
    line = answers.readline(_LINE_LIMIT)
    if not line:
        raise NotUnderstood("closed", "the connection was closed without an answer")
    if not line.endswith(b"\r\n"):
        raise NotUnderstood("not_redis", "the answer is not one of Redis, or only half of it")
    return line[:1], line[1:-2]


def _read_text(answers: BinaryIO, size: int) -> bytes:
    data = answers.read(size + 2)
    if len(data) != size + 2:
        raise NotUnderstood("incomplete", "the connection was closed in the middle of the answer")
    return data[:-2]


def _whole(text: bytes) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise NotUnderstood("not_redis", "the answer is not one of Redis") from error


def read_redis(common: Common, params: Mapping[str, Any]) -> RedisCheck:
    """Read the options of a check of kind C(redis)."""
    path = common.path
    command = words(f"{path}.command", params["command"] or ["PING"])
    if command[0].upper() not in _LOOKING:
        raise InvalidOption(f"{path}.command", command[0], f"one of {', '.join(sorted(_LOOKING))}: a gate only looks")
    password = params["password"]
    return RedisCheck(
        common,
        params["address"] or "127.0.0.1",
        port(f"{path}.port", params["port"], _PORT),
        command,
        read_limits(common, params, default_equals="PONG" if command == ("PING",) else None),
        () if password is None else ("AUTH", *([params["user"]] if params["user"] else []), password),
        tls_context(f"{path}.ca_path", params["ca_path"], verify=params["validate_certs"]) if params["tls"] else None,
    )
