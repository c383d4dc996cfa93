#!/usr/bin/env python3
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rolling deployment loses, against the ways of the runbooks, in one run under the same load."""

from __future__ import annotations

import argparse
from pathlib import Path

from slipway_lab import proof, ways
from slipway_lab.world import open_world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="write the page here as well")
    given = parser.parse_args()
    world = open_world()
    world.ready()
    seen = proof.circumstances(world.settings, world.fleet)
    trials = ways.run_all(world, given.rounds)
    text = ways.render(seen, trials)
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
