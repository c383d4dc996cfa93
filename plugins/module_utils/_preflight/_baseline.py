# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the figures are there that the new release will be compared with. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row

_EXPECTED = "each measure of the thresholds has figures from before"
_NOTHING = "nothing is measured: verify_prometheus_url is empty, and verify_thresholds has no query_time"


def baseline_row(measured: Mapping[str, object], missing: Mapping[str, str], *, required: bool) -> Row:
    """Judge one look at what is measured.

    A site without traffic has no figures, and its first deployment none to compare with: so what is missing refuses
    only where the team says so.

    :param measured: figures by the name of their measure.
    :param missing: why there are none, by the name of the measure.
    """
    if not measured and not missing:
        return Row("A5", "baseline", Mark.UNKNOWN if required else Mark.NOT_ASKED, _NOTHING, _EXPECTED)
    there = f"measured: {', '.join(sorted(measured)) or 'nothing'}"
    if not missing:
        return Row("A5", "baseline", Mark.PASSED, there, _EXPECTED)
    without = "; ".join(f"{name}: {why}" for name, why in sorted(missing.items()))
    mark = Mark.UNKNOWN if required else Mark.NOT_ASKED
    return Row("A5", "baseline", mark, f"{there}; not measured: {without}", _EXPECTED)
