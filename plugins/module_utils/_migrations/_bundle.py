# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner in one file: a zip archive that any Python can execute, made from the modules that it consists of."""

from __future__ import annotations

import io
import zipfile
from types import ModuleType

from ansible_collections.slipway.django.plugins.module_utils import _errors, _polling, _process
from ansible_collections.slipway.django.plugins.module_utils._migrations import (
    _acknowledging,
    _contract,
    _fits,
    _instead,
    _judgement,
    _losing,
    _measured,
    _phases,
    _plan,
    _protocol,
    _rehearsal,
    _report,
    _resuming,
    _sql,
    _statements,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules import (
    _columns,
    _constraints,
    _operations,
    _other,
    _rule,
    _table,
    _tables,
    _types,
    _undo,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules import _indexes as _index_rules
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import (
    _applying,
    _blockers,
    _by_hand,
    _catalog,
    _copy,
    _counting,
    _database,
    _django,
    _facts,
    _indexes,
    _journal,
    _locking,
    _main,
    _models,
    _narrow,
    _notices,
    _observing,
    _offline,
    _once,
    _record,
    _rehearse,
    _respond,
    _run,
    _signals,
    _steps,
    _stepwise,
    _tracing,
    _tripwire,
    _whole,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres import (
    _client,
    _create,
    _marks,
    _progress,
    _rehearsals,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres import _source as _postgres_source
from ansible_collections.slipway.django.plugins.module_utils._source import source_of

# All that the runner imports of this collection. A test holds the list against the imports.
MODULES: tuple[ModuleType, ...] = (
    _errors,
    _polling,
    _process,
    _client,
    _create,
    _marks,
    _progress,
    _rehearsals,
    _postgres_source,
    _contract,
    _acknowledging,
    _fits,
    _instead,
    _judgement,
    _losing,
    _measured,
    _phases,
    _plan,
    _protocol,
    _rehearsal,
    _report,
    _resuming,
    _sql,
    _statements,
    _columns,
    _constraints,
    _index_rules,
    _operations,
    _other,
    _rule,
    _table,
    _tables,
    _types,
    _undo,
    _applying,
    _blockers,
    _by_hand,
    _catalog,
    _copy,
    _counting,
    _database,
    _django,
    _facts,
    _indexes,
    _journal,
    _locking,
    _main,
    _models,
    _notices,
    _narrow,
    _observing,
    _offline,
    _once,
    _record,
    _rehearse,
    _respond,
    _run,
    _signals,
    _stepwise,
    _steps,
    _tracing,
    _tripwire,
    _whole,
)
_START = f"from {_main.__name__} import main\n\nmain()\n"


def bundle() -> bytes:
    """Return the archive. The sources come from where the modules were loaded, an archive of Ansible's included."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", _START)
        for package in sorted({each for module in MODULES for each in _packages(module.__name__)}):
            archive.writestr(f"{package}/__init__.py", "")
        for module in MODULES:
            archive.writestr(f"{module.__name__.replace('.', '/')}.py", source_of(module))
    return memory.getvalue()


def _packages(name: str) -> list[str]:
    parts = name.split(".")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]
