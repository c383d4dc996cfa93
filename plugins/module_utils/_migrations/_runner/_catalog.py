# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalogs of a database say: its schema as code can notice it, and how large its tables are."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._contract import (
    Catalog,
    Column,
    Relation,
    Rule,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import rows
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._journal import TABLE as JOURNAL

# Schemas that hold what is the site's; the journal is ours.
_OURS = f"""relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
  AND NOT starts_with(relname::text, '{JOURNAL}')"""
_COLUMNS = f"""
SELECT c.oid::bigint, c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> ''
FROM pg_class AS c LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OURS}
"""
# Their names and whether they are validated make no difference to code.
_CONSTRAINTS = f"""
SELECT conrelid::bigint, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), coalesce(conkey, '{{}}')
FROM pg_constraint AS k JOIN pg_class ON pg_class.oid = conrelid WHERE contype IN ('c', 'f', 'x') AND {_OURS}
"""
_INDEXES = f"""
SELECT indrelid::bigint, indisunique, string_to_array(indkey::text, ' ')::int[],
       ARRAY(SELECT pg_get_indexdef(indexrelid, n, true) FROM generate_series(1, indnkeyatts) AS n),
       coalesce(pg_get_expr(indpred, indrelid), '')
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid WHERE indisvalid AND {_OURS}
"""
_KIND = "CASE relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view ' ELSE 'table ' END"
_EXACTLY = f"""
SELECT concat('extension ', extname) FROM pg_extension
UNION ALL SELECT concat('schema ', nspname) FROM pg_namespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL SELECT concat({_KIND}, c.oid::regclass,
    ': ' || CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
    ', comment ' || obj_description(c.oid, 'pg_class'))
  FROM pg_class AS c WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {_OURS}
UNION ALL SELECT concat('column ', c.oid::regclass, '.', attname, ' ', format_type(atttypid, atttypmod),
    CASE WHEN attnotnull THEN ' NOT NULL' END, ' identity ' || NULLIF(attidentity::text, ''),
    CASE WHEN attgenerated <> '' THEN ' generated ' ELSE ' default ' END || pg_get_expr(adbin, adrelid),
    ' collation ' || (SELECT collname FROM pg_collation AS l WHERE l.oid = NULLIF(attcollation, typcollation)),
    ', comment ' || col_description(c.oid, attnum))
  FROM pg_class AS c JOIN pg_attribute ON attrelid = c.oid JOIN pg_type AS t ON t.oid = atttypid
  LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
  WHERE relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped AND {_OURS}
UNION ALL SELECT concat('constraint ', conname, ' of ', conrelid::regclass, ': ', pg_get_constraintdef(k.oid))
  FROM pg_constraint AS k JOIN pg_class ON pg_class.oid = conrelid WHERE contype NOT IN ('n', 't') AND {_OURS}
UNION ALL SELECT concat('index: ', pg_get_indexdef(indexrelid), CASE WHEN NOT indisvalid THEN ' (INVALID)' END)
  FROM pg_index JOIN pg_class ON pg_class.oid = indrelid WHERE {_OURS}
UNION ALL SELECT concat('trigger: ', pg_get_triggerdef(t.oid))
  FROM pg_trigger AS t JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal AND {_OURS}
UNION ALL SELECT concat('type ', t.oid::regtype, ': ', string_agg(enumlabel, ', ' ORDER BY enumsortorder))
  FROM pg_type AS t JOIN pg_enum ON enumtypid = t.oid GROUP BY t.oid
UNION ALL SELECT concat('function: ', pg_get_functiondef(p.oid)) FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = pronamespace
  WHERE prokind IN ('f', 'p') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
"""
_TRIGGERS = f"""
SELECT tgrelid::bigint, pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class ON pg_class.oid = tgrelid
WHERE NOT tgisinternal AND {_OURS}
"""
_ENUMS = """
SELECT typname, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_type JOIN pg_enum ON enumtypid = pg_type.oid
GROUP BY typname
"""
_SIZES = f"""
SELECT relname, CASE WHEN pg_relation_size(oid) = 0 THEN 0 WHEN reltuples > 0 THEN reltuples::bigint END,
       pg_table_size(oid)
FROM pg_class WHERE relkind IN ('r', 'm') AND {_OURS}
"""

_LARGE = f"""
SELECT oid::bigint, relname, reltuples::bigint, pg_table_size(oid) FROM pg_class
WHERE relkind IN ('r', 'm') AND {_OURS} AND (reltuples > %s OR pg_table_size(oid) > %s)
"""


def read_catalog(connection: Any) -> Catalog:
    """Return the schema as it is now."""
    relations: dict[int, Relation] = {}
    for oid, name, number, *column in rows(connection, _COLUMNS):
        relation = relations.setdefault(oid, Relation(name, {}))
        if number is not None:
            columns = dict(relation.columns)
            columns[number] = Column(*column)
            relations[oid] = Relation(name, columns)
    rules = {Rule(oid, text, tuple(key)) for oid, text, key in rows(connection, _CONSTRAINTS, ())}
    indexes = set()
    for oid, unique, key, parts, condition in rows(connection, _INDEXES):
        text = f"({', '.join(parts)}){f' WHERE {condition}' if condition else ''}"
        columns_of = tuple(number for number in key if number)
        indexes.add(Rule(oid, text, columns_of))
        if unique:
            rules.add(Rule(oid, f"UNIQUE {text}", columns_of))
    return Catalog(
        relations,
        frozenset(rules),
        frozenset(indexes),
        frozenset(Rule(oid, text, ()) for oid, text in rows(connection, _TRIGGERS, ())),
        {name: tuple(labels) for name, labels in rows(connection, _ENUMS)},
    )


def read_exactly(connection: Any) -> frozenset[str]:
    """Return the schema in words, names and expressions included. Owners and rights are no part of it."""
    return frozenset(text for (text,) in rows(connection, _EXACTLY))


def read_large(connection: Any, more_rows: int, more_bytes: int) -> dict[int, Table]:
    """Return the tables with more rows, or more bytes, by their oids."""
    found = rows(connection, _LARGE, (more_rows, more_bytes))
    return {oid: Table(name, count if count >= 0 else None, size) for oid, name, count, size in found}


def read_sizes(connection: Any) -> dict[str, Table]:
    """Return the tables with their estimated rows and bytes; of two with one name the larger."""
    found: dict[str, Table] = {}
    for name, count, size in rows(connection, _SIZES):
        if name not in found or size > (found[name].bytes or 0):
            found[name] = Table(name, count, size)
    return found
