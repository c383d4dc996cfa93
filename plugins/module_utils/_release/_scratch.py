# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory for looking at a release without staging it. It belongs to us, or it is not used."""

from __future__ import annotations

import os
import stat

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._files import write_atomic
from ansible_collections.slipway.django.plugins.module_utils._release._tree import remove_tree

_MARK = ".slipway-scratch"


def prepare_scratch(path: str) -> bool:
    """Make the directory, or check that it is ours. Returns True when it was made.

    :raises Refused: somebody else could write into it, or it holds something else: what is built there is run.
    """
    try:
        os.mkdir(path, 0o700)
        made = True
    except FileExistsError:
        _check(path)
        made = False
    except FileNotFoundError as error:
        raise Refused(
            f"the directory above {path} does not exist",
            untouched="Nothing was changed",
            remedy="Make it, or name another scratch",
        ) from error
    write_atomic(os.path.join(path, _MARK), b"")
    return made


def remove_scratch(path: str) -> bool:
    """Remove the directory with all that is in it. Returns False when it was not there.

    :raises Refused: we did not make it.
    """
    if not os.path.lexists(path):
        return False
    _check(path)
    remove_tree(path)
    return True


def _check(path: str) -> None:
    status = os.lstat(path)
    flaws = {
        "is no directory": not stat.S_ISDIR(status.st_mode),
        f"belongs to user id {status.st_uid}, this runs as user id {os.geteuid()}": status.st_uid != os.geteuid(),
        "can be written by others": bool(status.st_mode & 0o022),
    }
    flaw = next((text for text, found in flaws.items() if found), None)
    if flaw is None and os.listdir(path) and not os.path.lexists(os.path.join(path, _MARK)):
        flaw = f"holds files and has no {_MARK}: it was not made for this"
    if flaw is not None:
        raise Refused(
            f"scratch {path} {flaw}",
            untouched="It was left as it is",
            remedy="Name a directory that does not exist",
            facts={"path": path},
        )
