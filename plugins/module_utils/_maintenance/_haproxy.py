# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch in HAProxy: a map that is read at its start and told over the runtime API, so that nothing is reloaded."""

from __future__ import annotations

import os

from ansible_collections.slipway.django.plugins.module_utils._balancer._haproxy import Send, parse_level
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import BalancerError
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import write_atomic

MAP = "switch.map"
_KEY = "maintenance"
_LINES = {True: f"{_KEY} on\n", False: f"{_KEY} off\n"}


class HaproxySwitch:
    """A :class:`Driver` over the runtime API and the map's file."""

    def __init__(self, directory: str, send: Send) -> None:
        self._path = os.path.join(directory, MAP)
        self._send = send

    def require_prepared(self) -> None:
        level = parse_level(self._send("show cli level"))
        if level != "admin":
            raise Refused(
                f"This socket of HAProxy gives the level '{level}', and telling a map needs 'admin'",
                untouched="Nothing was changed",
                remedy="Use the socket that HAProxy's configuration gives 'level admin'",
                facts={"level": level},
            )
        maps = self._send("show map")
        # A line of the answer: "0 (/path) pattern loaded from file '/path' used by map at …".
        if f"({self._path})" not in maps:
            raise Refused(
                f"This HAProxy does not look at {self._path}",
                untouched="Nothing was changed",
                remedy="Prepare the balancer (playbook provision, or the lines of role maintenance in its frontend)",
                facts={"maps": [line for line in maps.splitlines() if line and not line.startswith("#")]},
            )

    def kept(self) -> bool | None:
        try:
            with open(self._path, encoding="utf-8") as stream:
                text = stream.read()
        except OSError as error:
            raise SlipwayError(
                f"{self._path} can't be read: {error}",
                untouched="Nothing was changed",
                remedy="HAProxy would not start without it: prepare the balancer once more (playbook provision)",
                facts={"path": self._path},
            ) from error
        return next((closed for closed, line in _LINES.items() if line == text), None)

    def switch(self, closed: bool) -> None:
        # The file first: a process that is born in between reads it, and the order then finds it done.
        try:
            write_atomic(self._path, _LINES[closed].encode(), mode=0o644)
        except OSError as error:
            raise SlipwayError(
                f"{self._path} could not be written: {error}",
                remedy="See the disk space and the rights of its directory",
            ) from error
        command = f"set map {self._path} {_LINES[closed].strip()}"
        answer = self._send(command).strip()
        if answer:
            raise BalancerError(
                f"HAProxy answered '{command}' with: {answer}",
                remedy="See the level of the socket, and that the map has one line",
                facts={"command": command, "answer": answer},
            )
