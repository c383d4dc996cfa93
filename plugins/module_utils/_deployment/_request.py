# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the module, checked before anything is read or written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment._journal import ID
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused

_SITE = re.compile(r"[a-z][a-z0-9_]{0,30}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TOKEN = re.compile(r"[1-9][0-9]{0,17}")
_LONGEST_LIMIT = 24 * 3600
_SKIPPED = "--limit, --tags, --skip-tags and --start-at-task skip that play; so does a play that failed before it"


def clean(value: Any) -> Any:
    """Return the value as a JSON file gives it back: text keys, no lone surrogates, no infinities."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else clean(str(value))


def one_line(text: str, longest: int = 200) -> str:
    """Make free text fit for a message: one line, bounded."""
    flat = " ".join(str(clean(text)).split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


@dataclass(frozen=True)
class OpenRequest:
    """A deployment that wants to begin."""

    site: str
    kind: str
    version: str
    commit: str
    release: str
    hosts: tuple[str, ...]
    actor: str
    controller: str
    reason: str
    limit_s: int
    takeover: str | None


@dataclass(frozen=True)
class Claim:
    """A step of a run that says which deployment it is."""

    id: str
    token: int


def _matching(option: str, value: str | None, pattern: re.Pattern[str], accepted: str) -> str:
    if value is None or not pattern.fullmatch(value):
        raise InvalidOption(option, value, accepted)
    return value


def check_site(value: str | None) -> str:
    """:raises InvalidOption: it is no name of a site."""
    return _matching("site", value, _SITE, "a small letter, then at most 30 small letters, digits and underscores")


def check_root(value: str) -> str:
    """:raises InvalidOption: the path is relative, so what it means would depend on the caller."""
    if not value.startswith("/"):
        raise InvalidOption("root", value, "an absolute path")
    return value.rstrip("/") or "/"


def check_limit(value: int) -> int:
    """:raises InvalidOption: not between a second and a day."""
    if not 1 <= value <= _LONGEST_LIMIT:
        raise InvalidOption("limit", value, f"1 to {_LONGEST_LIMIT} seconds")
    return value


def check_step(value: str | None) -> str:
    """:raises InvalidOption: the step has no name."""
    step = one_line(value or "")
    if not step:
        raise InvalidOption("step", value, "the name of the step that begins now")
    return step


def open_request(params: Mapping[str, Any]) -> OpenRequest:
    """Check what C(state=opened) was given.

    :raises InvalidOption: a value can't be used.
    """
    hosts: Sequence[str] = params["hosts"] or []
    if not hosts:
        raise InvalidOption(
            "hosts",
            list(hosts),
            "the hosts that this deployment is for, at least one",
            remedy="Look at the inventory's group app: an empty or misspelt group ends here",
        )
    version = one_line(params["version"] or "")
    if not version:
        raise InvalidOption("version", params["version"], "a tag, a branch or a commit")
    takeover = (params["takeover"] or "").strip() or None
    if takeover is not None:
        _matching("takeover", takeover, ID, "the exact id of a deployment, such as 20261121T160528Z-3f2a9c1")
    return OpenRequest(
        site=check_site(params["site"]),
        kind=params["kind"],
        version=version,
        commit=_matching("commit", params["commit"], _COMMIT, "7 to 64 hexadecimal digits in small letters"),
        release=_matching("release", params["release"], _RELEASE, "the name of a release"),
        hosts=tuple(dict.fromkeys(str(host) for host in hosts)),
        actor=one_line(params["actor"] or ""),
        controller=one_line(params["controller"] or ""),
        reason=one_line(params["reason"] or ""),
        limit_s=check_limit(params["limit"]),
        takeover=takeover,
    )


def claim(deployment: str | None, token: str | int | None, *, doing: str) -> Claim:
    """Check the id and the token that a step was given.

    :param doing: what the step wanted, for the message.
    :raises Refused: they are empty, or what Ansible makes of a variable that nobody set.
    """
    text = (deployment or "").strip()
    number = str(token if token is not None else "").strip()
    if not ID.fullmatch(text) or not _TOKEN.fullmatch(number):
        raise _no_lease(text, number, doing)
    return Claim(text, int(number))


def _no_lease(deployment: str, token: str, doing: str) -> Refused:
    shown = one_line(deployment, 60)
    if ID.fullmatch(deployment):
        seen = f"the id of the deployment is {deployment}, but its token is {token!r} and no number above 0"
    elif deployment:
        seen = f"the id of the deployment is {shown!r}, which is none"
    else:
        seen = "the id of the deployment is empty"
    return Refused(
        f"This run holds no lease, so it may not {doing}: {seen}. "
        f"The play that opens the deployment did not run here ({_SKIPPED})",
        untouched="Nothing was changed",
        remedy="Run the whole playbook, without --limit, --tags, --skip-tags and --start-at-task",
        facts={"id": shown, "refused": "no_lease"},
    )
