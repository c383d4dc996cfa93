# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done so that a host is there: from what is seen to what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .engine import Container, made_digest
from .settings import Host, Settings


@dataclass(frozen=True)
class HostPlan:
    """What `up` does with one host, and why."""

    host: Host
    create: bool
    start: bool
    remove: bool
    reason: str
    stale: bool = False
    """It was made from another image, or in another way, than a new one would be."""

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""
        return self.create or self.start or self.remove


def plan_up(
    settings: Settings, hosts: Iterable[Host], containers: Iterable[Container], image: str
) -> tuple[HostPlan, ...]:
    """Create what is absent, start what is stopped, make anew what has another address; keep what runs.

    A host that was made from an older image is kept: what was deployed on it is worth more. `lab reset` renews it.
    """
    seen = {container.name: container for container in containers}
    return tuple(_plan_host(host, seen.get(host.container), made_digest(settings, host, image)) for host in hosts)


def _plan_host(host: Host, container: Container | None, made: str) -> HostPlan:
    if container is None:
        return HostPlan(host, create=True, start=True, remove=False, reason="absent")
    if container.status in {"created", "configured", "initialized"}:
        # Its files may not have been laid in: the run that created it died.
        return HostPlan(host, create=True, start=True, remove=True, reason="was never started")
    if container.running and container.address != host.address:
        reason = f"has the address {container.address or 'none'}, not {host.address}"
        return HostPlan(host, create=True, start=True, remove=True, reason=reason)
    stale = container.made != made
    if container.running:
        return HostPlan(host, create=False, start=False, remove=False, reason="runs", stale=stale)
    return HostPlan(host, create=False, start=True, remove=False, reason=container.status, stale=stale)
