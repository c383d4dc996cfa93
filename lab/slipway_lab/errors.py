# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that the lab raises."""

from __future__ import annotations


class LabError(Exception):
    """A refusal or a failure that was understood: what was seen, and what to do."""
