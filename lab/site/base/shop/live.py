# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WebSocket that stays open: it says which release answers, and every text comes back."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATH = "/ws/live"


async def keep_open(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket until its client leaves or the service ends."""
    await receive()  # websocket.connect
    if scope["path"] != PATH:
        await send({"type": "websocket.close", "code": 4404})
        return
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": greeting()})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text") or ""})


def greeting() -> str:
    """Tell who answers."""
    return json.dumps({"release": settings.RELEASE, "served_by": f"{settings.HOSTNAME}-{settings.SLOT}"})
