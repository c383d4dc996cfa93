# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: deployment_verdict
short_description: Judge how a deployment ended
version_added: 0.1.0
description:
  - Takes what happened and returns the verdict, whether it is a success, and the text that tells why and what to do.
author:
  - slipway.django contributors (@slipway)
options:
  _input:
    description: Kind, id, version, release, failure, way back and what is left over.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say how it ended
  ansible.builtin.debug:
    msg: "{{ (story | slipway.django.deployment_verdict).text }}"
"""

RETURN = r"""
_value:
  description: C(verdict), C(success) and C(text).
  type: dict
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.slipway.django.plugins.plugin_utils._story import judge


def deployment_verdict(value: Mapping[str, Any]) -> dict[str, Any]:
    return asdict(judge(value))


class FilterModule:
    """What Ansible asks for its filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"deployment_verdict": deployment_verdict}
