# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a release's own Django, in the release's own Python, in one process. Changes nothing.

Handed to C(python -) as text, so it imports nothing of this collection. The answer is one JSON document on a descriptor
of its own: what the application prints goes to standard error. Its argument is JSON too: C(seconds) that one look at a
database, a cache or the broker may take.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Ask, answer, end at once: threads that the site has started must not keep us here."""
    answers = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    answer = _answer(json.loads(sys.argv[1])["seconds"])
    with os.fdopen(answers, "w", encoding="utf-8") as stream:
        json.dump(answer, stream)
    sys.stderr.flush()
    os._exit(0)


def _answer(seconds: float) -> dict[str, Any]:
    import django  # noqa: PLC0415 - the release's, there only when this runs
    from django.conf import settings  # noqa: PLC0415

    try:
        django.setup()
        checks = _checks()
    except Exception as error:  # whatever a site raises, it can't be started
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "debug": bool(settings.DEBUG),
        "allowed_hosts": [str(host) for host in settings.ALLOWED_HOSTS],
        "checks": checks,
        "reached": _reached(_looks(settings), seconds),
    }


def _checks() -> list[dict[str, Any]]:
    from django.core import checks  # noqa: PLC0415

    found = checks.run_checks(include_deployment_checks=True)
    return [
        {"id": str(each.id or ""), "level": int(each.level), "text": str(each.msg)}
        for each in found
        if not each.is_silenced()
    ]


def _looks(settings: Any) -> dict[str, Callable[[], None]]:
    from django.core.cache import caches  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    def database(alias: str) -> None:
        connections[alias].ensure_connection()
        connections[alias].close()

    looks: dict[str, Callable[[], None]] = {}
    for alias in settings.DATABASES:
        if settings.DATABASES[alias].get("ENGINE", "").endswith("dummy"):
            continue
        looks[f"database {alias}"] = lambda alias=alias: database(alias)  # type: ignore[misc]
    for alias in settings.CACHES:
        looks[f"cache {alias}"] = lambda alias=alias: caches[alias].get("slipway-preflight")  # type: ignore[misc]
    broker = getattr(settings, "CELERY_BROKER_URL", None) or getattr(settings, "BROKER_URL", None)
    if broker:
        looks["broker"] = lambda: _connect_broker(str(broker), settings)
    return looks


def _connect_broker(url: str, settings: Any) -> None:
    from kombu import Connection  # type: ignore[import-not-found]  # noqa: PLC0415 - the release's

    options = getattr(settings, "CELERY_BROKER_TRANSPORT_OPTIONS", None) or {}
    connection = Connection(url, connect_timeout=3, transport_options=options)
    try:
        connection.connect()
    finally:
        connection.release()


def _reached(looks: dict[str, Callable[[], None]], seconds: float) -> dict[str, str]:
    """What each look said, empty when it went well; all at once, none longer than the limit."""
    said: dict[str, str] = {}

    def run(name: str, look: Callable[[], None]) -> None:
        try:
            look()
            said[name] = ""
        except Exception as error:  # the thread's only way to tell
            said[name] = f"{type(error).__name__}: {error}".strip()

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in looks.items()]
    for thread in threads:
        thread.start()
    left = threading.Event()
    timer = threading.Timer(seconds, left.set)
    timer.daemon = True
    timer.start()
    for thread in threads:
        while thread.is_alive() and not left.is_set():
            thread.join(0.05)
    return {name: said.get(name, f"no answer within {seconds:g} s") for name in looks}


if __name__ == "__main__":
    main()
