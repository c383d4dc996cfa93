# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release's environment file: one text that systemd and we read the same way.

The grammar is the part of systemd's C(EnvironmentFile=) (systemd.exec(5)) in which nothing is left to taste:
one C(NAME="value") a line, in the value a backslash before each of C(" \\ ` $), comments and empty lines.
Outside of that part systemd, shells and libraries differ (quotes in the middle, line continuation), so
nothing else is written and nothing else is read: an unknown line is an error, not a variable less.

Values are secrets. No message here ever holds one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import write_atomic
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout, ReleasePaths

# Given to each release by us or by its unit: a value from elsewhere would make the release lie about itself.
RESERVED = ("SLIPWAY_MEDIA_ROOT", "SLIPWAY_PORT", "SLIPWAY_RELEASE", "SLIPWAY_SLOT", "SLIPWAY_STATIC_ROOT")

_HEADER = "# Written by slipway.django when this release was built. A change here is refused: stage the release anew.\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LINE = re.compile(r'(?P<name>[A-Za-z_][A-Za-z0-9_]*)="(?P<value>(?:[^"\\`$]|\\["\\`$])*)"\Z')
_NEEDS_ESCAPE = re.compile(r'["\\`$]')
_ESCAPED = re.compile(r"\\(.)")
# What systemd refuses as "not valid UTF-8" though Python encodes it: noncharacters (unicode_is_valid in utf8.c).
_NONCHARACTER = re.compile(
    "[\ufdd0-\ufdef" + "".join(chr((plane << 16) | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)) + "]"
)


def checked_environment(option: str, values: Mapping[str, object]) -> dict[str, str]:
    """Return the variables as strings.

    :raises InvalidOption: a name or a value that can't be handed over as it is; the value is not shown.
    """
    return {
        _checked_variable(option, name): _checked_value(f"{option}.{name}", value) for name, value in values.items()
    }


def checked_release_environment(values: Mapping[str, object]) -> dict[str, str]:
    """:func:`checked_environment` of the option C(environment), without the names that are ours."""
    for name in RESERVED:
        if name in values:
            raise InvalidOption(
                "environment", name, f"no variable of the names {', '.join(RESERVED)}: they are set for each release"
            )
    return checked_environment("environment", values)


def _checked_variable(option: str, name: str) -> str:
    if not _NAME.match(name):
        raise InvalidOption(option, name, "names of ASCII letters, digits and underscores that begin with no digit")
    return name


def _checked_value(option: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidOption(
            option,
            f"a value of type {type(value).__name__}",
            "text or a whole number",
            remedy="Put quotes around it, so that what the site reads is what the inventory says",
        )
    text = str(value)
    flaw = _flaw(text)
    if flaw:
        raise InvalidOption(
            option,
            f"a value with {flaw}",
            "text of one line",
            remedy="Encode it (base64) or name a file" if "line" in flaw else "",
        )
    return text


def _flaw(text: str) -> str | None:
    if "\n" in text or "\r" in text:
        return "a line break"
    if "\0" in text:
        return "a NUL character"
    if _NONCHARACTER.search(text) or any("\ud800" <= character <= "\udfff" for character in text):
        return "a code point that is no character"
    return None


def handed_over(layout: Layout, paths: ReleasePaths) -> dict[str, str]:
    """The variables that each release gets beside those of the user. Slot and port come from the unit."""
    return {
        "SLIPWAY_RELEASE": paths.name,
        "SLIPWAY_STATIC_ROOT": paths.static,
        "SLIPWAY_MEDIA_ROOT": layout.media,
    }


def render(values: Mapping[str, str]) -> str:
    """Return the text of an environment file. Sorted, so that equal variables make equal files."""
    lines = [f'{name}="{_NEEDS_ESCAPE.sub(_escape, values[name])}"\n' for name in sorted(values)]
    return _HEADER + "".join(lines)


def _escape(match: re.Match[str]) -> str:
    return "\\" + match.group()


def parse(text: str, *, origin: str = "the environment file") -> dict[str, str]:
    """Return the variables of a text that :func:`render` wrote.

    :param origin: what the text is, for messages.
    :raises SlipwayError: a line of another form. Its number is said, never its content.
    """
    values: dict[str, str] = {}
    # Not splitlines(): it also splits at form feeds and other separators that belong to a value.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None or match["name"] in values:
            what = 'is not NAME="value"' if match is None else "gives a name for the second time"
            raise SlipwayError(
                f"{origin}: line {number} {what}",
                untouched="The file was left as it is",
                remedy="It was changed by hand: build the release anew, with the change in the environment option",
                facts={"origin": origin, "line": number},
            )
        values[match["name"]] = _ESCAPED.sub(r"\1", match["value"])
    return values


def write_environment(path: str, values: Mapping[str, str]) -> None:
    """Write the file, readable by its owner alone from its first byte."""
    write_atomic(path, render(values).encode("utf-8"), mode=0o600)


def read_environment(path: str) -> dict[str, str]:
    """Return the variables of a release's environment file.

    :raises SlipwayError: it is absent, or not as we write it.
    """
    try:
        with open(path, encoding="utf-8", newline="\n") as stream:
            return parse(stream.read(), origin=path)
    except FileNotFoundError as error:
        raise SlipwayError(f"{path} does not exist", remedy="Build the release anew", facts={"path": path}) from error
    except UnicodeDecodeError as error:
        raise SlipwayError(f"{path} is not UTF-8", remedy="Build the release anew", facts={"path": path}) from error
