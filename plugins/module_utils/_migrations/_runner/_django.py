# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of Django that the runner uses: the one place that knows where they lie.

The runner's files are also read where there is no Django: by the module that carries them, and by linters.
So its absence is noted here, and becomes an error in the runner alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

MISSING = ""
try:
    import django
    from django.apps import apps
    from django.conf import settings
    from django.core.management import execute_from_command_line
    from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
    from django.db import Error, connections, router
    from django.db.backends.signals import connection_created
    from django.db.backends.utils import truncate_name
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.operations import RunPython
    from django.db.migrations.recorder import MigrationRecorder
    from django.db.migrations.state import ModelState, ProjectState, StateApps
    from django.db.migrations.writer import MigrationWriter
    from django.db.models import Value
    from django.db.models.fields import NOT_PROVIDED
    from django.db.models.functions import Now
    from django.db.transaction import atomic
    from django.db.utils import load_backend
    from django.utils.module_loading import module_has_submodule
except ImportError as error:
    MISSING = str(error)


def psycopg2_waiting() -> tuple[Any, Any]:
    """Return the two modules of psycopg2 that have to do with waiting; only for connections of psycopg2."""
    return import_module("psycopg2.extensions"), import_module("psycopg2.extras")


__all__ = [
    "MISSING",
    "NOT_PROVIDED",
    "Error",
    "MigrationExecutor",
    "MigrationLoader",
    "MigrationRecorder",
    "MigrationWriter",
    "ModelState",
    "Now",
    "ProjectState",
    "RunPython",
    "StateApps",
    "Value",
    "apps",
    "atomic",
    "connection_created",
    "connections",
    "django",
    "emit_post_migrate_signal",
    "emit_pre_migrate_signal",
    "execute_from_command_line",
    "load_backend",
    "module_has_submodule",
    "psycopg2_waiting",
    "router",
    "settings",
    "truncate_name",
]
