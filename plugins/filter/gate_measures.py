# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gate_measures
short_description: Make checks of measures and the table of thresholds
version_added: 0.1.0
description:
  - Takes measures and returns, for each that the table names, a check of kind V(prometheus) for
    M(slipway.django.health_gate).
author:
  - slipway.django contributors (@slipway)
options:
  _input:
    description: Measures by their names, each with C(query), or C(bad) and C(total).
    type: dict
    required: true
  thresholds:
    description: The table. Each row has C(measure) and what a threshold of M(slipway.django.health_gate) has.
    type: list
    elements: dict
    required: true
  common:
    description: Options that all checks have, such as C(url).
    type: dict
    required: true
  baseline:
    description: What was measured before, by the names of the measures.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the checks
  ansible.builtin.debug:
    msg: "{{ verify_measures | slipway.django.gate_measures(verify_thresholds, {'url': 'http://prometheus:9090'}) }}"
"""

RETURN = r"""
_value:
  description: Checks.
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.django.plugins.plugin_utils._gates import GateError, measure_checks


def gate_measures(
    value: Mapping[str, Mapping[str, Any]],
    thresholds: Iterable[Mapping[str, Any]],
    common: Mapping[str, Any],
    baseline: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    try:
        return measure_checks(value, thresholds, common, baseline or {})
    except GateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible asks for its filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gate_measures": gate_measures}
