# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site's control host remembers: the lease and one record for each deployment.

Both are JSON files. They are read strictly: a file that is there but can't be understood is an
error that names the file and the field, never "no lease".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment._times import from_text, to_text
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError

FORMAT_VERSION = 1

WHOLE = "whole"
ROLLED_BACK = "rolled_back"
FAILED = "failed"
COMPLETED_WITH_ERRORS = "completed_with_errors"
# Written by the next deployment, never by the one that it is about.
INTERRUPTED = "interrupted"
NEVER_OPENED = "never_opened"

#: The verdicts a run can give itself.
VERDICTS = (WHOLE, ROLLED_BACK, FAILED, COMPLETED_WITH_ERRORS)
#: The verdicts after which the deployment's own release serves on its hosts.
STANDING = (WHOLE, COMPLETED_WITH_ERRORS)


class Fields:
    """Typed access to a JSON object that was read from a file."""

    def __init__(self, document: object, path: str) -> None:
        self._path = path
        if not isinstance(document, Mapping):
            raise self._error("it is not a JSON object")
        self._document: Mapping[str, Any] = document
        version = document.get("v")
        if version != FORMAT_VERSION:
            raise self._error(f"its format is {version!r}, this version of slipway.django knows {FORMAT_VERSION}")

    def _error(self, why: str) -> SlipwayError:
        return SlipwayError(
            f"{self._path} can't be understood: {why}",
            untouched="It was left as it is, and nothing was changed",
            remedy="Look at the file. When no controller is at work, restore it from a copy or move it away",
            facts={"path": self._path},
        )

    def _get(self, name: str, kind: type) -> Any:
        value = self._document.get(name)
        # bool is an int for Python, a token is none for us.
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise self._error(f"field {name!r} is {value!r}")
        return value

    def text(self, name: str) -> str:
        value: str = self._get(name, str)
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self._document.get(name) is None else self.text(name)

    def number(self, name: str) -> int:
        value: int = self._get(name, int)
        return value

    def flag(self, name: str) -> bool:
        value: bool = self._get(name, bool)
        return value

    def moment(self, name: str) -> datetime:
        text = self.text(name)
        try:
            return from_text(text)
        except ValueError as error:
            raise self._error(f"field {name!r} is {text!r}, which is no time") from error

    def optional_moment(self, name: str) -> datetime | None:
        return None if self._document.get(name) is None else self.moment(name)

    def texts(self, name: str) -> tuple[str, ...]:
        value: list[object] = self._get(name, list)
        return tuple(str(item) for item in value)

    def mapping(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self._get(name, dict)
        return dict(value)

    def optional_mapping(self, name: str) -> dict[str, Any] | None:
        return None if self._document.get(name) is None else self.mapping(name)


@dataclass(frozen=True)
class Lease:
    """Who may change the site, until when. ``held`` is false after it was given back."""

    id: str
    token: int
    site: str
    kind: str
    version: str
    release: str
    actor: str
    controller: str
    reason: str
    started_at: datetime
    step: str
    step_since: datetime
    renewed_at: datetime
    expires_at: datetime
    held: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "v": FORMAT_VERSION,
            "id": self.id,
            "token": self.token,
            "site": self.site,
            "kind": self.kind,
            "version": self.version,
            "release": self.release,
            "actor": self.actor,
            "controller": self.controller,
            "reason": self.reason,
            "started_at": to_text(self.started_at),
            "step": self.step,
            "step_since": to_text(self.step_since),
            "renewed_at": to_text(self.renewed_at),
            "expires_at": to_text(self.expires_at),
            "held": self.held,
        }

    @classmethod
    def from_json(cls, document: object, path: str) -> Lease:
        fields = Fields(document, path)
        return cls(
            id=fields.text("id"),
            token=fields.number("token"),
            site=fields.text("site"),
            kind=fields.text("kind"),
            version=fields.text("version"),
            release=fields.text("release"),
            actor=fields.text("actor"),
            controller=fields.text("controller"),
            reason=fields.text("reason"),
            started_at=fields.moment("started_at"),
            step=fields.text("step"),
            step_since=fields.moment("step_since"),
            renewed_at=fields.moment("renewed_at"),
            expires_at=fields.moment("expires_at"),
            held=fields.flag("held"),
        )


@dataclass(frozen=True)
class Record:
    """One deployment. ``verdict`` is None while it is open."""

    id: str
    token: int
    attempt: int
    first_attempt: str
    site: str
    kind: str
    version: str
    commit: str
    release: str
    hosts: tuple[str, ...]
    actor: str
    controller: str
    reason: str
    started_at: datetime
    # Label of the backup from before the first statement that this deployment, or one that it follows, may have run.
    backup_label: str = ""
    origin: dict[str, Any] | None = None
    interrupted: dict[str, Any] | None = None
    step: str | None = None
    closed_at: datetime | None = None
    verdict: str | None = None
    close_reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def standing(self) -> bool:
        """True when this deployment's release serves on its hosts."""
        return self.verdict in STANDING

    def to_json(self) -> dict[str, Any]:
        return {
            "v": FORMAT_VERSION,
            "id": self.id,
            "token": self.token,
            "attempt": self.attempt,
            "first_attempt": self.first_attempt,
            "site": self.site,
            "kind": self.kind,
            "version": self.version,
            "commit": self.commit,
            "release": self.release,
            "hosts": list(self.hosts),
            "actor": self.actor,
            "controller": self.controller,
            "reason": self.reason,
            "started_at": to_text(self.started_at),
            "backup_label": self.backup_label,
            "origin": self.origin,
            "interrupted": self.interrupted,
            "step": self.step,
            "closed_at": None if self.closed_at is None else to_text(self.closed_at),
            "verdict": self.verdict,
            "close_reason": self.close_reason,
            "facts": self.facts,
        }

    @classmethod
    def from_json(cls, document: object, path: str) -> Record:
        fields = Fields(document, path)
        return cls(
            id=fields.text("id"),
            token=fields.number("token"),
            attempt=fields.number("attempt"),
            first_attempt=fields.text("first_attempt"),
            site=fields.text("site"),
            kind=fields.text("kind"),
            version=fields.text("version"),
            commit=fields.text("commit"),
            release=fields.text("release"),
            hosts=fields.texts("hosts"),
            actor=fields.text("actor"),
            controller=fields.text("controller"),
            reason=fields.text("reason"),
            started_at=fields.moment("started_at"),
            backup_label=fields.text("backup_label"),
            origin=fields.optional_mapping("origin"),
            interrupted=fields.optional_mapping("interrupted"),
            step=fields.optional_text("step"),
            closed_at=fields.optional_moment("closed_at"),
            verdict=fields.optional_text("verdict"),
            close_reason=fields.text("close_reason"),
            facts=fields.mapping("facts"),
        )


@dataclass(frozen=True)
class Token:
    """The highest token a host, or the control host, knows. ``deployment`` is empty when a person wrote it."""

    token: int
    deployment: str = ""
    at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "v": FORMAT_VERSION,
            "token": self.token,
            "deployment": self.deployment,
            "at": None if self.at is None else to_text(self.at),
        }

    @classmethod
    def from_json(cls, document: object, path: str) -> Token:
        fields = Fields(document, path)
        return cls(fields.number("token"), fields.optional_text("deployment") or "", fields.optional_moment("at"))


def merge_facts(facts: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as RFC 7396 says: objects key by key, other values replace, null removes a key."""
    merged = dict(facts)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            before = merged.get(key)
            merged[key] = merge_facts(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged
