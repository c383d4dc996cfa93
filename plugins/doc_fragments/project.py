# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The Django project of a release, for modules that start it."""

    DOCUMENTATION = r"""
options:
  release_path:
    description: Directory of the release. It holds C(src), C(venv) and C(env).
    type: path
    required: true
  project_directory:
    description: Where C(manage.py) lies, seen from C(src) of the release.
    type: str
    default: .
  settings:
    description: The settings module. By default as the environment file says, or as C(manage.py) says.
    type: str
    default: ''
"""
