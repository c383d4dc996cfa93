# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fair part of the processor for the lab's servers.

Where podman manages control groups itself, all containers lie in one group, and the kernel divides time between that
group and each single process beside it: all servers together would get as much as one fork of ``ansible-playbook``.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Path of the group's part below ROOT, what a single process counts, and the most that the kernel takes.
_PARTS = (("cpu/libpod_parent/cpu.shares", 1024, 262144), ("libpod_parent/cpu.weight", 100, 10000))


def share_fairly(root: Path = ROOT) -> None:
    """Let podman's group count as many processes as it has containers, where there is such a group that may be told."""
    for name, one, most in _PARTS:
        part = root / name
        containers = sum(path.is_dir() for path in part.parent.glob("libpod-*"))
        if not containers:
            continue
        try:
            part.write_text(f"{min(containers * one, most)}\n", encoding="ascii")
        except OSError:
            # A container of somebody's own, where it is read only: the lab works without it as well.
            continue
