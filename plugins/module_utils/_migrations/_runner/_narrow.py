# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A state of the project with the models alone that an operation's SQL depends on.

Django makes classes of all models of a state before it writes the SQL of one operation, and makes most of them anew
after it. In a project with hundreds of models that is nearly all of the time that a plan takes. An operation's SQL
depends on its model and on what that refers to; where a key changes, also on what refers to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj

Key = tuple[str, str]


def narrow(state: Any, *wanted: Key, referring: bool) -> Any:
    """Return a state with the wanted models, and all that these refer to in turn.

    :param referring: with those that refer to the wanted ones.
    """
    keys = {key for key in wanted if key in state.models}
    if referring:
        keys |= {key for key, model in state.models.items() if not keys.isdisjoint(referred(key, model))}
    todo, found = [*keys], {*keys}
    while todo:
        key = todo.pop()
        for other in referred(key, state.models[key]):
            if other in state.models and other not in found:
                found.add(other)
                todo.append(other)
    models = {key: model for key, model in state.models.items() if key in found}
    return dj.ProjectState(models, real_apps=state.real_apps)


def referred(key: Key, model: Any) -> Iterator[Key]:
    """Yield the models that a model's bases and fields name."""
    app, name = key
    for base in model.bases:
        if isinstance(base, str):
            yield _resolved(base, app, name)
    for field in model.fields.values():
        yield from references(app, name, field)


def references(app: str, name: str, field: Any) -> Iterator[Key]:
    """Yield the models that a field of a model names."""
    remote = getattr(field, "remote_field", None)
    for other in (getattr(remote, "model", None), getattr(remote, "through", None)):
        if other:
            yield _resolved(other, app, name)


def _resolved(model: Any, app: str, name: str) -> Key:
    """As Django resolves what a relation names: ``self``, a name, or an app and a name."""
    if not isinstance(model, str):
        return (model._meta.app_label, model._meta.model_name)
    if model == "self":
        return (app, name)
    label, _dot, short = model.rpartition(".")
    return (label or app, short.lower())


def table_of(state: Any, key: Key) -> str:
    """The table of a model, as Django names it."""
    app, name = key
    return str(state.models[key].options.get("db_table") or dj.truncate_name(f"{app}_{name}", 63))
