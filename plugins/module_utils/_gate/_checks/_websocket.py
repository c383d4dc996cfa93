# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSocket: the handshake of RFC 6455 and, when asked for, one message each way."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._http import read_headers
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._network import (
    connect,
    receive_exactly,
    start_tls,
    tls_context,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import filled, host, needed, number, url

_PORTS = {"ws": 80, "wss": 443}
# RFC 6455, 1.3: what a server that knows WebSocket adds to the key.
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_LIMIT, _MESSAGE_LIMIT = 1 << 16, 1 << 20
_TEXT, _CLOSE = 0x1, 0x8


@dataclass(frozen=True)
class WebSocketCheck:
    """One check by a WebSocket connection."""

    common: Common
    url: str
    host: str
    hostname: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    send: str | None
    text: str | None
    max_latency_s: float | None
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    instrument = False

    def where(self) -> str:
        return self.url if self.host in self.url else f"{self.url} with Host {self.host}"

    def expected(self) -> str:
        said = ", then a message with the given text" if self.text is not None else ""
        limit = f", at most {self.max_latency_s:g} s" if self.max_latency_s is not None else ""
        return f"status 101 and the right key{said}{limit}"

    def facts(self) -> dict[str, object]:
        return {"url": self.url, "host": self.host}

    def look(self, watch: Watch) -> Sample:
        connection = connect(self.hostname, self.port, watch)
        if self.tls is not None:
            connection = start_tls(connection, self.tls, urlsplit(f"//{self.host}").hostname, watch)
        key = base64.b64encode(os.urandom(16))
        watch.stage = "sending the request"
        connection.sendall(self._request(key))
        watch.stage = "waiting for the answer"
        _agree(_read_head(connection), key)
        if self.send is not None:
            watch.stage = "sending a message"
            connection.sendall(_frame(_TEXT, self.send.encode()))
        if self.text is not None:
            watch.stage = "waiting for a message"
            if self.text not in _read_message(connection):
                raise NotUnderstood("text", "the message does not hold the given text")
        elapsed_s = watch.elapsed_s()
        connection.sendall(_frame(_CLOSE, struct.pack(">H", 1000)))
        return self._judge_time(elapsed_s)

    def _judge_time(self, elapsed_s: float) -> Sample:
        if self.max_latency_s is None or elapsed_s <= self.max_latency_s:
            return Sample(State.GOOD, "ok", "connected", elapsed_s, 101)
        text = f"it took {elapsed_s:.3g} s (expected {self.max_latency_s:g} s or less)"
        return Sample(State.BAD, "slow", text, elapsed_s, 101, action=self.common.action)

    def _request(self, key: bytes) -> bytes:
        lines = [
            f"GET {self.target} HTTP/1.1",
            f"Host: {self.host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _read_head(connection: Any) -> list[str]:
    head = b""
    # Byte by byte: the first message may follow in the same packet.
    while not head.endswith(b"\r\n\r\n"):
        if len(head) > _HEAD_LIMIT:
            raise NotUnderstood("not_http", "the head of the answer does not end")
        head += receive_exactly(connection, 1)
    return head.decode("latin-1").split("\r\n")


def _agree(head: list[str], key: bytes) -> None:
    words = head[0].split(" ")
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise NotUnderstood("not_http", "the answer is not HTTP")
    if words[1] != "101":
        raise NotUnderstood("status", f"status {words[1][:3]} (expected 101)")
    headers = dict(line.split(":", 1) for line in head[1:] if ":" in line)
    accepted = {name.lower(): value.strip() for name, value in headers.items()}.get("sec-websocket-accept")
    # No protection: it proves that no cache and no plain web server has answered.
    wanted = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest()).decode()
    if accepted != wanted:
        raise NotUnderstood("not_websocket", "the answer does not bear the right key")


def _frame(kind: int, payload: bytes) -> bytes:
    """A frame of a client: always masked (RFC 6455, 5.3)."""
    mask = os.urandom(4)
    size = len(payload)
    if size < 126:
        length = struct.pack(">B", 0x80 | size)
    elif size < 1 << 16:
        length = struct.pack(">BH", 0x80 | 126, size)
    else:
        length = struct.pack(">BQ", 0x80 | 127, size)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return struct.pack(">B", 0x80 | kind) + length + mask + masked


def _read_message(connection: Any) -> str:
    """The first whole message; pings before it are not answered, the look is short."""
    message = b""
    while True:
        first, second = receive_exactly(connection, 2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", receive_exactly(connection, 2))
        elif size == 127:
            (size,) = struct.unpack(">Q", receive_exactly(connection, 8))
        kind = first & 0x0F
        if kind == _CLOSE:
            raise NotUnderstood("closed", "the connection was closed without a message")
        if second & 0x80 or len(message) + size > _MESSAGE_LIMIT:
            raise NotUnderstood("not_websocket", "a frame that no server may send, or one that is too long")
        payload = receive_exactly(connection, size)
        if kind >= _CLOSE:
            continue
        message += payload
        if first & 0x80:
            return message.decode("utf-8", "replace")


def read_websocket(common: Common, params: Mapping[str, Any]) -> WebSocketCheck:
    """Read the options of a check of kind C(websocket)."""
    path, limit = common.path, params["max_latency"]
    address = url(f"{path}.url", needed(path, params, "url"), _PORTS)
    secure = address.scheme == "wss"
    return WebSocketCheck(
        common,
        params["url"],
        host(f"{path}.host", params["host"]) or address.netloc,
        address.hostname or "",
        address.port or _PORTS[address.scheme],
        (address.path or "/") + (f"?{address.query}" if address.query else ""),
        tuple(read_headers(path, params)),
        params["send"],
        filled(f"{path}.text", params["text"]),
        None if limit is None else number(f"{path}.max_latency", limit, least=0.001),
        tls_context(f"{path}.ca_path", params["ca_path"], verify=params["validate_certs"]) if secure else None,
    )
