# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading an HTTP/1.1 answer from bytes, in whatever pieces they come. No input or output here."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024


class MalformedError(Exception):
    """What came is not an HTTP answer."""


@dataclass(frozen=True)
class Response:
    """A whole answer. Header names are in lower case; ``cookies`` are the Set-Cookie lines."""

    status: int
    headers: dict[str, str]
    cookies: tuple[str, ...]
    body: bytes
    keep: bool


@dataclass(frozen=True)
class Head:
    """An answer's first lines. ``length`` is None when chunked or ended by the connection's end."""

    status: int
    headers: dict[str, str]
    cookies: tuple[str, ...]
    length: int | None
    chunked: bool
    keep: bool


class ResponseParser:
    """Takes bytes until one answer is whole.

    ``begun`` tells whether any byte of an answer was there: what ends after that is cut.
    """

    def __init__(self) -> None:
        self.begun = False
        self._buffer = bytearray()
        self._body = bytearray()
        self._head: Head | None = None
        self._chunk_left: int | None = None
        self._in_trailers = False

    def feed(self, data: bytes) -> Response | None:
        """Take some bytes; return the answer when it is whole.

        :raises MalformedError: these bytes are no answer.
        """
        self.begun = self.begun or bool(data)
        self._buffer += data
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        done = self._read_chunks() if self._head.chunked else self._read_plain(self._head.length)
        if len(self._body) > MAX_BODY:
            raise MalformedError(f"the body is longer than {MAX_BODY} bytes")
        return self._finished(self._head) if done else None

    def end(self) -> Response | None:
        """Tell that the connection has ended; return the answer when that made it whole."""
        head = self._head
        if head is None or head.chunked or head.length is not None:
            return None
        return self._finished(head)

    def _finished(self, head: Head) -> Response:
        # Bytes behind an answer that nobody asked for: the connection can't be trusted any more.
        keep = head.keep and not self._buffer
        return Response(head.status, head.headers, head.cookies, bytes(self._body), keep)

    def _read_head(self) -> bool:
        while self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD:
                    raise MalformedError(f"the head is longer than {MAX_HEAD} bytes")
                return False
            head = parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if head.status >= 200:  # 1xx only announces the answer
                self._head = head
        return True

    def _read_plain(self, length: int | None) -> bool:
        wanted = len(self._buffer) if length is None else length - len(self._body)
        self._body += self._buffer[:wanted]
        del self._buffer[:wanted]
        return length is not None and len(self._body) == length

    def _read_chunks(self) -> bool:
        while len(self._body) <= MAX_BODY:
            if self._chunk_left is None:
                line = self._take_line()
                if line is None:
                    return False
                if self._in_trailers:
                    if not line:
                        return True
                    continue
                size = parse_hex(line.partition(b";")[0].strip())
                self._in_trailers = size == 0
                self._chunk_left = size or None
                continue
            if not self._take_chunk(self._chunk_left):
                return False
        return False

    def _take_chunk(self, left: int) -> bool:
        """Take what is there of the chunk; with its last byte also the line's end behind it."""
        if left > 0:
            piece = self._buffer[:left]
            self._body += piece
            del self._buffer[: len(piece)]
            self._chunk_left = left = left - len(piece)
        if left or len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise MalformedError("a chunk does not end with its line")
        del self._buffer[:2]
        self._chunk_left = None
        return True

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise MalformedError("a line of a chunked body has no end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def parse_hex(text: bytes) -> int:
    """Read a chunk's size: hexadecimal digits and nothing else."""
    if not text or len(text) > 8 or text.strip(b"0123456789abcdefABCDEF"):
        raise MalformedError(f"a chunk's size is {text[:40]!r}")
    return int(text, 16)


def parse_head(data: bytes) -> Head:
    """Read the status line and the headers."""
    first, *lines = data.split(b"\r\n")
    version, status = parse_status_line(first)
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for line in lines:
        raw_name, colon, raw_value = line.partition(b":")
        if not colon or not raw_name or raw_name != raw_name.strip():
            raise MalformedError(f"not a header: {line[:80]!r}")
        name, value = raw_name.decode("latin-1").lower(), raw_value.strip().decode("latin-1")
        if name == "set-cookie":
            cookies.append(value)
        headers[name] = value
    connection = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    length = None if chunked else body_length(status, headers)
    keep = version == b"HTTP/1.1" and "close" not in connection and (chunked or length is not None)
    return Head(status, headers, tuple(cookies), length, chunked, keep)


def parse_status_line(line: bytes) -> tuple[bytes, int]:
    """Read ``HTTP/1.1 200 OK``."""
    version, _, rest = line.partition(b" ")
    code = rest.partition(b" ")[0]
    if version not in {b"HTTP/1.0", b"HTTP/1.1"} or len(code) != 3 or not code.isdigit():
        raise MalformedError(f"not a status line: {line[:80]!r}")
    return version, int(code)


def body_length(status: int, headers: dict[str, str]) -> int | None:
    """Return how long a body is; None when only the connection's end tells."""
    if status in {204, 304}:
        return 0
    text = headers.get("content-length")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise MalformedError(f"Content-Length is {text[:40]!r}")
    return int(text)
