# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gate_summary
short_description: Put the verdicts of several gates together
version_added: 0.1.0
description:
  - Takes results of M(slipway.django.health_gate) and returns the worst verdict with its reason. A host that did not
    answer has given no verdict, which is V(hold).
author:
  - slipway.django contributors (@slipway)
options:
  _input:
    description: Results.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the verdict
  ansible.builtin.debug:
    msg: "{{ (results | slipway.django.gate_summary).verdict }}"
"""

RETURN = r"""
_value:
  description: C(verdict), C(reason), C(notices), C(baseline), the figures by the names of the measures, and C(missing),
    why there are none of the others.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.django.plugins.plugin_utils._gates import sum_up


def gate_summary(value: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return sum_up(value)


class FilterModule:
    """What Ansible asks for its filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gate_summary": gate_summary}
