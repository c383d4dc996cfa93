# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whereto a site can go back, decided from its records alone.

Two traps that other tools fell into: the release before is not the second newest directory, and a
second rollback does not go forward again to what the first one had left. And one that none of them
looks at: an older release must be able to live with the schema as it is now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment._history import (
    EXPAND,
    by_token,
    newest_standing,
    planned,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import Record
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused

# The fact in which a deployment names its backups, and who takes those that we can restore.
RESTORE_POINT = "restore_point"
OWN = "pg_backup"
_NOTHING = "Nothing was changed"
_CONTRACT = "contract"
# What is accepted where the schema differs by no migration that the records know.
_ANY = "schema"

UNASKED = "unasked"
LATER = "later"
FITS = "fits"
DIFFERS = "differs"
DOUBTFUL = "doubtful"
VERDICTS = (UNASKED, LATER, FITS, DIFFERS, DOUBTFUL)


@dataclass(frozen=True)
class Schema:
    """What the live schema says of the release to go back to; ``later`` when it is to be asked next."""

    verdict: str = UNASKED
    reason: str = ""


@dataclass(frozen=True)
class Decision:
    """Where to, and why that is right.

    :param migrations: they stay applied.
    :param blocking: those of them that would block the way, when the schema is still to be asked.
    """

    release: str
    version: str
    commit: str
    reason: str
    migrations: tuple[str, ...]
    blocking: tuple[str, ...] = ()


def _deploys(records: Sequence[Record]) -> list[Record]:
    """Deployments, no rollbacks, whose release has served; oldest first."""
    return [record for record in by_token(records) if record.standing and record.kind == "deploy"]


def _brought(records: Sequence[Record], release: str) -> Record | None:
    """The newest deployment that brought a release."""
    return next((record for record in reversed(_deploys(records)) if record.release == release), None)


def _target(records: Sequence[Record], live: Record, release: str) -> Record:
    wanted = release
    if not wanted:
        bringer = _brought(records, live.release)
        origin = bringer.origin if bringer is not None else None
        if origin is None:
            raise Refused(
                f"{live.release} ({live.version}) is live and no release was before it",
                untouched=_NOTHING,
                remedy="Deploy the version that is wanted",
            )
        wanted = str(origin["release"])
    found = _brought(records, wanted)
    if found is None:
        known = ", ".join(dict.fromkeys(f"{record.release} ({record.version})" for record in _deploys(records)))
        raise InvalidOption("release", wanted, f"a release that has served: {known}")
    if found.release == live.release:
        raise Refused(f"{wanted} ({found.version}) is live already", untouched=_NOTHING)
    return found


def migrations_since(records: Sequence[Record], target: Record) -> dict[str, str]:
    """Return each migration that may have been applied since a deployment, with its phase.

    The plan counts, not what was reported as applied: a run that was killed has reported nothing.
    """
    later = [record for record in by_token(records) if record.token > target.token]
    return {name: phase for record in later for name, phase in planned(record)}


def _restore_point(records: Sequence[Record], target: Record, blocking: Sequence[str]) -> str:
    """Say which backup is from before the first of the migrations that block the way, as far as it was recorded."""
    later = [record for record in by_token(records) if record.token > target.token]
    first = next((record for record in later if {name for name, _phase in planned(record)} & {*blocking}), None)
    point: Any = first.facts.get(RESTORE_POINT) if first is not None else None
    if not isinstance(point, Mapping):
        return "restore the backup of the deployment that applied them"
    if point.get("taken_by") != OWN:
        return f"restore {point.get('taken_by')} backup {point.get('database')} with that program, nothing here can"
    return f"restore backup {point.get('database')} ({point.get('label')}) from before them"


def _refuse_schema(target: Record, live: Record, blocking: Sequence[str], schema: Schema, restore: str) -> Refused:
    names = ", ".join(blocking)
    verb = "is" if len(blocking) == 1 else "are"
    because = f"since then {names} may have been applied, which {verb} not known to leave older code working"
    return Refused(
        f"{target.release} ({target.version}) {_word(schema)}: {because}{_told(schema)}",
        untouched=f"{_NOTHING}, {live.release} ({live.version}) serves on",
        remedy=(
            "Choose one: go forward with a version that mends the fault; undo these migrations with the newer "
            "release's code (django_migrate_safe, state reversed); "
            f"{restore}; or, when you know that the older code works with them, say so exactly: "
            f"-e rollback_accept_schema={','.join(blocking)}"
        ),
        facts={"migrations": list(blocking)},
    )


def _refuse_difference(target: Record, live: Record, schema: Schema) -> Refused:
    return Refused(
        f"{target.release} ({target.version}) does not fit the schema{_told(schema)}",
        untouched=f"{_NOTHING}, {live.release} ({live.version}) serves on",
        remedy=(
            "Choose one: go forward with a version that mends the fault; undo the migrations that made the difference "
            "with the newer release's code (django_migrate_safe, state reversed); restore the backup of before; or, "
            f"when you know that the older code works with it, say so exactly: -e rollback_accept_schema={_ANY}"
        ),
        facts={"migrations": []},
    )


def _word(schema: Schema) -> str:
    return "does not fit the schema" if schema.verdict == DIFFERS else "may not fit the schema"


def _told(schema: Schema) -> str:
    if not schema.reason:
        return ""
    asked = "gave no answer" if schema.verdict == UNASKED else "was asked"
    return f". The live schema {asked}: {schema.reason.strip().rstrip('.')}"


def _blocking(since: Mapping[str, str], schema: Schema) -> list[str]:
    """The migrations that block the way.

    Where the live schema was asked and fits, what is left are those of which no catalog tells what they did to data.
    """
    harmless = {EXPAND, _CONTRACT} if schema.verdict == FITS else {EXPAND}
    return sorted(name for name, phase in since.items() if phase not in harmless)


def decide(records: Sequence[Record], *, release: str, accept_schema: str, schema: Schema | None = None) -> Decision:
    """Decide whereto the site goes back.

    :param release: a release by name, or empty for the one before the one that is live.
    :param accept_schema: exactly the migrations, comma-separated, that would block the way.
    :param schema: what the live schema says of the release; by default it was not asked.
    :raises Refused: there is nothing to go back to, or the schema does not allow it.
    :raises InvalidOption: the release never served, or ``accept_schema`` names other migrations.
    """
    live = newest_standing(records)
    if live is None:
        raise Refused(
            "No deployment of this site has ended whole",
            untouched=_NOTHING,
            remedy="Deploy the version that is wanted: an interrupted deployment goes on or goes back by itself",
        )
    target = _target(records, live, release)
    since = migrations_since(records, target)
    told = schema or Schema()
    blocking = _blocking(since, told)
    kept = tuple(sorted(since))
    if told.verdict == LATER:
        reason = f"from {live.release} ({live.version}) to {target.release} ({target.version}), if the schema allows it"
        return Decision(target.release, target.version, target.commit, reason, kept, tuple(blocking))
    accepted = sorted(name for name in accept_schema.split(",") if name)
    differs = told.verdict == DIFFERS
    wanted = blocking or ([_ANY] if differs else [])
    # Whoever has read the records alone has accepted what they name: a better answer of the schema asks for less.
    if accepted and accepted != wanted and accepted != _blocking(since, Schema()):
        raise InvalidOption("accept_schema", accept_schema, f"exactly {','.join(wanted) or 'nothing'}")
    if blocking and not accepted:
        raise _refuse_schema(target, live, blocking, told, _restore_point(records, target, blocking))
    if differs and not accepted:
        raise _refuse_difference(target, live, told)
    stays = f"the schema stays, with {', '.join(kept)}" if kept else "the schema is the same"
    unanswered = _told(told) if told.verdict == UNASKED else ""
    reason = f"from {live.release} ({live.version}) to {target.release} ({target.version}); {stays}{unanswered}"
    return Decision(target.release, target.version, target.commit, reason, kept)
