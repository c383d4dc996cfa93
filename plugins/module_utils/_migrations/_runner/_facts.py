# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about the operations that would run: their SQL, without executing it, and the tables they touch.

Django's schema editor collects the statements; the session is read-only meanwhile, because operations of others
may send statements past the editor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Field, Migration, Operation, Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import RULE_NAMES
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import error_text, rows
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._narrow import (
    Key,
    Views,
    led,
    table_of,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._steps import (
    Step,
    call,
    describe,
    runs_python,
    steps,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import Action, kinds, parse

# Operations whose `name` is that of a model.
_OF_MODEL = {
    "AlterIndexTogether",
    "AlterModelManagers",
    "AlterModelOptions",
    "AlterModelTable",
    "AlterModelTableComment",
    "AlterOrderWithRespectTo",
    "AlterUniqueTogether",
    "CreateModel",
    "DeleteModel",
}

_ALTERS_COLUMN = frozenset({"AddField", "AlterField", "RemoveField"})

_TABLE = """
SELECT CASE WHEN pg_relation_size(oid) = 0 THEN 0 WHEN reltuples > 0 THEN reltuples::bigint END, pg_table_size(oid)
FROM pg_class WHERE oid = to_regclass(%s)
"""
_NAMES = """
SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'i', 'I')
AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(false)))
"""
_CHECKS = """
SELECT conname, attname, convalidated FROM pg_constraint
JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
WHERE conrelid = to_regclass(%s) AND contype = 'c' AND cardinality(conkey) = 1
AND pg_get_constraintdef(pg_constraint.oid) LIKE 'CHECK ((' || quote_ident(attname) || ' IS NOT NULL))%%'
"""
_REQUIRED = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
AND attnotnull AND NOT atthasdef AND attidentity = ''
"""
# What needs to know of the checks of its table.
_BY_CHECKS = frozenset({"set not null", "validate"})


class Tables:
    """The tables that were in the database before the run, looked up once each, under all names they get."""

    def __init__(self, connection: Any, known: Mapping[str, Table] | None = None) -> None:
        self._connection = connection
        self._known: dict[str, Table | None] = dict(known or {})
        self._names: frozenset[str] | None = None
        self._required: dict[str, frozenset[str]] = {}
        self._checks: dict[str, tuple[tuple[str, str, bool], ...]] = {}

    def get(self, name: str) -> Table | None:
        """Return the table, None when there is none of this name."""
        if name not in self._known:
            self._known[name] = self._look_up(name)
        return self._known[name]

    def named(self, action: Action) -> Iterator[Table]:
        """Yield the tables of before the run that an action names, as it names them."""
        for name in (action.relation, action.refers):
            table = self.get(name) if name else None
            if table is not None:
                checks = self._checks_of(table) if action.kind in _BY_CHECKS else ()
                yield replace(table, name=name, checks=checks)

    def _checks_of(self, table: Table) -> tuple[tuple[str, str, bool], ...]:
        if table.name not in self._checks:
            found = rows(self._connection, _CHECKS, (self._quoted(table.name),))
            self._checks[table.name] = tuple((name, column, valid) for name, column, valid in found)
        return self._checks[table.name]

    def required(self, table: str, column: str) -> bool:
        """Whether no INSERT can leave a column out, as the table is now."""
        known = self.get(table)
        if known is None:
            return False
        if known.name not in self._required:
            found = rows(self._connection, _REQUIRED, (self._quoted(known.name),))
            self._required[known.name] = frozenset(name for (name,) in found)
        return column in self._required[known.name]

    def renamed(self, old: str, new: str) -> None:
        self._known[new] = self.get(old)

    def dropped(self, name: str) -> None:
        self._known[name] = None

    def _look_up(self, name: str) -> Table | None:
        if self._names is None:
            self._names = frozenset(found for (found,) in rows(self._connection, _NAMES))
        # A name with a schema may be one of a schema that is not searched.
        if name not in self._names and "." not in name:
            return None
        try:
            found = rows(self._connection, _TABLE, (self._quoted(name),))
        except dj.Error:
            # Somebody holds the table locked: it is there, its size is not to be had.
            return Table(name, None, None)
        return Table(name, *found[0]) if found else None

    def _quoted(self, name: str) -> str:
        whole = self._names is None or name in self._names
        return ".".join(map(self._connection.ops.quote_name, [name] if whole else name.split(".")))


@dataclass(frozen=True)
class Source:
    """Where facts come from."""

    connection: Any
    tables: Tables
    views: Views = dataclasses.field(default_factory=Views)


def collect(connection: Any, plan: Sequence[Any], state: Any) -> list[Migration]:
    """Return the facts about each migration of a plan, which starts at ``state``; that state is used up."""
    source = Source(connection, Tables(connection))
    return [_migration(source, each, state, backwards=False) for each in plan]


def collect_one(source: Source, migration: Any, state: Any) -> Migration:
    """Return the facts about one migration; the state is led along."""
    return _migration(source, migration, state, backwards=False)


def collect_undoing(
    connection: Any, plan: Sequence[Any], states: Any, known: Mapping[str, Table] | None = None
) -> list[Migration]:
    """Return the facts about undoing each migration.

    :param states: the state before each of them.
    :param known: tables that are not to be looked up.
    """
    source = Source(connection, Tables(connection, known))
    return [_migration(source, each, states[each], backwards=True) for each in plan]


def _migration(source: Source, migration: Any, state: Any, *, backwards: bool) -> Migration:
    operations: list[Operation] = []
    way = steps(migration, state, backwards=True) if backwards else _forward(migration, state)
    # Never as a transaction: a statement that fails would make all later questions fail.
    with source.connection.schema_editor(collect_sql=True, atomic=False) as editor:
        for step in way:
            facts = _operation(editor, source, migration.app_label, _narrowed(source.views, migration.app_label, step))
            _follow(source.tables, facts, migration.app_label, step)
            operations.append(facts)
        editor.deferred_sql.clear()
    return Migration(
        app=migration.app_label,
        name=migration.name,
        atomic=migration.atomic,
        backwards=backwards,
        operations=tuple(operations),
        acknowledged=acknowledged_in(migration),
        later=_is_later(migration),
    )


def _forward(migration: Any, state: Any) -> Iterator[Step]:
    """The steps as they run, without a copy of the whole state for each."""
    for index, operation in enumerate(migration.operations):
        before = led(state, migration.app_label, operation, _touched(migration.app_label, operation))
        yield Step(index, operation, before, state, backwards=False)


def _touched(app: str, operation: Any) -> list[Key] | None:
    """The models that an operation changes in the state; None where these may be any."""
    name = type(operation).__name__
    if not _is_builtin(operation) or name not in _LOCAL:
        return None
    model = _model_name(operation)
    return [(app, model)] if model else []


def _is_later(migration: Any) -> bool:
    """Whether the migration's own file says that new code does not need it: ``slipway_phase = "contract"``.

    :raises Refused: it says something else.
    """
    phase = getattr(migration, "slipway_phase", None)
    if phase in {None, "contract"}:
        return phase is not None
    raise Refused(
        f"{migration.app_label}.{migration.name}: slipway_phase is {phase!r}, expected 'contract' or nothing",
        untouched="Nothing was changed",
        remedy="Repair the migration and deploy that version",
    )


def acknowledged_in(migration: Any) -> tuple[tuple[str, str], ...]:
    """What the migration's own file lets pass: ``slipway_acknowledged = {rule: reason}`` in its class.

    :raises Refused: it is written otherwise.
    """
    written = getattr(migration, "slipway_acknowledged", {})
    proper = isinstance(written, dict) and all(
        rule in RULE_NAMES and isinstance(reason, str) and reason.strip() for rule, reason in written.items()
    )
    if not proper:
        raise Refused(
            f"{migration.app_label}.{migration.name}: slipway_acknowledged is {written!r}, expected a dictionary from"
            f" rules to reasons in words; the rules are {', '.join(sorted(RULE_NAMES))}",
            untouched="Nothing was changed",
            remedy="Repair the migration and deploy that version",
        )
    return tuple(sorted((rule, reason.strip()) for rule, reason in written.items()))


# Django's own, whose SQL depends on their model and those around it alone.
_NARROW = frozenset(
    {
        "AddConstraint",
        "AddField",
        "AddIndex",
        "AlterField",
        "AlterIndexTogether",
        "AlterModelTable",
        "AlterModelTableComment",
        "AlterOrderWithRespectTo",
        "AlterUniqueTogether",
        "CreateModel",
        "DeleteModel",
        "RemoveConstraint",
        "RemoveField",
        "RemoveIndex",
        "RenameField",
        "RenameIndex",
        "RenameModel",
    }
)


# What changes no other model's state than its own.
_LOCAL = (_NARROW - {"RenameField", "RenameModel"}) | {"AlterModelManagers", "AlterModelOptions", "RunPython"}


def _narrowed(views: Views, app: str, step: Step) -> Step:
    """The step between two states that hold what its SQL depends on: to make classes of all models takes long."""
    operation = step.operation
    if not _is_builtin(operation) or type(operation).__name__ not in _NARROW:
        # Of a state with classes each later operation makes many anew: they are made on a copy.
        return replace(step, to_state=step.to_state.clone())
    key = (app, _model_name(operation))
    if type(operation).__name__ == "RenameModel":
        narrow_from = views.narrow(step.from_state, key, referring=True)
        narrow_to = views.narrow(step.to_state, (app, operation.new_name_lower), referring=True)
        return replace(step, from_state=narrow_from, to_state=narrow_to)
    fields = [_state_field(app, state, operation) for state in (step.from_state, step.to_state)]
    # The type of a key is that of what refers to it.
    keyed = any(field is not None and (field.primary_key or field.unique) for field in fields)
    referring = keyed and type(operation).__name__ == "AlterField"
    # Where nothing but a column is at stake, the other columns of its table are not.
    alone = type(operation).__name__ in _ALTERS_COLUMN and not keyed and not any(map(_is_derived, fields))
    names = {operation.name} if alone else None
    narrow_from = views.narrow(step.from_state, key, fields=names, referring=referring)
    narrow_to = views.narrow(step.to_state, key, fields=names, referring=referring)
    return replace(step, from_state=narrow_from, to_state=narrow_to)


def _is_derived(field: Any) -> bool:
    """Whether a field is made from others."""
    return bool(getattr(field, "generated", False))


def _operation(editor: Any, source: Source, app: str, step: Step) -> Operation:
    operation, tables = step.operation, source.tables
    builtin = _is_builtin(operation)
    wrapped = builtin and type(operation).__name__ == "SeparateDatabaseAndState" and not step.backwards
    inner = _inner(editor, source, app, step) if wrapped else ()
    if wrapped:
        sql, problem = [line for each in inner for line in each.sql], ""
    else:
        sql, problem = _statements(editor, app, step)
    name = _table_name(app, step)
    table = tables.get(name) if name and (sql or type(operation).__name__ != "CreateModel") else None
    return Operation(
        index=step.index,
        kind=type(operation).__name__ if builtin else f"{type(operation).__module__}.{type(operation).__qualname__}",
        builtin=builtin,
        describe=describe(operation),
        sql=tuple(sql),
        problem=problem,
        opaque=runs_python(operation),
        noop=_is_noop(step),
        elsewhere=builtin and not sql and not problem and _is_elsewhere(editor.connection.alias, app, operation),
        reversible=_is_reversible(operation),
        table=table,
        new_table=bool(name) and table is None,
        field=_field(editor.connection, app, step.to_state, operation),
        old_field=_field(editor.connection, app, step.from_state, operation),
        inner=inner,
        model=_model_name(operation),
        tables=_tables(tables, sql),
        required=_required(tables, sql),
        default_sql=_default_sql(editor, app, step) if type(operation).__name__ == "RemoveField" else "",
        required_left_behind=_left_behind(app, step, tables, sql) if wrapped else "",
        definition=_written(_added(operation)) if builtin else "",
    )


def _tables(tables: Tables, sql: Sequence[str]) -> tuple[Table, ...]:
    found = (table for line in sql for action in parse(line) for table in tables.named(action))
    return tuple(dict.fromkeys(found))


def _required(tables: Tables, sql: Sequence[str]) -> tuple[tuple[str, str], ...]:
    dropped = (action for line in sql for action in parse(line) if action.kind == "drop column")
    return tuple(
        (action.relation, action.target) for action in dropped if tables.required(action.relation, action.target)
    )


def _default_sql(editor: Any, app: str, step: Step) -> str:
    field = _state_field(app, step.from_state, step.operation)
    # The one that a function makes is another each time.
    if field is None or not field.has_default() or callable(field.default):
        return ""
    return str(editor.quote_value(field.get_db_prep_save(field.default, editor.connection)))


def _statements(editor: Any, app: str, step: Step) -> tuple[list[str], str]:
    """Return the statements of one step, and why they can't be known."""
    if runs_python(step.operation):
        return [], ""
    collected, deferred = len(editor.collected_sql), [id(each) for each in editor.deferred_sql]
    try:
        call(step, app, editor)
    except Exception as error:
        # Not only Django's errors: an operation that asks the database for what the ones ahead would make
        # fails in its own way, and those of others may do anything.
        return [], error_text(error)
    later = [f"{each};" for each in editor.deferred_sql if id(each) not in deferred]
    return [*editor.collected_sql[collected:], *later], ""


def _inner(editor: Any, source: Source, app: str, step: Step) -> tuple[Operation, ...]:
    found: list[Operation] = []
    state = step.from_state
    for operation in step.operation.database_operations:
        after = state.clone()
        operation.state_forwards(app, after)
        inner = Step(step.index, operation, state, after, backwards=False)
        found.append(_operation(editor, source, app, _narrowed(source.views, app, inner)))
        _follow(source.tables, found[-1], app, inner)
        state = after
    return tuple(found)


def _is_builtin(operation: Any) -> bool:
    module = type(operation).__module__
    return module.startswith("django.db.migrations.operations.") or module == "django.contrib.postgres.operations"


def _is_noop(step: Step) -> bool:
    code = getattr(step.operation, "reverse_code" if step.backwards else "code", None)
    return code is dj.RunPython.noop


def _is_elsewhere(alias: str, app: str, operation: Any) -> bool:
    """Whether the site's routers keep an operation off this database, asked as the operation itself asks them."""
    model, hints = _model_name(operation), getattr(operation, "hints", {})
    if not (model or hasattr(operation, "hints")):
        return False
    return not dj.router.allow_migrate(alias, app, **({"model_name": model} if model else hints))


def _is_reversible(operation: Any) -> bool:
    inner = getattr(operation, "database_operations", ())
    return bool(operation.reversible) and all(_is_reversible(each) for each in inner)


def _model_name(operation: Any) -> str:
    name = getattr(operation, "model_name", None) or getattr(operation, "old_name_lower", None)
    if name is None and type(operation).__name__ in _OF_MODEL:
        name = operation.name
    return str(name or "").lower()


def _table_name(app: str, step: Step) -> str:
    """The table of the operation's model: as it is called before it, or as a new model's will be."""
    model = _model_name(step.operation)
    for state in (step.from_state, step.to_state):
        if model and (app, model) in state.models:
            return table_of(state, (app, model))
    return ""


def _follow(tables: Tables, facts: Operation, app: str, step: Step) -> None:
    """Keep the names of tables right for the operations that come after."""
    if facts.kind == "DeleteModel" and facts.sql:
        tables.dropped(_table_name(app, step))
    new_model = getattr(step.operation, "new_name_lower", None) or _model_name(step.operation)
    if facts.kind in {"RenameModel", "AlterModelTable"} and (app, new_model) in step.to_state.models:
        tables.renamed(_table_name(app, step), table_of(step.to_state, (app, new_model)))


def _state_field(app: str, state: Any, operation: Any) -> Any:
    model = state.models.get((app, _model_name(operation)))
    return model and model.fields.get(getattr(operation, "name", None))


def _field(connection: Any, app: str, state: Any, operation: Any) -> Field | None:
    field = _state_field(app, state, operation) if hasattr(operation, "model_name") else None
    if field is None:
        return None
    own = type(field).__module__.startswith("django.")
    column, db_type = _column(connection, app, state, operation)
    return Field(
        name=operation.name,
        kind=type(field).__name__ if own else f"{type(field).__module__}.{type(field).__qualname__}",
        null=field.null,
        db_default=_db_default(field),
        unique=field.unique,
        primary_key=field.primary_key,
        many_to_many=bool(field.many_to_many),
        generated=("stored" if field.db_persist else "virtual") if getattr(field, "generated", False) else "",
        max_length=getattr(field, "max_length", None),
        column=column,
        db_type=db_type,
        definition=_written(field),
        nullable=_written(_nullable(field)),
    )


def _written(value: Any) -> str:
    """An object as a migration's file writes it; empty when there is none, or it can't be written."""
    if value is None:
        return ""
    try:
        return str(dj.MigrationWriter.serialize(value)[0])
    except Exception:
        # Fields of others may not know how they were made.
        return ""


def _nullable(field: Any) -> Any:
    if field.primary_key or field.many_to_many:
        return None
    clone = field.clone()
    clone.null = True
    return clone


def _added(operation: Any) -> Any:
    """What an operation adds beside fields: an index or a constraint."""
    kind = type(operation).__name__
    if kind in {"AddIndex", "AddIndexConcurrently"}:
        return operation.index
    return operation.constraint if kind in {"AddConstraint", "AddConstraintNotValid"} else None


def _column(connection: Any, app: str, state: Any, operation: Any) -> tuple[str, str]:
    """Column and type of a field: of a bound one, for a foreign key has the type of what it refers to."""
    if type(operation).__name__ not in _ALTERS_COLUMN:
        return "", ""
    if _state_field(app, state, operation) is None:
        return "", ""
    bound = state.apps.get_model(app, _model_name(operation))._meta.get_field(operation.name)
    return str(bound.column or ""), str(bound.db_type(connection) or "")


def _db_default(field: Any) -> str:
    default = getattr(field, "db_default", dj.NOT_PROVIDED)
    if default is dj.NOT_PROVIDED:
        return "none"
    # now() is the same for all rows of a statement; of other expressions that is not known.
    plain = not hasattr(default, "resolve_expression") or isinstance(default, (dj.Value, dj.Now))
    return "constant" if plain else "expression"


def _left_behind(app: str, step: Step, tables: Tables, sql: Sequence[str]) -> str:
    """The column that the new code forgets though it stays, and that no INSERT can leave out."""
    if any("drop column" in kinds(line) for line in sql):
        return ""
    for operation in step.operation.state_operations:
        field = _state_field(app, step.from_state, operation) if type(operation).__name__ == "RemoveField" else None
        model = _model_name(operation)
        if field is None or field.null or field.many_to_many or _db_default(field) != "none":
            continue
        table = table_of(step.from_state, (app, model))
        if tables.get(table) is not None:
            own = field.clone()
            own.set_attributes_from_name(operation.name)
            return f"{table}.{own.column}"
    return ""
