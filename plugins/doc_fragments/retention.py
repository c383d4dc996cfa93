# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The rules by which backups are kept. What always stays, each module says itself, at ``keep_last``."""

    DOCUMENTATION = r"""
options:
  keep_last:
    type: int
  keep_days:
    description: Keeps the backups of the last so many times 24 hours.
    type: int
  keep_daily:
    description: Keeps the last backup of each of the newest so many days that have one (UTC).
    type: int
  keep_weekly:
    description: Keeps the last backup of each of the newest so many weeks that have one (ISO 8601).
    type: int
  keep_monthly:
    description: Keeps the last backup of each of the newest so many months that have one.
    type: int
  min_keep:
    description: How many of the newest backups stay whatever the rules say.
    type: int
    default: 2
"""
