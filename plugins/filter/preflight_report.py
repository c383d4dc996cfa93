# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: preflight_report
short_description: Put the rows of all hosts together to one report
version_added: 0.1.0
description:
  - Takes what the looks at all hosts have answered and returns the checklist with a mark for each step, all rows, those
    that refuse, the whole as lines for a person, and as one sentence.
  - A look without an answer is a row that could not be checked.
author:
  - slipway.django contributors (@slipway)
options:
  _input:
    description:
      - By look and host what the module has answered. The looks are C(site), C(version), C(host), C(balancer), C(build)
        and C(release).
    type: dict
    required: true
  later:
    description: Steps that are looked at once the release is staged.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show the checklist
  ansible.builtin.debug:
    msg: "{{ (looks | slipway.django.preflight_report).text }}"
  vars:
    looks:
      host:
        app1: "{{ hostvars.app1.preflight_host }}"
"""

RETURN = r"""
_value:
  description: C(passed), C(checklist), C(rows), C(refusing), C(text) and C(msg).
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._preflight._report import report_json, report_of


def preflight_report(value: Mapping[str, Mapping[str, Mapping[str, Any]]], later: Sequence[str] = ()) -> dict[str, Any]:
    return report_json(report_of(value, later))


class FilterModule:
    """What Ansible asks for its filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"preflight_report": preflight_report}
