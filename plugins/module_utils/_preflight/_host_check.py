# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All rows of one host, in one look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._preflight._host import Host, Wanted, host_rows
from ansible_collections.slipway.django.plugins.module_utils._preflight._network import (
    Address,
    Certificate,
    certificate_rows,
    reach_rows,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Row
from ansible_collections.slipway.django.plugins.module_utils._preflight._services import Services, service_rows
from ansible_collections.slipway.django.plugins.module_utils._preflight._team import TeamCommand, team_rows
from ansible_collections.slipway.django.plugins.module_utils._process import Runner


@dataclass(frozen=True)
class Checks:
    """What one host is held against."""

    host: Wanted
    services: Services
    reach: Sequence[Address]
    certificates: Sequence[Certificate]
    reach_s: float
    commands: Sequence[TeamCommand]


@dataclass(frozen=True)
class Means:
    """What a look needs from outside. ``redact`` takes secrets out of what commands print."""

    host: Host
    runner: Runner
    clock: Clock
    redact: Callable[[str], str]


def check_rows(checks: Checks, means: Means) -> list[Row]:
    """Make every look, whatever the one before it has said."""
    return [
        *host_rows(means.host, checks.host),
        *service_rows(checks.services, means.runner),
        *reach_rows(checks.reach, checks.reach_s),
        *certificate_rows(checks.certificates, checks.reach_s, means.clock.utcnow()),
        *team_rows(checks.commands, means.runner, means.redact, {}),
    ]
