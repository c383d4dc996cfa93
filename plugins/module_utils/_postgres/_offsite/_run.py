# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call for each state, and the means of this machine."""

from __future__ import annotations

import os

from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._age import find_age
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import SystemDumper, free
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite import _fetch, _prune, _send
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._s3 import Credentials, Place, connect
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._work import Request, Result, Tools
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Progress

_STATES = {"sent": _send.run, "fetched": _fetch.run, "pruned": _prune.run}


def run(request: Request, tools: Tools, *, check_mode: bool) -> Result:
    """Bring about the state, or say what that would mean.

    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    request.validate()
    try:
        return _STATES[request.state](request, tools, check_mode=check_mode)
    except OSError as error:
        raise SlipwayError(
            f"{error.filename or request.directory} can't be used: {error.strerror or error}",
            untouched="No copy is marked as whole that is not; the backups here are as they were",
            remedy="See the disk and the rights of the directory",
            facts={"directory": request.directory},
        ) from error


def system_tools(place: Place, credentials: Credentials, clock: Clock, progress_file: str | None) -> Tools:
    """Return the means of this machine.

    :raises SlipwayError: an option can't be meant, boto3 is missing, or there are no such credentials.
    """
    place.validate()
    credentials.validate()
    return Tools(
        store=connect(place, credentials),
        clock=clock,
        progress=Progress(progress_file, clock),
        age=lambda: find_age(SystemDumper(clock)),
        lock=lambda path: directory_lock(path, clock, timeout_s=0 if _is_backup(path) else 5),
        free=free,
    )


def _is_backup(path: str) -> bool:
    # Whoever sends this backup takes long: who comes second is told at once.
    return os.path.exists(os.path.join(path, "manifest.json"))
