# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection that stays open, spoken to through one psql: for transactions, snapshots and swaps."""

from __future__ import annotations

import json
import os
import re
import secrets
import selectors
import signal
import subprocess
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import IO, Any, Final, cast

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._process import conversing

_OPENING_LIMIT_S: Final = 30.0
_CLOSING_LIMIT_S: Final = 2.0
_BLOCK: Final = 1 << 16

# An empty search path makes every name a full one, and keeps objects of others from being called. Notices would be
# taken for errors. A site's time limits are for its application, not for a transaction that waits for a dump. Those in
# the list may not be there: one ends a query whose asker was killed (version 14), one is a time limit (17), and one
# keeps a firewall from forgetting a connection that is silent while others dump.
_OPENING: Final = """
SET client_min_messages = error;
SET search_path = '';
SET standard_conforming_strings = on;
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SELECT json_build_object('pid', pg_backend_pid(), 'set', (
  SELECT json_agg(set_config(wanted.name, wanted.value, false))
  FROM (VALUES ('client_connection_check_interval', '1s'), ('transaction_timeout', '0'), ('tcp_keepalives_idle', '60'))
    AS wanted (name, value)
  JOIN pg_settings USING (name)))
"""
# As the server writes it with VERBOSITY verbose, in whatever language: "ERROR:  42P01: relation …".
_SERVER_ERROR: Final = re.compile(r"^[^\s:][^:\n]*:  ([0-9A-Z]{5}): (.*)$", re.MULTILINE)


class Session(AbstractContextManager["Session"]):
    """A connection, as a context manager. Leaving it closes the connection, which rolls back what is open.

    Every name must be written with its schema: the search path is empty. One statement at a time.
    """

    def __init__(self, psql: str, connection: Connection, clock: Clock) -> None:
        self._psql = psql
        self._connection = connection
        self._clock = clock
        self._stack = ExitStack()
        self._marker = ""
        self.pid = 0

    def __enter__(self) -> Session:
        argv = [
            self._psql,
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--set=ON_ERROR_STOP=0",
            "--set=VERBOSITY=verbose",
        ]
        # Otherwise psql speaks the database's own encoding.
        environment = {**self._connection.environment(), "PGCLIENTENCODING": "UTF8"}
        self._process = self._stack.enter_context(conversing(argv, env=environment))
        try:
            self.pid = int(self.ask(_OPENING, _OPENING_LIMIT_S)["pid"])
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._end()
        finally:
            self._stack.close()

    def ask(self, sql: str, timeout_s: float) -> Any:
        """Return the JSON document that a query answers with; None when it answers with nothing.

        :raises SlipwayError: it failed; the message is the server's, ``facts["sqlstate"]`` its code.
        """
        self.start(sql)
        answer = self.finish(timeout_s).strip()
        if not answer:
            return None
        try:
            return json.loads(answer)
        except ValueError as error:
            raise SlipwayError(
                f"psql answered with what is no JSON: {answer[:300]!r}", untouched="Nothing was changed"
            ) from error

    def order(self, sql: str, timeout_s: float) -> None:
        """Carry out one statement.

        :raises SlipwayError: it failed; the message is the server's, ``facts["sqlstate"]`` its code.
        """
        self.start(sql)
        self.finish(timeout_s)

    def start(self, sql: str) -> None:
        """Begin a statement that runs while somebody else works; ``finish`` waits for it.

        :raises SlipwayError: the connection is gone.
        """
        if self._marker:
            raise ValueError("the statement before was not waited for")
        # Nobody can make a row, a name or an error that looks like the end of an answer.
        self._marker = secrets.token_hex(16)
        script = f"{sql.strip()}\n;\n\\echo {self._marker} :ERROR :SQLSTATE\n\\warn {self._marker}\n"
        try:
            stdin = self._pipe(self._process.stdin)
            stdin.write(script.encode())
            stdin.flush()
        except (OSError, ValueError):
            # psql has ended, or was ended by us; why, it has said before.
            raise self._lost(*self._collect(_CLOSING_LIMIT_S)) from None

    def finish(self, timeout_s: float) -> str:
        """Wait for the statement that was started, and return what it answered.

        :raises SlipwayError: it failed; the message is the server's, ``facts["sqlstate"]`` its code.
        :raises TimedOut: it did not end in time. It was cancelled and the connection is closed.
        """
        output, errors = self._collect(timeout_s)
        answer, found, status = output.rpartition(self._marker)
        if not found or self._marker not in errors:
            raise self._lost(output, errors)
        self._marker = ""
        failed, _space, sqlstate = status.strip().partition(" ")
        seen = _SERVER_ERROR.search(errors)
        if failed == "true" or seen:
            # No more than its first line: the others quote the statement, which may hold a secret.
            code, message = (seen[1], seen[2]) if seen else (sqlstate, errors.partition("\n")[0])
            raise self._refused(code, message)
        return answer

    def _refused(self, sqlstate: str, message: str) -> SlipwayError:
        return SlipwayError(
            f"PostgreSQL refused ({self._connection.in_words()}): {message}",
            facts={"database": self._connection.database, "sqlstate": sqlstate},
        )

    def _lost(self, output: str, errors: str) -> SlipwayError:
        """The connection could not be made, or is gone."""
        self._marker = ""
        seen = _SERVER_ERROR.search(errors)
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        message = seen[2] if seen else (lines[0] if lines else output.strip()[-300:] or "no reason was given")
        return SlipwayError(
            f"The connection failed or was lost ({self._connection.in_words()}): {message}",
            remedy="See that the server runs, the name of the database, and that the role may log in without being "
            "asked",
            facts={"database": self._connection.database, "sqlstate": seen[1] if seen else None},
        )

    def _collect(self, timeout_s: float) -> tuple[str, str]:
        """Read both outputs until each holds the marker or has ended."""
        deadline = self._clock.monotonic() + timeout_s
        marker = self._marker.encode()
        seen: dict[int, bytearray] = {}
        with selectors.DefaultSelector() as waiting:
            for pipe in (self._process.stdout, self._process.stderr):
                descriptor = self._pipe(pipe).fileno()
                seen[descriptor] = bytearray()
                waiting.register(descriptor, selectors.EVENT_READ)
            while waiting.get_map():
                remaining = deadline - self._clock.monotonic()
                ready = waiting.select(max(0.0, remaining))
                if not ready:
                    raise self._too_late(timeout_s)
                for key, _events in ready:
                    block = os.read(key.fd, _BLOCK)
                    seen[key.fd] += block
                    if not block or _complete(seen[key.fd], marker):
                        waiting.unregister(key.fd)
        output, errors = (text.decode("utf-8", "replace") for text in seen.values())
        return output, errors

    def _too_late(self, timeout_s: float) -> TimedOut:
        self._end()
        return TimedOut(
            f"PostgreSQL did not answer within {timeout_s:g} s ({self._connection.in_words()}); the statement was "
            "cancelled and the connection closed",
            facts={"database": self._connection.database, "sqlstate": None, "timeout_s": timeout_s},
        )

    def _end(self) -> None:
        """Let psql end by itself: it cancels what runs, and the server rolls back at once."""
        if self._process.poll() is None and self._marker:
            os.killpg(self._process.pid, signal.SIGINT)
        self._marker = ""
        try:
            self._pipe(self._process.stdin).close()
            self._process.wait(_CLOSING_LIMIT_S)
        except (OSError, subprocess.TimeoutExpired):
            # It is killed when the stack is closed.
            return

    @staticmethod
    def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
        return cast("IO[bytes]", stream)  # as conversing() says


def _complete(text: bytearray, marker: bytes) -> bool:
    # On standard output the line of the marker goes on behind it.
    return text.endswith(b"\n") and marker in text[-len(marker) - 32 :]
