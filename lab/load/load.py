# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generator as one command: ``python3 load.py run …``, ``python3 load.py verify …`` (README.md)."""

import runpy

if __name__ == "__main__":
    runpy.run_module("shopload", run_name="__main__", alter_sys=True)
