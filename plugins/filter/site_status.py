# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: site_status
short_description: Tell the state of a site in lines
version_added: 0.1.0
description:
  - Takes what the control host, the app hosts and the balancers have answered and returns it as lines for a person.
author:
  - slipway.django contributors (@slipway)
options:
  _input:
    description:
      - Name of the site, result of M(slipway.django.deployment_info), results of M(slipway.django.release_info) by
        host, and of the balancers.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the state
  ansible.builtin.debug:
    msg: "{{ status | slipway.django.site_status }}"
"""

RETURN = r"""
_value:
  description: The state, a line an item.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slipway.django.plugins.plugin_utils._status import status_lines


def site_status(value: Mapping[str, Any]) -> list[str]:
    return status_lines(value)


class FilterModule:
    """What Ansible asks for its filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_status": site_status}
