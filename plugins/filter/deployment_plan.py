# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: deployment_plan
short_description: Tell a deployment's plan in lines
version_added: 0.1.0
description:
  - Takes what the plan phase has gathered and returns it as lines for a person.
author:
  - slipway.django contributors (@slipway)
options:
  _input:
    description: Version, target, deployment, hosts, batch, workers, commits and migration lines.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ plan | slipway.django.deployment_plan }}"
"""

RETURN = r"""
_value:
  description: The plan, a line an item.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slipway.django.plugins.plugin_utils._story import plan_lines


def deployment_plan(value: Mapping[str, Any]) -> list[str]:
    return plan_lines(value)


class FilterModule:
    """What Ansible asks for its filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"deployment_plan": deployment_plan}
