# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration for each rule of django_migrate_safe: what a server does with it is measured, none of it stands here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One migration.

    :param rule: the rule that must decide on its last operation.
    :param operations: the migration's operations, as its file has them.
    :param sql: statements of before, run by a superuser.
    :param old: a statement of old code; it works before the migration, and fails after one that is contract.
    :param slow: old code is broken by speed alone, which no statement shows.
    :param fails: code or class of the error with which the migration fails.
    :param server: the oldest server that can run it.
    :param weaker: locks are held too shortly to be seen from beside: they may be weaker than the claim.
    """

    rule: str
    operations: str
    sql: str = ""
    atomic: bool = True
    old: str = ""
    slow: bool = False
    fails: str = ""
    server: int = 12
    weaker: bool = False
    django: tuple[int, int] = (4, 2)


def sql(rule: str, statement: str, **more: object) -> Case:
    """A case whose only operation is a statement written by hand."""
    return Case(rule, f"migrations.RunSQL({statement!r})", **more)  # type: ignore[arg-type]


def add(rule: str, field: str, **more: object) -> Case:
    """A case that adds a field to the orders."""
    return Case(rule, f'migrations.AddField("order", "extra", {field})', **more)  # type: ignore[arg-type]


def alter(rule: str, name: str, field: str, **more: object) -> Case:
    """A case that alters a field of the orders."""
    return Case(rule, f'migrations.AlterField("order", "{name}", {field})', **more)  # type: ignore[arg-type]


INSERT_ONE = "INSERT INTO orders_order (number, state) VALUES ('1', 'new')"
INSERT_NULL = "INSERT INTO orders_order (number, state, amount) VALUES ('x', 'new', NULL)"
INSERT_BAD = "INSERT INTO orders_order (number, state, amount) VALUES ('x', 'new', -1)"
INSERT_ALIEN = "INSERT INTO orders_note (number, order_id) VALUES (1, 999999)"
STATE = "SELECT state FROM orders_order"
UNIQUE_INDEX = "CREATE UNIQUE INDEX number_key ON orders_order (number)"
INDEX = "CREATE INDEX number_idx ON orders_order (number)"
PARTS = (
    "CREATE TABLE parts (id int, at int) PARTITION BY RANGE (at);"
    "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (5000);"
    "CREATE TABLE parts_2 (id int, at int);"
    "INSERT INTO parts SELECT n, n FROM generate_series(1, 3000) AS n;"
    "INSERT INTO parts_2 SELECT n, n + 5000 FROM generate_series(1, 3000) AS n;"
    "ALTER TABLE parts OWNER TO shop; ALTER TABLE parts_1 OWNER TO shop; ALTER TABLE parts_2 OWNER TO shop;"
)
NOTE = (
    "CREATE TABLE orders_note (number int NOT NULL, order_id bigint);"
    "INSERT INTO orders_note SELECT n, n FROM generate_series(1, 3000) AS n; ALTER TABLE orders_note OWNER TO shop;"
)
VIEW = (
    "CREATE VIEW orders_new AS SELECT id, number FROM orders_order WHERE state = 'new';"
    "ALTER VIEW orders_new OWNER TO shop;"
)
MATVIEW = (
    "CREATE MATERIALIZED VIEW orders_sum AS SELECT id, amount FROM orders_order;"
    "CREATE UNIQUE INDEX ON orders_sum (id); ALTER MATERIALIZED VIEW orders_sum OWNER TO shop;"
)
FUNCTION = (
    "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "ALTER FUNCTION quiet() OWNER TO shop;"
)
TRIGGER = f"{FUNCTION} CREATE TRIGGER quiet BEFORE INSERT ON orders_order FOR EACH ROW EXECUTE FUNCTION quiet();"
ENUM = "CREATE TYPE mood AS ENUM ('good', 'bad'); ALTER TYPE mood OWNER TO shop;"
DOMAIN = (
    "CREATE DOMAIN cents AS int; ALTER DOMAIN cents OWNER TO shop; CREATE TABLE prices (price cents);"
    "INSERT INTO prices SELECT n FROM generate_series(1, 3000) AS n; ALTER TABLE prices OWNER TO shop;"
)
SCHEMA = (
    "CREATE SCHEMA extra; ALTER SCHEMA extra OWNER TO shop; CREATE TABLE extra.things AS SELECT 1 AS a;"
    "ALTER TABLE extra.things OWNER TO shop;"
)
CHILD = (
    "CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent);"
    "INSERT INTO child SELECT generate_series(1, 3000);"
    "ALTER TABLE parent OWNER TO shop; ALTER TABLE child OWNER TO shop;"
)
CHECK = 'models.CheckConstraint({}=models.Q(amount__gte=0), name="amount_ok")'
FILLED = "UPDATE orders_order SET amount = 1;"

CASES: tuple[Case, ...] = (
    # Operations.
    Case(
        "table-exists",
        'migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))])',
        sql=NOTE,
        fails="42P07",
    ),
    Case("not-this-database", 'migrations.RunPython(nothing, hints={"elsewhere": True})'),
    Case("run-python-noop", "migrations.RunPython(migrations.RunPython.noop)"),
    Case("run-python", "migrations.RunPython(nothing)"),
    Case(
        "run-python-under-lock",
        'migrations.AddField("order", "extra", models.IntegerField(null=True)), migrations.RunPython(nothing)',
    ),
    Case(
        "new-table",
        (
            'migrations.CreateModel("Gift", [("id", models.BigAutoField(primary_key=True))]), '
            'migrations.AddField("gift", "a", models.IntegerField(default=0, db_index=True))'
        ),
    ),
    Case(
        "new-table-refers",
        (
            'migrations.CreateModel("Gift", [("id", models.BigAutoField(primary_key=True))]), '
            'migrations.AddField("gift", "o", models.ForeignKey("orders.order", models.CASCADE, '
            "null=True))"
        ),
    ),
    Case("not-djangos-own", "Own()"),
    Case(
        "sql-not-known",
        'migrations.AlterUniqueTogether("line", {("order", "id")}), migrations.RunSQL("SELECT 1"), Broken()',
        fails="ValueError",
    ),
    add(
        "add-column-same-value",
        "models.IntegerField(null=True, unique=True, db_default=1)",
        fails="23505",
        django=(5, 0),
    ),
    Case("no-statement", 'migrations.AlterModelOptions("order", {"ordering": ["id"]})'),
    alter("no-statement", "state", 'models.CharField(max_length=10, default="new", choices=[("a", "b")])'),
    sql("no-statement", "-- nothing"),
    Case(
        "required-left-behind",
        'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("order", "number")])',
    ),
    # New columns.
    add("add-column", "models.IntegerField(null=True)"),
    add("add-column", "models.IntegerField(null=True, default=3)"),
    add("add-column", "models.IntegerField(db_default=3)", django=(5, 0)),
    add("add-column", "models.DateTimeField(db_default=Now())", django=(5, 0)),
    sql("add-column", "alter table ORDERS_ORDER add extra timestamptz not null default now()"),
    add("add-column-required", "models.IntegerField(default=3)", old=INSERT_ONE),
    add("add-column-required", "models.CharField(max_length=5, blank=True)", old=INSERT_ONE),
    Case(
        "add-column-required",
        'migrations.AlterOrderWithRespectTo("line", "order")',
        old="INSERT INTO orders_line (order_id) VALUES (1)",
    ),
    add("add-column-without-default", "models.IntegerField()", fails="23502"),
    add("add-column-check", "models.PositiveIntegerField(null=True)"),
    add("add-column-unique", "models.IntegerField(null=True, unique=True)"),
    add("add-column-unique", 'models.OneToOneField("orders.line", models.CASCADE, null=True)'),
    add("add-column-refers", 'models.ForeignKey("orders.line", models.CASCADE, null=True, db_index=False)'),
    sql(
        "add-column-refers-with-default",
        "ALTER TABLE orders_line ADD COLUMN extra bigint DEFAULT 1 REFERENCES orders_order",
    ),
    add("add-column-volatile-default", "models.FloatField(db_default=Random())", django=(5, 0)),
    sql("add-column-volatile-default", "ALTER TABLE orders_order ADD extra uuid NOT NULL DEFAULT gen_random_uuid()"),
    sql(
        "add-column-volatile-default",
        "ALTER TABLE orders_order ADD extra cents",
        sql="CREATE DOMAIN cents AS int CHECK (VALUE > 0); GRANT USAGE ON TYPE cents TO shop",
    ),
    sql("add-column-serial", "ALTER TABLE orders_order ADD COLUMN extra bigserial"),
    sql("add-column-identity", "ALTER TABLE orders_order ADD COLUMN extra bigint GENERATED BY DEFAULT AS IDENTITY"),
    sql(
        "add-column-generated-stored",
        "ALTER TABLE orders_order ADD COLUMN extra int GENERATED ALWAYS AS (amount * 2) STORED",
    ),
    sql(
        "add-column-virtual",
        "ALTER TABLE orders_order ADD COLUMN extra int GENERATED ALWAYS AS (amount * 2)",
        server=18,
    ),
    sql("add-column-json", "ALTER TABLE orders_order ADD COLUMN extra json"),
    # Columns that change or go.
    Case("drop-column", 'migrations.RemoveField("order", "state")', old=STATE),
    Case("drop-column", 'migrations.RemoveField("line", "order")', old="SELECT order_id FROM orders_line"),
    Case("rename-column", 'migrations.RenameField("order", "state", "status")', old=STATE),
    alter("set-default", "state", 'models.CharField(max_length=10, db_default="x")', django=(5, 0)),
    sql("set-default", "ALTER TABLE orders_order ALTER state SET DEFAULT 'x'"),
    sql("drop-default-again", "ALTER TABLE orders_order ALTER amount DROP DEFAULT, ALTER amount SET DEFAULT 5"),
    sql(
        "drop-default",
        "ALTER TABLE orders_order ALTER state DROP DEFAULT",
        sql="ALTER TABLE orders_order ALTER state SET DEFAULT 'x'",
        old="INSERT INTO orders_order (number) VALUES ('1')",
    ),
    alter("set-not-null", "amount", "models.IntegerField()", sql=FILLED, old=INSERT_NULL),
    sql(
        "set-not-null-proven",
        "ALTER TABLE orders_order ALTER amount SET NOT NULL",
        sql=FILLED + "ALTER TABLE orders_order ADD CONSTRAINT amount_set CHECK (amount IS NOT NULL)",
    ),
    alter("drop-not-null", "state", 'models.CharField(max_length=10, default="new", null=True)'),
    alter("change-type-free", "number", "models.CharField(max_length=40)"),
    alter("change-type-free", "number", "models.TextField()"),
    alter("change-type-larger-integer", "amount", "models.BigIntegerField(null=True)"),
    alter("change-collation", "number", 'models.CharField(max_length=20, db_collation="POSIX")', sql=INDEX),
    alter(
        "change-type",
        "number",
        "models.CharField(max_length=19)",
        old="INSERT INTO orders_order (number, state) VALUES (repeat('x', 20), 'new')",
    ),
    alter(
        "change-type",
        "amount",
        "models.CharField(max_length=20, null=True)",
        old="SELECT sum(amount) FROM orders_order",
    ),
    sql("change-type", "ALTER TABLE orders_order ALTER amount TYPE numeric", slow=True),
    sql("add-identity", "ALTER TABLE orders_note ALTER number ADD GENERATED BY DEFAULT AS IDENTITY", sql=NOTE),
    sql("drop-identity", "ALTER TABLE orders_order ALTER id DROP IDENTITY", old=INSERT_ONE),
    sql(
        "set-expression",
        "ALTER TABLE made ALTER b SET EXPRESSION AS (a * 3)",
        server=17,
        slow=True,
        sql=(
            "CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO made "
            "SELECT generate_series(1, 3000); ALTER TABLE made OWNER TO shop"
        ),
    ),
    sql(
        "drop-expression",
        "ALTER TABLE made ALTER b DROP EXPRESSION",
        server=13,
        slow=True,
        sql=(
            "CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO made "
            "SELECT generate_series(1, 3000); ALTER TABLE made OWNER TO shop"
        ),
    ),
    sql("set-statistics", "ALTER TABLE orders_order ALTER amount SET STATISTICS 500"),
    sql("set-statistics", "ALTER TABLE orders_order ALTER amount SET (n_distinct = 5)"),
    sql("set-column-storage", "ALTER TABLE orders_order ALTER number SET STORAGE EXTERNAL"),
    sql(
        "add-not-null-not-valid",
        "ALTER TABLE orders_order ADD CONSTRAINT k NOT NULL amount NOT VALID",
        server=18,
        old=INSERT_NULL,
    ),
    # Tables, views, triggers.
    Case("create-table", 'migrations.CreateModel("Gift", [("id", models.BigAutoField(primary_key=True))])'),
    sql("create-table-refers", "CREATE TABLE gift (id int, o bigint REFERENCES orders_order)"),
    Case(
        "new-table-refers", 'migrations.CreateModel("Gift", [("o", models.ForeignKey("orders.order", models.CASCADE))])'
    ),
    Case("new-table-refers", 'migrations.AddField("order", "gifts", models.ManyToManyField("orders.line"))'),
    sql("create-table-as", "CREATE TABLE gift AS SELECT * FROM orders_order"),
    sql("create-partition", "CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (9000) TO (9100)", sql=PARTS),
    Case("drop-table", 'migrations.DeleteModel("Line")', old="SELECT id FROM orders_line"),
    Case("add-foreign-key", 'migrations.RenameModel("Order", "Purchase")', old=STATE),
    Case("rename-table", 'migrations.AlterModelTable("order", "purchase")', old=STATE),
    sql("set-schema", "ALTER TABLE orders_order SET SCHEMA extra", sql=SCHEMA, old=STATE),
    sql("truncate", "TRUNCATE orders_line", slow=True),
    sql("set-logged", "ALTER TABLE orders_line SET UNLOGGED"),
    sql(
        "set-tablespace",
        "ALTER TABLE orders_order SET TABLESPACE other",
        server=15,
        sql=(
            "SET allow_in_place_tablespaces = on; CREATE TABLESPACE other LOCATION ''; GRANT CREATE "
            "ON TABLESPACE other TO shop"
        ),
    ),
    sql(
        "set-access-method",
        "ALTER TABLE orders_order SET ACCESS METHOD heap2",
        server=15,
        sql="CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler",
    ),
    sql("set-storage-parameter", "ALTER TABLE orders_order SET (fillfactor = 70)"),
    sql("cluster-on", "ALTER TABLE orders_order CLUSTER ON orders_order_pkey"),
    sql("replica-identity", "ALTER TABLE orders_order REPLICA IDENTITY FULL"),
    sql("owner", "ALTER TABLE orders_order OWNER TO shop", sql="ALTER TABLE orders_order OWNER TO shop"),
    sql("attach-partition", "ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (5000) TO (9000)", sql=PARTS),
    sql(
        "detach-partition",
        "ALTER TABLE parts DETACH PARTITION parts_1",
        sql=PARTS,
        old="INSERT INTO parts VALUES (1, 1)",
    ),
    sql(
        "detach-partition-concurrently",
        "ALTER TABLE parts DETACH PARTITION parts_1 CONCURRENTLY",
        sql=PARTS,
        atomic=False,
        server=14,
        weaker=True,
        old="INSERT INTO parts VALUES (1, 1)",
    ),
    Case("comment", 'migrations.AlterModelTableComment("order", "all orders")'),
    sql("comment", "COMMENT ON COLUMN orders_order.number IS 'x'"),
    sql("create-view", "CREATE VIEW fresh AS SELECT * FROM orders_order"),
    sql("replace-view", "CREATE OR REPLACE VIEW orders_new AS SELECT id, number FROM orders_order", sql=VIEW),
    sql("drop-view", "DROP VIEW orders_new", sql=VIEW, old="SELECT * FROM orders_new"),
    sql("create-materialized-view", "CREATE MATERIALIZED VIEW sums AS SELECT id FROM orders_order"),
    sql("refresh-materialized-view", "REFRESH MATERIALIZED VIEW orders_sum", sql=MATVIEW),
    sql("refresh-materialized-view-concurrently", "REFRESH MATERIALIZED VIEW CONCURRENTLY orders_sum", sql=MATVIEW),
    sql(
        "create-trigger",
        "CREATE TRIGGER quiet BEFORE INSERT ON orders_order FOR EACH ROW EXECUTE FUNCTION quiet()",
        sql=FUNCTION,
    ),
    sql("drop-trigger", "DROP TRIGGER quiet ON orders_order", sql=TRIGGER),
    sql("switch-trigger", "ALTER TABLE orders_order DISABLE TRIGGER quiet", sql=TRIGGER),
    sql("row-security", "ALTER TABLE orders_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", old=INSERT_ONE),
    sql(
        "policy",
        "CREATE POLICY own ON orders_order USING (state = 'mine')",
        sql="ALTER TABLE orders_order ENABLE ROW LEVEL SECURITY",
        slow=True,
    ),
    # Indexes.
    Case("create-index", 'migrations.AddIndex("order", models.Index(fields=["number"], name="i"))'),
    alter("create-index", "state", 'models.CharField(max_length=10, default="new", db_index=True)'),
    Case(
        "create-index-concurrently",
        'postgres.AddIndexConcurrently("order", models.Index(fields=["number"], name="i"))',
        atomic=False,
    ),
    sql("create-unique-index", "CREATE UNIQUE INDEX ON orders_order (number)", old=INSERT_ONE),
    sql(
        "create-unique-index-concurrently",
        "create unique index concurrently i on orders_order (number)",
        atomic=False,
        old=INSERT_ONE,
    ),
    sql("drop-index", "DROP INDEX number_idx", sql=INDEX, slow=True),
    Case(
        "drop-index-concurrently",
        "migrations.RunSQL('DROP INDEX CONCURRENTLY number_idx')",
        sql=INDEX,
        atomic=False,
        slow=True,
    ),
    sql("rename-index", "ALTER INDEX number_idx RENAME TO other_idx", sql=INDEX),
    sql("reindex", "REINDEX INDEX number_idx", sql=INDEX),
    sql("reindex-concurrently", "REINDEX INDEX CONCURRENTLY number_idx", sql=INDEX, atomic=False),
    Case(
        "concurrently-in-transaction",
        'postgres.AddIndexConcurrently("order", models.Index(fields=["number"], name="i"))',
        fails="NotSupportedError",
    ),
    sql("concurrently-in-transaction", "create index concurrently i on orders_order (number)", fails="25001"),
    Case(
        "concurrently-among-others",
        "migrations.RunSQL(['SET lock_timeout = 0; CREATE INDEX CONCURRENTLY i ON orders_order (number)'])",
        atomic=False,
        fails="25001",
    ),
    sql(
        "concurrently-if-not-exists", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON orders_order (number)", atomic=False
    ),
    add("work-under-lock", "models.IntegerField(null=True, db_index=True)"),
    add("work-under-lock", 'models.ForeignKey("orders.line", models.CASCADE, null=True)'),
    Case(
        "work-under-lock",
        (
            'migrations.RunSQL("ALTER TABLE orders_order ALTER number SET STORAGE EXTERNAL; CREATE '
            'INDEX i ON orders_order (number)")'
        ),
    ),
    # Constraints.
    Case("add-check", f'migrations.AddConstraint("order", {CHECK})', old=INSERT_BAD),
    Case("add-check-not-valid", f'postgres.AddConstraintNotValid("order", {CHECK})', old=INSERT_BAD),
    sql(
        "add-foreign-key",
        "ALTER TABLE orders_note ADD FOREIGN KEY (order_id) REFERENCES orders_order",
        sql=NOTE,
        old=INSERT_ALIEN,
    ),
    sql(
        "add-foreign-key-not-valid",
        "ALTER TABLE orders_note ADD FOREIGN KEY (order_id) REFERENCES orders_order NOT VALID",
        sql=NOTE,
        old=INSERT_ALIEN,
    ),
    alter("add-unique", "number", "models.CharField(max_length=20, unique=True)", old=INSERT_ONE),
    Case("add-unique", 'migrations.AlterUniqueTogether("order", {("number", "state")})', old=INSERT_ONE),
    Case(
        "create-unique-index",
        (
            'migrations.AddConstraint("order", models.UniqueConstraint(fields=["number"], '
            'condition=models.Q(amount=None), name="u"))'
        ),
        old=INSERT_ONE,
    ),
    sql(
        "add-unique-using-index",
        "ALTER TABLE orders_order ADD CONSTRAINT u UNIQUE USING INDEX number_key",
        sql=UNIQUE_INDEX,
    ),
    sql(
        "add-primary-key",
        "ALTER TABLE orders_note ADD PRIMARY KEY (number)",
        sql=NOTE,
        old="INSERT INTO orders_note VALUES (1, 1)",
    ),
    sql(
        "add-primary-key-using-index",
        "ALTER TABLE orders_note ADD PRIMARY KEY USING INDEX k",
        sql=NOTE + "CREATE UNIQUE INDEX k ON orders_note (order_id)",
        old="INSERT INTO orders_note VALUES (1, NULL)",
    ),
    sql("add-exclude", "ALTER TABLE orders_order ADD EXCLUDE USING btree (number WITH =)", old=INSERT_ONE),
    sql(
        "validate",
        "ALTER TABLE orders_order VALIDATE CONSTRAINT k",
        sql="ALTER TABLE orders_order ADD CONSTRAINT k CHECK (id > 0) NOT VALID",
    ),
    sql("rename-constraint", "ALTER TABLE orders_order RENAME CONSTRAINT orders_order_pkey TO other"),
    sql(
        "alter-constraint",
        "ALTER TABLE orders_note ALTER CONSTRAINT k DEFERRABLE",
        sql=NOTE + "ALTER TABLE orders_note ADD CONSTRAINT k FOREIGN KEY (order_id) REFERENCES orders_order",
    ),
    sql(
        "drop-constraint",
        "ALTER TABLE orders_note DROP CONSTRAINT k",
        sql=NOTE + "ALTER TABLE orders_note ADD CONSTRAINT k FOREIGN KEY (order_id) REFERENCES orders_order",
    ),
    # Rows and sessions.
    sql("set-constraints", "SET CONSTRAINTS ALL IMMEDIATE"),
    sql("update-rows", "UPDATE orders_order SET amount = 1"),
    sql("delete-rows", "DELETE FROM orders_line WHERE id > 0"),
    sql("insert-rows", INSERT_ONE),
    sql("select", "SELECT count(*) FROM orders_order"),
    sql("do-block", "DO $$ BEGIN DELETE FROM orders_line; END $$"),
    sql("lock-table", "LOCK TABLE orders_order"),
    sql("set-limit", "SET LOCAL lock_timeout = 0"),
    sql("set-parameter", "SET LOCAL search_path TO public"),
    sql("transaction-control", "COMMIT"),
    sql("vacuum-full", "VACUUM FULL orders_order", atomic=False),
    sql("cluster", "CLUSTER orders_order USING orders_order_pkey"),
    sql("vacuum", "VACUUM orders_order", atomic=False),
    sql("analyze", "ANALYZE orders_order"),
    # What else a database holds.
    sql(
        "change-attribute",
        "ALTER TYPE pair RENAME ATTRIBUTE a TO c CASCADE",
        sql="CREATE TYPE pair AS (a int); ALTER TYPE pair OWNER TO shop; CREATE TABLE pairs OF pair;"
        "INSERT INTO pairs SELECT generate_series(1, 3000); ALTER TABLE pairs OWNER TO shop",
        old="SELECT (ROW(1)::pair).a",
    ),
    sql("inherit", "ALTER TABLE child NO INHERIT parent", sql=CHILD, slow=True),
    Case("create-extension", "postgres.TrigramExtension()"),
    sql("create-schema", "CREATE SCHEMA fresh"),
    sql("rename-schema", "ALTER SCHEMA extra RENAME TO other", sql=SCHEMA, old="SELECT * FROM extra.things"),
    sql("drop-schema", "DROP SCHEMA extra CASCADE", sql=SCHEMA, old="SELECT * FROM extra.things"),
    sql("drop-database", "DROP DATABASE victim", sql="CREATE DATABASE victim OWNER shop", atomic=False, slow=True),
    sql("create-object", "CREATE TYPE other AS ENUM ('a')"),
    sql("create-object", "CREATE SEQUENCE numbers"),
    sql("create-statistics", "CREATE STATISTICS st ON number, state FROM orders_order"),
    sql(
        "replace-function",
        "CREATE OR REPLACE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        sql=FUNCTION,
    ),
    sql("drop-object", "DROP TYPE mood", sql=ENUM, old="SELECT 'good'::mood"),
    sql("add-enum-value", "ALTER TYPE mood ADD VALUE 'fine'", sql=ENUM),
    sql("rename-enum-value", "ALTER TYPE mood RENAME VALUE 'good' TO 'great'", sql=ENUM, old="SELECT 'good'::mood"),
    sql(
        "add-domain-constraint",
        "ALTER DOMAIN cents ADD CHECK (VALUE > 0)",
        sql=DOMAIN,
        old="INSERT INTO prices VALUES (-1)",
    ),
    sql(
        "add-domain-constraint-not-valid",
        "ALTER DOMAIN cents ADD CONSTRAINT k CHECK (VALUE > 0) NOT VALID",
        sql=DOMAIN,
        old="INSERT INTO prices VALUES (-1)",
    ),
    sql("alter-sequence", "ALTER SEQUENCE orders_order_id_seq RESTART WITH 100000"),
    sql("grant", "GRANT SELECT ON orders_order TO PUBLIC"),
    sql("revoke", "REVOKE SELECT ON orders_order FROM shop", old=STATE),
    sql("unknown-statement", "WITH x AS (DELETE FROM orders_line RETURNING id) SELECT * FROM x"),
)
