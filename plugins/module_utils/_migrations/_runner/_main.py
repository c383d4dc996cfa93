# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the runner begins, in the Python of the release."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import (
    ONCE,
    REHEARSED,
    Request,
    answer_of,
    answer_of_error,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import error_text
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._offline import judge_offline
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._once import run_once
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._respond import respond
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock


def main() -> None:
    """Read the request, do it, write the answer. Never returns."""
    answers = _own_descriptor()
    request = Request.from_json(sys.stdin.read())
    text = _answer(request)
    with os.fdopen(answers, "w", encoding="utf-8") as stream:
        stream.write(text)
    sys.stderr.flush()
    # Threads that the site has started must not keep us here, nor its exit handlers talk.
    os._exit(0)


def _own_descriptor() -> int:
    """Take standard output for the answer alone: what the application prints goes to standard error.

    The new descriptor is not handed to processes that the application starts.
    """
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _answer(request: Request) -> str:
    try:
        _set_up(request)
        return answer_of(_done(request))
    except Refused as error:
        return answer_of_error(error)
    except SlipwayError as error:
        # The causes are for those who repair the site; the module shows them without secrets.
        traceback.print_exc(limit=20)
        return answer_of_error(error)
    except BaseException as error:
        # Whatever it is, SystemExit of a settings file included: an answer says so.
        traceback.print_exc()
        return answer_of_error(SlipwayError(f"the runner failed: {error_text(error)}"))


def _done(request: Request) -> dict[str, Any]:
    if not request.connect:
        return judge_offline(request)
    return (run_once if request.state == ONCE else respond)(request, SystemClock())


def _set_up(request: Request) -> None:
    os.chdir(request.project)
    # In place of the runner's own directory.
    sys.path[0] = request.project
    os.environ["DJANGO_SETTINGS_MODULE"] = request.settings
    if request.state == REHEARSED:
        # For settings that want to leave queues and caches alone.
        os.environ["SLIPWAY_REHEARSAL"] = "1"
    if dj.MISSING:
        raise SlipwayError(
            f"the release's virtual environment has no Django that can be used: {dj.MISSING}",
            untouched="Nothing was changed",
            remedy="Look at the release's requirements",
        )
    try:
        dj.django.setup()
    except BaseException as error:
        raise SlipwayError(
            f"the release can't be started: {error_text(error)}",
            untouched="Nothing was changed",
            remedy="Run `manage.py check` in the release with its environment; the end of its output is in stderr",
        ) from error
    if request.state == REHEARSED:
        dj.settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"


if __name__ == "__main__":
    main()
