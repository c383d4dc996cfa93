# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signals of ``manage.py migrate``: permissions, content types and what apps do besides hang on them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import error_text


def register() -> None:
    """Import what apps connect to the signals, as the command does."""
    for config in dj.apps.get_app_configs():
        if dj.module_has_submodule(config.module, "management"):
            import_module(f"{config.name}.management")


def send_before(alias: str, executor: Any, plan: Sequence[Any], *, backwards: bool) -> Any:
    """Send pre_migrate and return the state of the project before the plan."""
    state = executor._create_project_state(with_applied_migrations=True)
    pairs = [(migration, backwards) for migration in plan]
    dj.emit_pre_migrate_signal(0, False, alias, stdout=sys.stderr, apps=state.apps, plan=pairs)
    return state


def send_after(alias: str, state: Any, plan: Sequence[Any], *, backwards: bool) -> None:
    """Send post_migrate with the models as they are after the plan.

    :raises SlipwayError: a handler failed; what was migrated stays.
    """
    pairs = [(migration, backwards) for migration in plan]
    try:
        dj.emit_post_migrate_signal(0, False, alias, stdout=sys.stderr, apps=_models_of(state), plan=pairs)
    except Exception as error:
        # Handlers are code of the site.
        raise SlipwayError(
            f"a handler of post_migrate failed: {error_text(error)}",
            untouched="All migrations of this run are done and stay",
            remedy="Repair the cause and run again: the signal is sent again, the migrations are not repeated",
        ) from error


def _models_of(state: Any) -> Any:
    """As in the command: models that were delayed are rendered, those of apps without migrations anew."""
    state.clear_delayed_apps_cache()
    models = state.apps
    with models.bulk_update():
        keys = [(each.app_label, each.name_lower) for each in models.real_models]
        for key in keys:
            models.unregister_model(*key)
    models.render_multiple([dj.ModelState.from_model(dj.apps.get_model(*key)) for key in keys])
    return models
