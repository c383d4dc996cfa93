# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSockets as bytes (RFC 6455), as far as a client needs them. No input or output here."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from dataclasses import dataclass

from .response import MalformedError, parse_head

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
NORMAL, WITHOUT_STATUS, ABNORMAL, RESTART = 1000, 1005, 1006, 1012
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Frame:
    """One frame of the server, whole and not in fragments."""

    kind: int
    payload: bytes

    @property
    def code(self) -> int:
        """The status of a close frame."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else WITHOUT_STATUS


def handshake(target: str, host: str, key: str) -> bytes:
    """Return the request that asks for a WebSocket."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: shopload\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode("latin-1")


def new_key() -> str:
    """Return a nonce for a handshake."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


def accepted(head: bytes, key: str) -> int:
    """Return the status of the answer to a handshake; 101 only when the server means this very one.

    :raises MalformedError: it is no HTTP, or accepts another handshake.
    """
    parsed = parse_head(head)
    wanted = base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode("ascii")
    if parsed.status == 101 and parsed.headers.get("sec-websocket-accept") != wanted:
        raise MalformedError("the handshake was accepted with another key")
    return parsed.status


def masked(kind: int, payload: bytes) -> bytes:
    """Return a client's frame of less than 126 bytes."""
    mask = os.urandom(4)
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes((0x80 | kind, 0x80 | len(payload))) + mask + body


class FrameParser:
    """Takes bytes, gives frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are whole now.

        :raises MalformedError: it is none, or one that this client does not read (masked, in fragments, too long).
        """
        self._buffer += data
        frames = []
        while (frame := self._take()) is not None:
            frames.append(frame)
        return frames

    def _take(self) -> Frame | None:
        if len(self._buffer) < 2:
            return None
        first, length, start = self._buffer[0], self._buffer[1], 2
        if not first & 0x80 or first & 0x70 or length & 0x80:
            raise MalformedError(f"a frame begins with {bytes(self._buffer[:2])!r}")
        if length > 125:
            start = 4 if length == 126 else 10
            if len(self._buffer) < start:
                return None
            (length,) = struct.unpack("!H" if start == 4 else "!Q", self._buffer[2:start])
        if length > _LONGEST:
            raise MalformedError(f"a frame has {length} bytes")
        if len(self._buffer) < start + length:
            return None
        payload = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        return Frame(first & 0x0F, payload)
