# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the web service closes an idle connection before the balancer does: then a request meets a closed one.

HAProxy keeps the connection to a server as long as the client that uses it may be idle (`timeout http-keep-alive`, in
its absence `timeout http-request`, then `timeout client`: configuration manual, 4.2), so the server must wait longer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, judged

_TIMEOUT = re.compile(
    r"timeout\s+(?P<name>http-keep-alive|http-request|client)\s+(?P<number>\d+)(?P<unit>us|ms|s|m|h|d)?\Z"
)
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SECTION = re.compile(r"(global|defaults|frontend|backend|listen)\b")
_CHAIN = ("http-keep-alive", "http-request", "client")
_CHECK = "keep-alive"
# uvicorn's settings page, --timeout-keep-alive.
_UVICORN_S = 5.0


def idle_s(configuration: str) -> float | None:
    """The longest time for which HAProxy keeps an idle connection, None when nothing bounds it.

    Of several sections the longest counts: which of them serves the site is not known here.

    :raises SlipwayError: a timeout has a form that is not known.
    """
    defaults: dict[str, float] = {}
    current: dict[str, float] = defaults
    proxies: list[dict[str, float]] = []
    for line in (raw.split("#")[0].strip() for raw in configuration.splitlines()):
        section = _SECTION.match(line)
        if section:
            current = {} if section[1] == "defaults" else dict(defaults)
            if section[1] == "defaults":
                defaults = current
            elif section[1] in ("frontend", "listen"):
                proxies.append(current)
        elif line.split()[:1] == ["timeout"] and line.split()[1:2] in [[name] for name in _CHAIN]:
            current.update([_timeout(line)])
    found = [next((proxy[name] for name in _CHAIN if name in proxy), None) for proxy in proxies]
    known = [each for each in found if each is not None]
    return max(known) if known and len(known) == len(found) else None


def idle_of(path: str) -> tuple[float | None, list[Row]]:
    """The same of a file, and a row when it can't be read; nothing of an empty path."""
    if not path:
        return None, []
    try:
        with open(path, encoding="utf-8") as stream:
            return idle_s(stream.read()), []
    except (OSError, SlipwayError) as error:
        said = error.seen if isinstance(error, SlipwayError) else str(error)
        return None, [Row("B5", "balancer's timeouts", Mark.UNKNOWN, said, f"{path} can be read")]


def _timeout(line: str) -> tuple[str, float]:
    found = _TIMEOUT.match(line)
    if found is None:
        raise SlipwayError(f"HAProxy's configuration has the line {line!r}, which is not understood")
    return found["name"], int(found["number"]) * _UNITS_S[found["unit"] or "ms"]


def program_of(argv: Sequence[str]) -> str:
    """The web server that a command starts: C(gunicorn), C(uvicorn), or the program's name."""
    return os.path.basename(argv[0]) if argv else ""


def exec_start(shown: str) -> list[str]:
    """The command of a unit from C(systemctl show -p ExecStart): C({ path=… ; argv[]=a b c ; … }).

    :raises SlipwayError: it is something else.
    """
    found = re.search(r"argv\[\]=(?P<argv>.*?) ; ", shown)
    if found is None:
        raise SlipwayError("systemctl show gave no ExecStart of the web unit")
    return found["argv"].split()


def option_value(argv: Sequence[str], option: str) -> str | None:
    """The value of a long option, in either of its two forms."""
    for index, word in enumerate(argv):
        if word == option and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def keep_alive_row(server: str, kept_s: float | None, balancer_s: float | None) -> Row:
    """Compare the two.

    :param kept_s: seconds for which the web server keeps an idle connection; None when its program is not known.
    :param balancer_s: the same of the balancer; None when nobody has told.
    """
    expected = "the web server keeps idle connections longer than the balancer"
    if kept_s is None:
        return Row("B5", _CHECK, Mark.NOT_ASKED, f"{server or 'the web server'} is not known to this check", expected)
    if balancer_s is None:
        return Row("B5", _CHECK, Mark.NOT_ASKED, f"{server} {kept_s:g} s; the balancer's is not known", expected)
    return judged("B5", _CHECK, kept_s > balancer_s, f"{server} {kept_s:g} s, balancer {balancer_s:g} s", expected)


def uvicorn_s(argv: Sequence[str]) -> float:
    """What uvicorn keeps, by its own command.

    :raises SlipwayError: the value is no number.
    """
    given = option_value(argv, "--timeout-keep-alive")
    try:
        return _UVICORN_S if given is None else float(given)
    except ValueError as error:
        raise SlipwayError(f"--timeout-keep-alive {given!r} of the web unit is no number") from error


def static_rows(releases: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    """Judge whether the merged static root has the files of each release.

    :param releases: by release, files that are missing or differ there, and files in all.
    """
    for name, (missing, count) in releases.items():
        seen = f"{missing} of {count} are not" if missing else f"all {count} are"
        yield judged("B2", f"static files of {name}", missing == 0, seen, "each is in the merged static root")
