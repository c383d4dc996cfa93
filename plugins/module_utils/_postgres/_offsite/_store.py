# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where copies lie, as far as the work needs to know: objects with a name, a content and a few words about it."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError

Told = Callable[[int], None]
_BLOCK = 1 << 20


class StorageFailed(SlipwayError):
    """The storage did not do what it was asked for."""


class NotThere(StorageFailed):
    """There is no such object."""


@dataclass(frozen=True)
class Content:
    """What an object must hold.

    :param checksum: what an S3 storage computes for it: SHA-256 (base64) of the content, or of its parts' digests.
    """

    bytes: int
    sha256: str
    checksum: str


@dataclass(frozen=True)
class Head:
    """What the storage says about an object. ``checksum`` is None where the storage keeps none."""

    bytes: int
    checksum: str | None
    words: Mapping[str, str]


class Store(Protocol):
    """Objects below one prefix. Every method raises StorageFailed when the storage fails."""

    def in_words(self, name: str = "") -> str:
        """Where an object is, for people."""

    def part_size(self, size: int) -> int:
        """The size of the parts in which a file of this size is sent; at least the size when it is sent whole."""

    def names(self, below: str = "") -> list[str]:
        """The names of all objects that begin so."""

    def head(self, name: str) -> Head | None:
        """What is known about an object, or None when there is none."""

    def send(self, name: str, path: str, words: Mapping[str, str], told: Told) -> None:
        """Store a file; ``told`` is called with the bytes of each step."""

    def fetch(self, name: str, path: str, told: Told) -> None:
        """Write an object to a new file."""

    def write(self, name: str, data: bytes) -> None:
        """Store a small object."""

    def read(self, name: str) -> bytes:
        """Return a small object."""

    def digest(self, name: str) -> str:
        """Read an object to its end and return the SHA-256 of its content, in hexadecimal."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are gone are no error."""

    def end_interrupted(self, below: str) -> list[str]:
        """Let go of what interrupted uploads have left; returns warnings."""


def content_of(path: str, part_size: int) -> Content:
    """Read a file once and return what its object must hold."""
    whole = hashlib.sha256()
    parts: list[bytes] = []
    size = 0
    with open(path, "rb") as stream:
        in_parts = os.fstat(stream.fileno()).st_size > part_size
        while True:
            part = hashlib.sha256()
            length = _read_part(stream, part_size, (whole, part) if in_parts else (whole,))
            if not length:
                break
            parts.append(part.digest())
            size += length
    checksum = hashlib.sha256(b"".join(parts)).digest() if in_parts else whole.digest()
    return Content(size, whole.hexdigest(), base64.b64encode(checksum).decode())


def _read_part(stream: IO[bytes], part_size: int, digests: Iterable[hashlib._Hash]) -> int:
    length = 0
    while length < part_size:
        block = stream.read(min(_BLOCK, part_size - length))
        if not block:
            break
        for digest in digests:
            digest.update(block)
        length += len(block)
    return length
