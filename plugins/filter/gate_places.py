# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gate_places
short_description: Say which checks are asked where
version_added: 0.1.0
description:
  - Takes the gates of profiles and returns, for each host and user, the checks that are asked there in one go.
  - A check whose C(when) is false is left out, and so is an option that is empty.
author:
  - slipway.django contributors (@slipway)
options:
  _input:
    description: Gates, each with C(checks), and C(group), C(every), C(user) if need be.
    type: list
    elements: dict
    required: true
  groups:
    description: Groups of the inventory.
    type: dict
    required: true
  vantage:
    description: Host that asks where a gate names no group.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Count the calls
  ansible.builtin.debug:
    msg: "{{ (verify_asked | slipway.django.gate_places(groups, 'lb1')) | length }}"
"""

RETURN = r"""
_value:
  description: C(host), C(user) and C(checks) of each call.
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.django.plugins.plugin_utils._gates import place_gates


def gate_places(
    value: Iterable[Mapping[str, Any]], groups: Mapping[str, Sequence[str]], vantage: str
) -> list[dict[str, Any]]:
    return place_gates(value, groups, vantage)


class FilterModule:
    """What Ansible asks for its filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gate_places": gate_places}
