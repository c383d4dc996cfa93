# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of module_utils/_postgres/_options.py, as people read them; a test holds the two together."""

    DOCUMENTATION = r"""
options:
  host:
    description: Host name of the server, or the directory of its UNIX socket. Without it the local socket is used.
    type: str
  port:
    description: Port of the server.
    type: int
  user:
    description: Role to log in as. Without it the name of the system user. The notes say what it must be able to do.
    type: str
  passfile:
    description:
      - Password file of PostgreSQL's programs, readable by its owner only.
      - There is no option for a password. It would be seen by others.
    type: path
"""

    MAINTENANCE = r"""
options:
  maintenance_database:
    description:
      - Database to log in to, neither the live one nor a copy. One who is in a database keeps it from being renamed and
        dropped.
    type: str
    default: postgres
"""
