# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that fill the checklist share: module_utils/_preflight/_team.py has the same options."""

    DOCUMENTATION = r"""
options:
  environment:
    description:
      - The site's environment. Of it the names are looked at; the values are taken out of what commands print.
    type: dict
    default: {}
"""

    VARIABLES = r"""
options:
  required_variables:
    description: Names of environment variables that must be set and not be empty. Their values are shown nowhere.
    type: list
    elements: str
    default: []
"""

    TEAM = r"""
options:
  team_commands:
    description:
      - Commands of the team, such as tests, linters, a load test, or a question for the state of the commit's CI run.
        Each is a row that passes when it ends with status 0 in time. Of one that does not the last lines are shown,
        without secrets.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What the row is called.
        type: str
        required: true
      argv:
        description: Program and arguments. No shell is involved.
        type: list
        elements: str
        required: true
      where:
        description:
          - Where it is run. V(controller), V(release) (in the source of the new release, with its environment, on the
            first app host), or the inventory name of a host. Without it wherever it is given.
        type: str
      step:
        description: Step of the runbooks that the command is for, V(A1) to V(A15).
        type: str
        default: A1
      timeout:
        description: Seconds after which it is killed, with all that it has started, and has failed.
        type: int
        default: 600
      directory:
        description: Where it runs.
        type: path
"""
