# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading options: each refusal names the option, its value and what is accepted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption

_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
# What http.client would refuse in a request line, and what would end it.
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]|[^\x00-\x7f]")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
_UNITS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def number(option: str, value: float, *, least: float, unit: str = "seconds ") -> float:
    """Return a finite number that is not below the least."""
    if not math.isfinite(value) or value < least:
        raise InvalidOption(option, value, f"{least:g} {unit}or more")
    return value


def share(option: str, value: float) -> float:
    """Return a number between 0 and 1, both excluded."""
    if not 0.0 < value < 1.0:
        raise InvalidOption(option, value, "a number between 0 and 1")
    return value


def whole(option: str, value: int, *, least: int) -> int:
    """Return a whole number that is not below the least."""
    if value < least:
        raise InvalidOption(option, value, f"{least} or more")
    return value


def duration(option: str, value: object) -> float:
    """Return seconds: a number, or a number with s, m, h or d."""
    match = _DURATION.fullmatch(str(value).strip())
    if isinstance(value, bool) or match is None:
        raise InvalidOption(option, value, "seconds, or a number with s, m, h or d, such as 30m")
    return float(match.group(1)) * _UNITS[match.group(2)]


def filled(option: str, value: str | None) -> str | None:
    """Return a text that is not empty, or None."""
    # An empty value is a variable that was not set, and would switch the check off.
    if value is not None and not value.strip():
        raise InvalidOption(option, value, "a value that is not empty, or no such option")
    return value


def needed(path: str, params: Mapping[str, Any], option: str) -> Any:
    """Return the value of an option that this kind of check can't do without."""
    value = params.get(option)
    if value is None or value in ("", []):
        raise InvalidOption(f"{path}.{option}", value, f"a value: a check of kind {params['kind']} needs it")
    return value


def pattern(option: str, value: str) -> re.Pattern[str]:
    """Return a regular expression."""
    filled(option, value)
    try:
        return re.compile(value)
    except re.error as error:
        raise InvalidOption(option, value, f"a regular expression ({error})") from error


def words(option: str, value: Sequence[str]) -> tuple[str, ...]:
    """Return a command as a list of arguments."""
    if not value or not value[0].strip():
        raise InvalidOption(option, list(value), "a list of a program and its arguments")
    return tuple(value)


def port(option: str, value: int | None, default: int) -> int:
    """Return a port."""
    if value is not None and not 1 <= value <= 65535:
        raise InvalidOption(option, value, "a number from 1 to 65535")
    return value or default


def host(option: str, value: str | None) -> str | None:
    """Return a host name, with its port if need be."""
    if value is not None and not _HOST.fullmatch(value):
        raise InvalidOption(option, value, "a host name, with :port if need be")
    return value


def url(option: str, text: str, schemes: Mapping[str, int]) -> SplitResult:
    """Return an address of one of these schemes."""
    accepted = f"an {' or '.join(f'{scheme}://' for scheme in schemes)} URL with a host"
    try:
        parts = urlsplit(text)
        number_of_port = parts.port
    except ValueError as error:
        raise InvalidOption(option, text, f"{accepted} ({error})") from error
    if parts.username is not None or parts.password is not None:
        # The value is not repeated: it holds a password.
        raise InvalidOption(option, "…@…", "a URL without user and password: give them in secret_headers")
    if parts.scheme not in schemes or not parts.hostname or number_of_port == 0:
        raise InvalidOption(option, text, accepted)
    if _NOT_IN_URL.search(text):
        raise InvalidOption(option, text, f"{accepted}, quoted: no spaces, control or non-ASCII characters")
    return parts


def printable(text: str, longest: int = 80) -> str:
    """Make what another machine has sent harmless for terminals and logs, and short."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= longest else f"{clean[:longest]}…"
