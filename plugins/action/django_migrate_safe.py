# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows how far the module is while it runs."""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.plugin_utils._progress_action import ProgressAction


class ActionModule(ProgressAction):
    """The module under its own name."""

    MODULE = "slipway.django.django_migrate_safe"
    TIMEOUT_S = 7200.0
    LEAVES = (
        "What was atomic is rolled back by the server. Run it again: it goes on with what is not applied, and says "
        "what stands half done."
    )
