# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every answer and every page says which release made it, and where."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Handler = Callable[[HttpRequest], HttpResponseBase]


def release_headers(get_response: Handler) -> Handler:
    """Add ``X-Release`` and ``X-Served-By`` (host and slot)."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers["X-Release"] = settings.RELEASE
        response.headers["X-Served-By"] = f"{settings.HOSTNAME}-{settings.SLOT}"
        return response

    return handle


def release_context(_request: HttpRequest) -> dict[str, str]:
    """Give the release to the templates."""
    return {"release": settings.RELEASE}
