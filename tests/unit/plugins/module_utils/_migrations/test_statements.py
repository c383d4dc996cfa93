# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import (
    KINDS,
    Action,
    default_of,
    kinds,
    outside_parentheses,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

# The statement, and what it does to what: kind, relation, target, refers.
CASES = [
    ('CREATE TABLE "a" ("id" bigint, "b" text);', [("create table", "a", "", "")]),
    ("create table if not exists A (id int references B(id))", [("create table", "a", "", "b")]),
    ("CREATE TABLE a AS SELECT * FROM b", [("create table as", "a", "", "")]),
    ("CREATE TABLE a PARTITION OF b FOR VALUES IN (1)", [("create partition", "a", "", "b")]),
    ("CREATE TEMP TABLE a (id int)", [("create temporary table", "a", "", "")]),
    (
        'ALTER TABLE "a" ADD COLUMN "n" numeric(5, 2) DEFAULT 1, ALTER COLUMN "c" DROP DEFAULT',
        [("add column", "a", "n", ""), ("drop default", "a", "c", "")],
    ),
    (
        'ALTER TABLE "a" ADD COLUMN "x" bigint CONSTRAINT "f" REFERENCES "b"("id"); SET CONSTRAINTS "f" IMMEDIATE;',
        [("add column", "a", "x", "b"), ("set constraints", "", "", "")],
    ),
    (
        'ALTER TABLE "a" ALTER COLUMN "c" TYPE varchar(9), ALTER COLUMN "c" SET NOT NULL;',
        [("change type", "a", "c", ""), ("set not null", "a", "c", "")],
    ),
    ("alter table only public.Orders add n int", [("add column", "public.orders", "n", "")]),
    ("ALTER TABLE a ADD IF NOT EXISTS n int", [("add column", "a", "n", "")]),
    ('ALTER TABLE "a" ALTER COLUMN "c" SET DEFAULT \'x, y; z\';', [("set default", "a", "c", "")]),
    ('ALTER TABLE "odd, name; here" RENAME TO "b";', [("rename table", "odd, name; here", "b", "")]),
    ('ALTER TABLE "s"."a""b" DROP COLUMN c CASCADE', [("drop column", 's.a"b', "c", "")]),
    ('ALTER TABLE "a" ADD CONSTRAINT "k" CHECK ("n" > 0) NOT VALID', [("add check not valid", "a", "k", "")]),
    ('ALTER TABLE "a" ADD CONSTRAINT "k" CHECK ("n" > 0)', [("add check", "a", "k", "")]),
    ("ALTER TABLE a ADD CHECK (n > 0)", [("add check", "a", "", "")]),
    (
        'ALTER TABLE "a" ADD CONSTRAINT "k" FOREIGN KEY ("b") REFERENCES "c" ("id") DEFERRABLE INITIALLY DEFERRED',
        [("add foreign key", "a", "k", "c")],
    ),
    ("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c NOT VALID", [("add foreign key not valid", "a", "", "c")]),
    ("ALTER TABLE a ADD CONSTRAINT u UNIQUE (b)", [("add unique", "a", "u", "")]),
    ("ALTER TABLE a ADD CONSTRAINT u UNIQUE USING INDEX i", [("add unique using index", "a", "u", "")]),
    ("ALTER TABLE a ADD PRIMARY KEY USING INDEX i", [("add primary key using index", "a", "", "")]),
    ("ALTER TABLE a ADD EXCLUDE USING gist (b WITH &&)", [("add exclude", "a", "", "")]),
    ("ALTER TABLE a VALIDATE CONSTRAINT k", [("validate", "a", "k", "")]),
    ("ALTER TABLE a DROP CONSTRAINT IF EXISTS k", [("drop constraint", "a", "k", "")]),
    ("ALTER TABLE a ADD CONSTRAINT k NOT NULL b NOT VALID", [("add not null not valid", "a", "k", "")]),
    ("ALTER TABLE a RENAME b TO c", [("rename column", "a", "b", "")]),
    ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", [("detach partition concurrently", "a", "", "b")]),
    ("ALTER TABLE a SET UNLOGGED", [("set logged", "a", "", "")]),
    ("ALTER TABLE a SET (fillfactor = 70)", [("set storage parameter", "a", "", "")]),
    ("ALTER TABLE a ENABLE ROW LEVEL SECURITY", [("row security", "a", "", "")]),
    ('CREATE INDEX CONCURRENTLY "i" ON "a" ("b")', [("create index concurrently", "a", "i", "")]),
    ("create unique index concurrently if not exists i on a (b)", [("create unique index concurrently", "a", "i", "")]),
    ("CREATE INDEX ON a (b)", [("create index", "a", "", "")]),
    ("DROP INDEX CONCURRENTLY IF EXISTS i", [("drop index concurrently", "i", "", "")]),
    ("REINDEX (VERBOSE) INDEX CONCURRENTLY i", [("reindex concurrently", "i", "", "")]),
    ("REINDEX (CONCURRENTLY, VERBOSE) INDEX i", [("reindex concurrently", "i", "", "")]),
    ("REINDEX TABLE t", [("reindex", "t", "", "")]),
    ("DROP TABLE a, b", [("drop table", "", "", "")]),
    ("-- why\nUPDATE /* all */ \"a\" SET b = 'it''s; fine'; SET CONSTRAINTS ALL IMMEDIATE",
     [("update", "a", "", ""), ("set constraints", "", "", "")]),
    ("SET LOCAL lock_timeout = '2s'", [("set limit", "", "lock_timeout", "")]),
    ("SET search_path TO x", [("set parameter", "", "search_path", "")]),
    ("COMMIT", [("transaction control", "", "", "")]),
    ("VACUUM (FULL, ANALYZE) a", [("vacuum full", "a", "", "")]),
    ("VACUUM FULL", [("vacuum full", "", "", "")]),
    ("VACUUM a", [("vacuum", "", "", "")]),
    ("DO $$ BEGIN DELETE FROM a; END $$", [("do block", "", "", "")]),
    ("COMMENT ON COLUMN a.b IS 'x'", [("comment on column", "a", "", "")]),
    ("ALTER TYPE mood ADD VALUE 'x'", [("add enum value", "", "mood", "")]),
    ("CREATE TRIGGER x BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", [("create trigger", "a", "x", "")]),
    ('ALTER TABLE "a" ADD COLUMN "b" text, INVENT SOMETHING', [("add column", "a", "b", ""), ("unknown", "a", "", "")]),
    ("WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x", [("unknown", "", "", "")]),
    ("INVENTED a", [("unknown", "", "", "")]),
    ("-- nothing", []),
    (";;", []),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), CASES, ids=[case[0] for case in CASES])
def test_what_a_statement_does(statement: str, expected: list[tuple[str, str, str, str]]) -> None:
    assert [(each.kind, each.relation, each.target, each.refers) for each in parse(statement)] == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("int", "none"),
        ("int DEFAULT 3 NOT NULL", "constant"),
        ("int DEFAULT -3", "constant"),
        ("text DEFAULT 'a NOT NULL b' NOT NULL", "constant"),
        ("jsonb DEFAULT '{}'::jsonb", "constant"),
        ("varchar(9) DEFAULT 'x'::character varying(9) NOT NULL", "constant"),
        ("timestamptz DEFAULT now()", "constant"),
        ("timestamptz DEFAULT (STATEMENT_TIMESTAMP()) NOT NULL", "constant"),
        ("timestamptz DEFAULT clock_timestamp()", "volatile"),
        ("uuid DEFAULT gen_random_uuid() NOT NULL", "volatile"),
        ("float8 DEFAULT (RANDOM())", "volatile"),
        ("int DEFAULT nextval('s')", "volatile"),
        ("int DEFAULT 1 + f(2)", "volatile"),
    ],
)
def test_the_default_of_a_new_column(column: str, expected: str) -> None:
    (action,) = parse(f"ALTER TABLE a ADD COLUMN b {column}")

    assert default_of(action) == expected


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ('("Amount" IS NOT NULL)', "Amount"),
        ("((amount IS NOT NULL))", "amount"),
        ("(amount > 0)", ""),
        ("(amount IS NOT NULL OR true)", ""),
        ("(amount IS NOT NULL AND b > 0)", ""),
    ],
)
def test_a_check_proves_a_column_only_when_it_says_nothing_else(check: str, expected: str) -> None:
    (action,) = parse(f"ALTER TABLE a ADD CONSTRAINT k CHECK {check} NOT VALID")

    assert action.proves == expected


def test_what_stands_in_parentheses_is_taken_out() -> None:
    assert outside_parentheses("A (B (C) D) E (F)") == "A () E ()"


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        ('CREATE UNIQUE INDEX "i" ON "a" ("b", c)', ("b", "c")),
        ('create index i on only "a" using btree ("B")', ("B",)),
        ('CREATE INDEX "i" ON "a" (lower("b"))', ()),
        ('CREATE INDEX "i" ON "a" ("b" DESC)', ()),
        ('ALTER TABLE "a" ADD CONSTRAINT "u" UNIQUE ("b", "c")', ("b", "c")),
        ('ALTER TABLE "a" ADD CONSTRAINT "f" FOREIGN KEY ("b_id") REFERENCES "b" ("id")', ("b_id",)),
        ('ALTER TABLE "a" ADD CONSTRAINT "u" UNIQUE USING INDEX "i"', ()),
        ('ALTER TABLE "a" ADD COLUMN "b" integer UNIQUE', ()),
    ],
)
def test_plain_columns_of_an_index_or_a_key(statement: str, columns: tuple[str, ...]) -> None:
    assert [each.columns for each in parse(statement)] == [columns]


def test_the_text_is_kept_of_a_statement_that_does_one_thing() -> None:
    assert parse(" DROP TABLE a; ")[0].text == "DROP TABLE a"
    assert [each.text for each in parse("DROP TABLE a; DROP TABLE b")] == ["", ""]


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert {action.kind for action in parse(text)} <= KINDS


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_quoted_name_is_kept_as_it_is(name: str) -> None:
    quoted = name.replace('"', '""')

    (action,) = parse(f'ALTER TABLE "{quoted}" DROP COLUMN "{quoted}"')

    assert replace(action, text="") == Action("drop column", name, name, words='DROP COLUMN "1"')


@given(st.sampled_from([case for case in CASES if case[1]]), st.data())
def test_case_and_blanks_of_words_do_not_matter(case: tuple[str, list[object]], data: st.DataObject) -> None:
    """Only outside of names and literals, which these have none of."""
    statement = case[0]
    if set("\"'$-/") & set(statement):
        return
    changed = data.draw(st.sampled_from([statement.lower(), statement.upper(), statement.swapcase()]))
    changed = changed.replace(" ", data.draw(st.sampled_from([" ", "\n", "  \t"])))

    assert kinds(changed) == kinds(statement)
