# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations in a process of its own, which somebody else kills: what the module does, without Ansible around it."""

from __future__ import annotations

import json
import sys

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._bundle import bundle
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import Means, ask, find_site
from ansible_collections.slipway.django.plugins.module_utils._migrations._options import read_options
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner


def main() -> None:
    """Read options and a directory for the runner from standard input; write the result, or the failure, as JSON."""
    values, directory = json.load(sys.stdin)
    try:
        site = find_site(values["release_path"], values["project_directory"], values["settings"])
        request = read_options(values, site, check_mode=False, now=SystemClock().utcnow())
        result = ask(site, request, Means(bundle(), directory, SystemRunner(), values["timeout"]))
    except SlipwayError as error:
        result = {"failed": True, "msg": error.message}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
