# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shopload import response
from shopload.response import MalformedError, Response, ResponseParser

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(lambda name: f"x-{name}")
VALUE = st.text("abcdefghijklmnopqrstuvwxyz 0123456789;=/", max_size=20).map(str.strip)


def feed_all(data: bytes, cuts: list[int]) -> tuple[ResponseParser, Response | None, int]:
    """Feed the data in pieces; return the parser, the answer, and how many bytes had been fed by then."""
    parser = ResponseParser()
    edges = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    for begin, end in zip(edges, edges[1:]):
        answer = parser.feed(data[begin:end])
        if answer is not None:
            return parser, answer, end
    return parser, None, len(data)


def encode(status: int, headers: dict[str, str], body: bytes, chunks: list[int] | None) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    if chunks is None:
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
    pieces, position = [], 0
    for size in [*chunks, len(body)]:
        piece = body[position : position + size]
        position += len(piece)
        if piece:
            pieces.append(f"{len(piece):x};ext=1\r\n".encode() + piece + b"\r\n")
    end = b"0\r\nX-Trailer: 1\r\n\r\n"
    return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode() + b"".join(pieces) + end


@given(
    status=st.integers(200, 599).filter(lambda status: status not in {204, 304}),
    headers=st.dictionaries(TOKEN, VALUE, max_size=4),
    body=st.binary(max_size=300),
    chunks=st.none() | st.lists(st.integers(1, 60), max_size=6),
    cuts=st.lists(st.integers(1, 700), max_size=12),
    early=st.booleans(),
)
def test_an_answer_is_read_the_same_in_whatever_pieces_it_comes(
    status: int, headers: dict[str, str], body: bytes, chunks: list[int] | None, cuts: list[int], early: bool
) -> None:
    data = (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" if early else b"") + encode(status, headers, body, chunks)

    parser, answer, fed = feed_all(data, cuts)

    assert answer is not None
    assert fed == len(data)
    assert parser.begun
    assert (answer.status, answer.body, answer.keep) == (status, body, True)
    assert {name: answer.headers[name] for name in headers} == headers


@given(
    body=st.binary(min_size=1, max_size=200),
    chunks=st.none() | st.lists(st.integers(1, 60), max_size=4),
    share=st.floats(0, 1, exclude_max=True),
)
def test_no_part_of_an_answer_is_taken_for_the_whole(body: bytes, chunks: list[int] | None, share: float) -> None:
    data = encode(200, {}, body, chunks)
    part = data[: int(len(data) * share)]

    parser, answer, _fed = feed_all(part, [])

    assert answer is None
    assert parser.end() is None
    assert parser.begun is bool(part)


@given(st.binary(max_size=400))
def test_garbage_is_an_answer_a_refusal_or_not_yet_anything(data: bytes) -> None:
    try:
        _parser, answer, _fed = feed_all(data, [])
    except MalformedError:
        return
    assert answer is None or data.startswith(b"HTTP/1.")


def test_without_a_length_the_connections_end_makes_the_answer_whole() -> None:
    parser = ResponseParser()

    assert parser.feed(b"HTTP/1.0 200 OK\r\n\r\nabc") is None
    answer = parser.end()

    assert answer == Response(200, {}, (), b"abc", keep=False)


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo, Close", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0", False),
        (b"HTTP/1.1 204 No Content", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12", True),
    ],
)
def test_a_connection_is_kept_when_the_answer_allows_it(head: bytes, keep: bool) -> None:
    answer = ResponseParser().feed(head + b"\r\n\r\n")

    assert answer is not None
    assert answer.keep is keep


def test_bytes_behind_an_answer_make_its_connection_useless() -> None:
    answer = ResponseParser().feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 408 Request Timeout\r\n\r\n")

    assert answer is not None
    assert answer.body == b"x"
    assert not answer.keep


def test_all_cookies_are_kept() -> None:
    answer = ResponseParser().feed(b"HTTP/1.1 204 x\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\r\n")

    assert answer is not None
    assert answer.cookies == ("a=1; Path=/", "b=2")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not a status line"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "not a header"),
        (b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n", "not a header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length is '-1'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", "a chunk's size is"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "a chunk's size is"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "a chunk does not end with its line"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * response.MAX_HEAD, "the head is longer"),
    ],
)
def test_what_is_no_answer_is_named(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        ResponseParser().feed(data)
