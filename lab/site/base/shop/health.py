# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For balancers and gates."""

import logging

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

logger = logging.getLogger(__name__)


@never_cache
def live(_request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok", "release": settings.RELEASE})


@never_cache
def ready(_request: HttpRequest) -> JsonResponse:
    """The process can serve: it reaches its database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        # Not the error's text: it may name hosts and users.
        logger.warning("not ready: %s", error)
        return unavailable(f"database: {type(error).__name__}")
    return JsonResponse({"status": "ok", "release": settings.RELEASE})


def unavailable(reason: str) -> JsonResponse:
    """Say why not."""
    return JsonResponse({"status": "unavailable", "release": settings.RELEASE, "reason": reason}, status=503)
