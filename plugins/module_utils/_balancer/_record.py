# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who was taken out of which pool, since when, and for whom: what no balancer keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import require_replaceable
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import read_json, write_json

_VERSION = 1


@dataclass(frozen=True)
class Out:
    """One server that was taken out."""

    admin: Admin
    # UTC, as 2026-11-22T04:05:06Z.
    since: str
    owner: str = ""

    def as_dict(self) -> dict[str, object]:
        """The values for the file and for results."""
        return {"state": self.admin.value, "since": self.since, "owner": self.owner}

    def __str__(self) -> str:
        return f"out since {self.since}" + (f" for {self.owner}" if self.owner else "")


def moment(now: datetime) -> str:
    """Return a time of day (UTC) as records have it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


class Record:
    """The file. Whoever changes it holds the lock of the balancer. Without a path nothing is remembered."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def require_writable(self) -> None:
        """Return when the file could be replaced.

        :raises Refused: it could not.
        """
        if self._path is not None:
            require_replaceable("record_file", self._path)

    def out(self, pool: str) -> dict[str, Out]:
        """Return the servers of this pool that are remembered as out.

        :raises SlipwayError: the file is there and is no record.
        """
        return dict(self._read().get(pool, {}))

    def put(self, pool: str, entries: Mapping[str, Out | None]) -> None:
        """Remember these servers as out, or forget them (None). Writes nothing when it is known already.

        :raises SlipwayError: it could not be written.
        """
        if self._path is None:
            return
        pools = self._read()
        mine = pools.get(pool, {})
        kept = {name: entry for name, entry in mine.items() if name not in entries}
        new = {**kept, **{name: entry for name, entry in entries.items() if entry is not None}}
        if new != mine:
            self._write(self._path, {**pools, pool: new})

    def _read(self) -> dict[str, dict[str, Out]]:
        document = None if self._path is None else read_json(self._path)
        if document is None:
            return {}
        try:
            return {
                pool: {name: _entry(entry) for name, entry in servers.items()}
                for pool, servers in document["pools"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SlipwayError(
                f"{self._path} is no record of servers that are out ({type(error).__name__}: {error})",
                untouched="It was left as it is",
                remedy="Look at the file; move it away if it is of no use",
                facts={"record_file": self._path},
            ) from error

    @staticmethod
    def _write(path: str, pools: Mapping[str, Mapping[str, Out]]) -> None:
        document = {
            "version": _VERSION,
            "pools": {
                pool: {name: entry.as_dict() for name, entry in servers.items()}
                for pool, servers in pools.items()
                if servers
            },
        }
        try:
            write_json(path, document, mode=0o644)
        except OSError as error:
            raise SlipwayError(
                f"The record {path} could not be written: {error}",
                untouched="It holds what it held before",
                remedy="See the disk space and the rights of its directory",
                facts={"record_file": path},
            ) from error


def _entry(values: Mapping[str, Any]) -> Out:
    return Out(Admin(values["state"]), str(values["since"]), str(values.get("owner", "")))
