# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source of a module of this collection, to be run by another Python."""

from __future__ import annotations

from types import ModuleType
from typing import Protocol, cast


class _Loader(Protocol):
    def get_source(self, fullname: str) -> str | None: ...


def source_of(module: ModuleType) -> str:
    """Return the source from where the module was loaded, an archive of Ansible's included."""
    source = cast(_Loader, module.__loader__).get_source(module.__name__)
    if source is None:
        raise RuntimeError(f"no source of {module.__name__}")
    return source
