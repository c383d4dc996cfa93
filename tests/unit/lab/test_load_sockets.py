# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSockets of the load generator: frames as bytes, and clients against a server that is played here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shopload import frames, sockets
from shopload.frames import Frame, FrameParser
from shopload.response import MalformedError
from shopload.sockets import Sockets

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def sent(kind: int, payload: bytes) -> bytes:
    """A server's frame."""
    length = len(payload)
    head = bytes((0x80 | kind,))
    if length < 126:
        return head + bytes((length,)) + payload
    return head + (struct.pack("!BH", 126, length) if length < 65536 else struct.pack("!BQ", 127, length)) + payload


def said(data: bytes) -> bytes:
    """The text of a client's frame."""
    mask = data[2:6]
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(data[6:]))


# --- frames ---


@given(st.lists(st.tuples(st.sampled_from([1, 8, 9, 10]), st.binary(max_size=70_000)), max_size=4), st.integers(1, 999))
def test_frames_are_read_in_whatever_pieces_they_come(wanted: list[tuple[int, bytes]], size: int) -> None:
    data = b"".join(sent(kind, payload) for kind, payload in wanted)
    parser = FrameParser()
    found = [frame for start in range(0, len(data), size) for frame in parser.feed(data[start : start + size])]

    assert found == [Frame(kind, payload) for kind, payload in wanted]


@pytest.mark.parametrize("data", [b"\x01\x00", b"\x81\x80", b"\xc1\x00", b"\x81\x7f" + b"\xff" * 8])
def test_what_is_no_frame_for_a_client_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        FrameParser().feed(data)


@given(st.binary(max_size=125))
def test_what_a_client_says_is_masked(payload: bytes) -> None:
    data = frames.masked(frames.TEXT, payload)

    assert (data[0], data[1], said(data)) == (0x81, 0x80 | len(payload), payload)


def test_the_status_of_a_close() -> None:
    assert Frame(frames.CLOSE, b"\x03\xf4bye").code == 1012
    assert Frame(frames.CLOSE, b"").code == 1005


def test_a_handshake_is_accepted_by_its_own_key() -> None:
    # The example of RFC 6455, 1.3.
    key, answer = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    head = f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {answer}".encode()

    assert frames.accepted(head, key) == 101
    assert frames.accepted(b"HTTP/1.1 503 Service Unavailable", key) == 503
    with pytest.raises(MalformedError, match="another key"):
        frames.accepted(head, frames.new_key())


# --- clients ---


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, release: str) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
    answer = base64.b64encode(digest).decode()
    writer.write(f"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: {answer}\r\n\r\n".encode())
    writer.write(sent(frames.TEXT, json.dumps({"release": release}).encode()))


def played(serve: Serve, until: Callable[[Sockets], bool], count: int = 1) -> dict[str, object]:
    """What the clients saw of a server, up to a moment."""

    async def play() -> dict[str, object]:
        connections = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await serve(reader, writer, connections)
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        clients = Sockets(server.sockets[0].getsockname()[:2], "shop.example", count)
        clients.start()
        async with asyncio.timeout(20):
            while not until(clients):
                await asyncio.sleep(0.01)
        await clients.stop()
        server.close()
        return clients.document()

    return asyncio.run(play())


def test_a_socket_that_is_closed_comes_back_to_the_new_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "BEAT_S", 0.01)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await greet(reader, writer, "old" if number == 1 else "new")
        for _ in range(3 if number == 1 else 1000):
            writer.write(sent(frames.TEXT, said(await reader.read(200))))
        writer.write(sent(frames.CLOSE, b"\x03\xf4"))

    seen = played(serve, lambda clients: clients.figures.open["new"] == 1)

    assert (seen["opened"], seen["closed"], seen["open"]) == ({"old": 1, "new": 1}, {"1012": 1}, {"new": 1})
    assert (seen["refused"], seen["mute"]) == ({}, 0)


def test_a_socket_that_ends_without_a_word_is_told_apart() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await greet(reader, writer, "old")
        if number > 1:
            await reader.read()

    seen = played(serve, lambda clients: clients.figures.opened["old"] == 2)

    assert seen["closed"] == {"1006": 1}


def test_an_attempt_that_is_refused_is_counted_and_repeated() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 1:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            return
        await greet(reader, writer, "old")
        await reader.read()

    seen = played(serve, lambda clients: clients.figures.open["old"] == 1)

    assert (seen["refused"], seen["opened"]) == ({"status 503": 1}, {"old": 1})


def test_a_text_that_does_not_come_back_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "PATIENCE_S", 0.2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int) -> None:
        await greet(reader, writer, "old")
        await reader.read()

    seen = played(serve, lambda clients: clients.figures.mute > 0)

    assert seen["echoes"] == 0
