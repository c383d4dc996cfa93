# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a project's state that is enough to write the SQL of one operation.

Django makes classes of all models of a state before it writes the SQL of one operation, and makes most of them anew
after it. In a project with hundreds of models that is nearly all of the time that a plan takes. An operation's SQL
depends on its model, on the keys of what that refers to, and, where a key changes, on what refers to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj

Key = tuple[str, str]
# What of a model's options its key and its table depend on.
_OPTIONS = frozenset({"db_table", "managed", "proxy", "swappable"})
# As many states as an operation and the one after it need.
_KEPT = 4


class Views:
    """Narrow states. The one after an operation is the one before the next, mostly: it is made once.

    A model's state is known by its identity. So it must never be changed once it was seen here; see ``led``.
    """

    def __init__(self) -> None:
        self._kept: dict[object, tuple[object, Any]] = {}
        # Classes of models that have a plain key and nothing else: whoever refers to one may have the same.
        self._classes: dict[object, tuple[object, Any]] = {}

    def narrow(self, state: Any, wanted: Key, *, fields: Collection[str] | None = None, referring: bool = False) -> Any:
        """Return a state with the wanted model, and of all that it refers to in turn the keys.

        :param fields: all that is needed of it beside its key; None: the whole of it.
        :param referring: with the models that refer to it.
        """
        whole = _whole(state, wanted, referring) if fields is None else {}
        part = (
            {}
            if fields is None or wanted not in state.models
            else {wanted: _part(wanted, state.models[wanted], fields)}
        )
        keys = _keys_of(state, {**whole, **part})
        mark = _mark(state, whole, part, keys)
        if mark not in self._kept:
            originals = [state.models[key] for key in (*whole, *part, *keys)]
            self._kept[mark] = (originals, self._made(state, {**whole, **part}, keys))
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept[mark][1]

    def _made(self, state: Any, models: Mapping[Key, Any], keys: Mapping[Key, set[str]]) -> Any:
        alone = {key: _key_alone(state.models[key], names) for key, names in keys.items()}
        narrowed = dj.ProjectState({**models, **alone}, real_apps=_real_apps(state, {**models, **alone}))
        try:
            # In place of what Django would make of the state when it is asked for.
            narrowed.__dict__["apps"] = self._apps(narrowed, models, alone)
        except Exception:
            # A class of the site's own that a model is derived from may miss a field: then with all of them.
            return dj.ProjectState(_closure(state, models), real_apps=state.real_apps)
        return narrowed

    def _apps(self, narrowed: Any, models: Mapping[Key, Any], alone: Mapping[Key, Any]) -> Any:
        apps = dj.StateApps(narrowed.real_apps, {})
        missing: dict[object, Any] = {}
        for (app, _name), model in alone.items():
            mark = _plain(model)
            if mark in self._classes:
                apps.register_model(app, self._classes[mark][1])
            else:
                missing[mark or object()] = model
        apps.render_multiple([*models.values(), *missing.values()])
        if apps._pending_operations:
            raise LookupError("a model that is referred to is not there")
        for mark, model in missing.items():
            if _plain(model):
                self._classes[mark] = (model, apps.all_models[model.app_label][model.name_lower])
        return apps


def _mark(state: Any, whole: Mapping[Key, Any], part: Mapping[Key, Any], keys: Mapping[Key, set[str]]) -> object:
    return (
        frozenset((key, id(model)) for key, model in whole.items()),
        frozenset((key, id(state.models[key]), *sorted(model.fields)) for key, model in part.items()),
        frozenset((key, id(state.models[key]), *sorted(names)) for key, names in keys.items()),
    )


def _plain(model: Any) -> object:
    """What tells the class of a key alone from others; None where it depends on other models."""
    if any(field.is_relation for field in model.fields.values()) or any(isinstance(each, str) for each in model.bases):
        return None
    fields = tuple((name, id(field)) for name, field in model.fields.items())
    options = tuple(sorted((name, model.options[name]) for name in _OPTIONS & set(model.options)))
    return (model.app_label, model.name, fields, options, model.bases)


def _real_apps(state: Any, models: Mapping[Key, Any]) -> Any:
    """The apps without migrations whose models are referred to: all, or none of them, which is much less to do."""
    outside = (other for key, model in models.items() for other in referred(key, model) if other not in state.models)
    return state.real_apps if any(app in state.real_apps for app, _name in outside) else set()


def _part(key: Key, model: Any, names: Collection[str]) -> Any:
    """The model with some of its fields. The names in its options are not looked up when its class is made."""
    options = {name: value for name, value in model.options.items() if name != "order_with_respect_to"}
    fields = [model.fields[name] for name in names if name in model.fields]
    own = {name for field in fields if key in references(*key, field) for name in _targets(field)}
    return dj.ModelState(model.app_label, model.name, _key_fields(model, own.union(names)), options, model.bases)


def led(state: Any, app: str, operation: Any, touched: Iterable[Key] | None) -> Any:
    """Lead a state over an operation and return the one before it, which shares with it what does not change.

    :param touched: the models that it changes; None: that is not known.
    """
    before = dj.ProjectState(dict(state.models), real_apps=state.real_apps)
    for key in state.models if touched is None else touched:
        if key in state.models:
            state.models[key] = state.models[key].clone()
    operation.state_forwards(app, state)
    return before


def _whole(state: Any, wanted: Key, referring: bool) -> dict[Key, Any]:
    """The models that must be there as they are."""
    found = {wanted: state.models[wanted]} if wanted in state.models else {}
    if referring:
        found.update((key, model) for key, model in state.models.items() if wanted in referred(key, model))
    todo = list(found.items())
    while todo:
        key, model = todo.pop()
        for other in (*_bases(key, model), *_through(key, model)):
            if other in state.models and other not in found:
                found[other] = state.models[other]
                todo.append((other, state.models[other]))
    return found


def _keys_of(state: Any, whole: Mapping[Key, Any]) -> dict[Key, set[str]]:
    """The models of which the key alone must be there, each with the other fields that are referred to."""
    found: dict[Key, set[str]] = {}
    todo = [(key, field) for key, model in whole.items() for field in model.fields.values()]
    while todo:
        (app, name), field = todo.pop()
        for other in references(app, name, field):
            todo.extend(_noted(state, whole, found, other, _targets(field)))
    return found


def _noted(
    state: Any, whole: Mapping[Key, Any], found: dict[Key, set[str]], key: Key, names: set[str]
) -> Iterator[tuple[Key, Any]]:
    """Note a model that is referred to, and yield those of its fields that refer to others in turn."""
    if key in whole or key not in state.models or (key in found and names <= found[key]):
        return
    model = state.models[key]
    found.setdefault(key, set()).update(names)
    yield from ((key, field) for _name, field in _key_fields(model, found[key]))
    for base in _bases(key, model):
        yield from _noted(state, whole, found, base, set())


def _key_fields(model: Any, names: set[str]) -> list[tuple[str, Any]]:
    keys = [field for field in model.fields.values() if field.primary_key]
    # A key of several columns names them.
    wanted = names | {name for field in keys for name in getattr(field, "field_names", ())}
    return [(name, field) for name, field in model.fields.items() if field.primary_key or name in wanted]


def _targets(field: Any) -> set[str]:
    """The fields that a relation points to, where it names them."""
    named = (*getattr(field, "to_fields", ()), getattr(field.remote_field, "field_name", None))
    return {name for name in named if isinstance(name, str) and name != "self"}


def _key_alone(model: Any, names: set[str]) -> Any:
    options = {name: value for name, value in model.options.items() if name in _OPTIONS}
    return dj.ModelState(model.app_label, model.name, _key_fields(model, names), options, model.bases)


def _closure(state: Any, keys: Iterable[Key]) -> dict[Key, Any]:
    found = {key: state.models[key] for key in keys}
    todo = list(found.items())
    while todo:
        for other in referred(*todo.pop()):
            if other in state.models and other not in found:
                found[other] = state.models[other]
                todo.append((other, state.models[other]))
    return found


def referred(key: Key, model: Any) -> Iterator[Key]:
    """Yield the models that a model's bases and fields name."""
    yield from _bases(key, model)
    for field in model.fields.values():
        yield from references(*key, field)


def _bases(key: Key, model: Any) -> Iterator[Key]:
    return (_resolved(base, *key) for base in model.bases if isinstance(base, str))


def _through(key: Key, model: Any) -> Iterator[Key]:
    for field in model.fields.values():
        through = getattr(getattr(field, "remote_field", None), "through", None)
        if through:
            yield _resolved(through, *key)


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
