# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pool is live, as HAProxy and nginx are told it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from ansible_collections.slipway.django.plugins.module_utils._balancer._flags import Flags
from ansible_collections.slipway.django.plugins.module_utils._balancer._haproxy import Send, parse_level
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, BalancerError
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx import Processes
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_include import (
    Reload,
    UpstreamFile,
    old_workers_in_words,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import require_replaceable
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._files import write_atomic


class HaproxySwitch:
    """A key of a map, as ``use_backend %[str(shop),map(FILE)]`` looks it up: in memory, and in its file for later."""

    def __init__(self, sends: Sequence[Send], path: str, key: str) -> None:
        self._sends = list(sends)
        self._path = path
        self._key = key

    def require_rights(self) -> None:
        for send in self._sends:
            level = parse_level(send("show cli level"))
            if level != "admin":
                raise Refused(
                    f"This socket of HAProxy gives the level '{level}', and a map needs 'admin'",
                    untouched="Nothing was changed",
                    remedy="Use the socket that HAProxy's configuration gives 'level admin'",
                    facts={"level": level},
                )
        require_replaceable("file", self._path)

    def live(self) -> str:
        values = {self._value(send) for send in self._sends}
        if len(values) > 1:
            raise BalancerError(
                f"The processes of HAProxy do not agree about {self._key}: {', '.join(sorted(values))}",
                remedy=f"Let all of them read {self._path} (reload HAProxy)",
            )
        return values.pop()

    def settled(self) -> bool:
        try:
            with open(self._path, encoding="utf-8") as stream:
                return f"{self._key} {self.live()}" in {" ".join(line.split()) for line in stream}
        except FileNotFoundError:
            return False

    def _value(self, send: Send) -> str:
        answer = send(f"show map {self._path}")
        entries = [line.split() for line in answer.splitlines() if line.startswith("0x")]
        found = [words[2] for words in entries if len(words) == 3 and words[1] == self._key]
        if not found:
            raise InvalidOption(
                "name",
                self._key,
                f"a key of HAProxy's map {self._path}: "
                + (", ".join(sorted(words[1] for words in entries)) or answer.strip()[:200] or "it is empty"),
                remedy="Put it there before HAProxy starts, and let use_backend look it up",
            )
        return found[-1]

    def set_live(self, pool: str) -> None:
        for send in self._sends:
            command = f"set map {self._path} {self._key} {pool}"
            answer = send(command).strip()
            if answer:
                raise BalancerError(
                    f"HAProxy answered '{command}' with: {answer}",
                    untouched="This order was not carried out",
                    remedy="See the name of the file as HAProxy's configuration has it, and the level of the socket",
                    facts={"command": command, "answer": answer},
                )
        self._write(pool)

    def _write(self, pool: str) -> None:
        try:
            with open(self._path, encoding="utf-8") as stream:
                lines = stream.read().splitlines()
            mine = [line for line in lines if line.split()[:1] != [self._key]]
            write_atomic(self._path, ("\n".join([*mine, f"{self._key} {pool}"]) + "\n").encode(), mode=0o644)
        except OSError as error:
            raise BalancerError(
                f"{self._path} could not be written: {error}",
                untouched="HAProxy would begin with what it held before",
                remedy="See the disk space and the rights of its directory",
                facts={"file": self._path},
            ) from error

    def pending(self) -> str:
        """A map is looked up for each request."""
        return ""


class FlagSwitch:
    """A file that has nginx choose the second set. It is not there: the first one is live."""

    def __init__(self, directory: str, name: str, sets: Mapping[str, str], processes: Processes) -> None:
        self._directory = directory
        self._flags = Flags(os.path.join(directory, f"{name}.live"))
        self._processes = processes
        (_first, self._first), (self._second_name, self._second) = sets.items()

    def require_rights(self) -> None:
        Flags(self._directory).require_writable()
        if os.path.isdir(self._flags.directory):
            self._flags.require_writable()
        self._processes.master()

    def live(self) -> str:
        return self._first if self._flags.told(self._second_name) is Admin.READY else self._second

    def settled(self) -> bool:
        """A file is there or it is not."""
        return True

    def set_live(self, pool: str) -> None:
        self._flags.ensure()
        self._flags.tell(self._second_name, Admin.READY if pool == self._first else Admin.MAINT)

    def pending(self) -> str:
        """A file is looked for with each request."""
        return ""


class IncludeSwitch:
    """The default of a ``map`` of nginx, in a file of its own, and a reload."""

    def __init__(self, file: UpstreamFile, variable: str, processes: Processes, reload: Reload) -> None:
        self._file = file
        self._variable = variable
        self._processes = processes
        self._reload = reload
        self._pattern = re.compile(rf"(map\s+\S+\s+\${re.escape(variable)}\s*\{{[^}}]*?\bdefault\s+)([^\s;]+)(\s*;)")

    def require_rights(self) -> None:
        require_replaceable("file", self._file.path)
        self._processes.master()
        self._reload.test()

    def live(self) -> str:
        return self._find(self._read())[2]

    def settled(self) -> bool:
        # A run before this one may have written it and not have come to the reload.
        return self._file.in_effect(self._read())

    def set_live(self, pool: str) -> None:
        text = self._read()
        self._find(text)
        self._file.replace(text, self._pattern.sub(rf"\g<1>{pool}\g<3>", text))

    def pending(self) -> str:
        old = [worker.pid for worker in self._processes.workers(self._processes.master()) if worker.old]
        return old_workers_in_words(old) if old else ""

    def _find(self, text: str) -> re.Match[str]:
        found = self._pattern.search(text)
        if found is None:
            raise InvalidOption(
                "name",
                self._variable,
                f"the variable of a map in {self._file.path}",
                remedy=f"Write there: map $host ${self._variable} {{ default POOL; }}",
            )
        return found

    def _read(self) -> str:
        try:
            with open(self._file.path, encoding="utf-8") as stream:
                return stream.read()
        except OSError as error:
            raise Refused(
                f"{self._file.path} can't be read: {error.strerror}",
                untouched="Nothing was changed",
                remedy="Name the file with nginx's map, and let the user that runs this task read it",
                facts={"file": self._file.path},
            ) from error
