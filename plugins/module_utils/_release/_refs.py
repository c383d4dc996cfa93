# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a version (tag, branch or commit id) to one commit: pure functions over what C(git ls-remote) says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._naming import is_commit

_HEADS = "refs/heads/"
_TAGS = "refs/tags/"
_PEELED = "^{}"
_SHOWN = 8
# git-check-ref-format(1), and no dash in front: the version becomes an argument.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|\A-|\A\Z")
_ABBREVIATED = re.compile(r"[0-9a-fA-F]{7,63}\Z")
_REF_LINE = re.compile(r"(?P<id>[0-9a-f]{40}|[0-9a-f]{64})\t(?P<ref>\S.*)\Z")


@dataclass(frozen=True)
class Resolved:
    """The commit that a version stands for. ``ref`` is empty when the version is the commit's own id."""

    commit: str
    ref: str


def parse_ls_remote(text: str) -> dict[str, str]:
    """Return the commit of each ref. An annotated tag stands for what it points at.

    :raises SlipwayError: a line that is not C(<id> TAB <ref>).
    """
    refs: dict[str, str] = {}
    peeled: dict[str, str] = {}
    for line in text.splitlines():
        match = _REF_LINE.match(line)
        if match is None:
            raise SlipwayError(
                f"git ls-remote said {line!r}, expected an object id, a tab and a ref",
                remedy="Look at the repository by hand",
            )
        if match["ref"].endswith(_PEELED):
            peeled[match["ref"][: -len(_PEELED)]] = match["id"]
        else:
            refs[match["ref"]] = match["id"]
    return {**refs, **peeled}


def checked_version(version: str) -> str:
    """Return a version that can be a tag, a branch or a commit id.

    :raises InvalidOption: git would never accept such a name.
    """
    if _FORBIDDEN.search(version):
        raise InvalidOption("version", version, "a tag, a branch or a whole commit id")
    return version


def resolve(version: str, refs: Mapping[str, str]) -> Resolved:
    """Return the one commit that ``version`` stands for.

    :param refs: commit by full ref name, of :func:`parse_ls_remote`.
    :raises Refused: none, or more than one. The message names what there is.
    """
    named = {ref: refs[ref] for ref in (version, _TAGS + version, _HEADS + version) if ref in refs}
    if is_commit(version.lower()) and not named:
        return Resolved(version.lower(), "")
    if len(set(named.values())) == 1:
        ref = next(iter(named))
        return Resolved(named[ref], ref)
    raise _ambiguous(version, named) if named else _unknown(version, refs)


def _ambiguous(version: str, named: Mapping[str, str]) -> Refused:
    listed = ", ".join(f"{ref} ({commit[:12]})" for ref, commit in named.items())
    return Refused(
        f"version {version!r} is ambiguous in the repository: {listed}",
        untouched="Nothing was changed",
        remedy=f"Name one of them in full, e.g. {next(iter(named))}",
        facts={"version": version, "found": dict(named)},
    )


def _unknown(version: str, refs: Mapping[str, str]) -> Refused:
    tags = _short_names(refs, _TAGS)
    branches = _short_names(refs, _HEADS)
    close = difflib.get_close_matches(version, tags + branches, n=3)
    remedy = f"Perhaps {' or '.join(close)} is meant" if close else "Push it, or name one that is there"
    if _ABBREVIATED.match(version):
        remedy = "If this is an abbreviated commit id, give it whole (40 digits): the short form may become ambiguous"
    return Refused(
        f"version {version!r} is neither a tag nor a branch of the repository. "
        f"Tags: {_listed(tags)}; branches: {_listed(branches)}",
        untouched="Nothing was changed",
        remedy=remedy,
        facts={"version": version, "tags": tags[:_SHOWN], "branches": branches[:_SHOWN], "close": close},
    )


def _short_names(refs: Mapping[str, str], prefix: str) -> list[str]:
    """Names below ``prefix``, the highest number first: v10 before v9."""
    names = [ref[len(prefix) :] for ref in refs if ref.startswith(prefix)]
    return sorted(names, key=_natural, reverse=True)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _listed(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
