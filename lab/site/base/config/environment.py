# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the settings from the environment. A message names the variable, never its value."""

import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def required(name: str) -> str:
    """Return a variable that must be there and not be empty."""
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(f"The environment variable {name} is not set.")
    return value


def switch(name: str) -> bool:
    """Return whether a variable that is off by default is on: exactly ``1``."""
    value = os.environ.get(name, "0")
    if value not in {"0", "1", ""}:
        raise ImproperlyConfigured(f"The environment variable {name} must be 0 or 1.")
    return value == "1"


def number(name: str, default: float) -> float:
    """Return a variable that is a number."""
    try:
        return float(os.environ.get(name, default))
    except ValueError:
        raise ImproperlyConfigured(f"The environment variable {name} is not a number.") from None


def database(name: str, *, pool: int) -> dict[str, Any]:
    """Return Django's settings for ``postgres://user:password@host:port/database?option=value``.

    :param pool: connections that the threads of a process share; 0 gives each thread its own.
    """
    url = urlsplit(required(name))
    if url.scheme not in {"postgres", "postgresql"} or not url.path.strip("/"):
        raise ImproperlyConfigured(f"{name} is not of the form postgres://user:password@host:port/database.")
    options: dict[str, Any] = {"connect_timeout": 3, **dict(parse_qsl(url.query))}
    if pool:
        options["pool"] = {"min_size": 1, "max_size": pool, "timeout": 5, "max_idle": 60}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path.lstrip("/")),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": unquote(url.hostname or ""),
        "PORT": str(url.port or ""),
        "OPTIONS": options,
        "CONN_HEALTH_CHECKS": True,
        # With a pool the connection goes back after each request: Django wants 0 then.
        "CONN_MAX_AGE": 0 if pool else 60,
    }
