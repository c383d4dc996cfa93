# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets stay out of what other programs say.

Output of pip or of a site's own command goes into messages. It may hold a value that we handed over in the
environment (a traceback, a URL with its password), so each value is replaced by its variable's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, MutableSet, Sequence
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.slipway.django.plugins.module_utils._errors import TimedOut
from ansible_collections.slipway.django.plugins.module_utils._process import Completed, Runner

# Shorter values are digits, flags and words: replacing them would make every message unreadable.
_SHORTEST = 4
# Never secret, and the first thing to know when a site can't be imported.
_PLAIN = frozenset({"DJANGO_SETTINGS_MODULE", "LANG", "LC_ALL", "PATH", "TZ"})

HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def take_secrets(
    params: MutableMapping[str, object], masked: MutableSet[str], options: Sequence[str]
) -> dict[str, dict[str, object]]:
    """Take dictionaries of secrets out of a module's parameters.

    Ansible masks the values of a C(no_log) option wherever they occur in a result, parts of words included:
    with C(WORKERS: "2") among them no commit id would survive. And it shows the parameters in the result. So
    the parameters keep the names alone, and the masking, which has nothing left to mask, ends.

    :param params: C(AnsibleModule.params).
    :param masked: C(AnsibleModule.no_log_values). Holds values of these options only.
    """
    taken: dict[str, dict[str, object]] = {}
    for option in options:
        value = params[option]
        taken[option] = dict(value) if isinstance(value, Mapping) else {}
        params[option] = {str(name): HIDDEN for name in taken[option]}
    masked.clear()
    return taken


class Redaction:
    """Replaces values of an environment in a text by their variables' names.

    :param shown: texts that we show ourselves, such as the root. A value that is part of one is no secret, and
        without it paths stay readable: the database of a site below C(/srv/shop) is often called C(shop).
    """

    def __init__(self, environment: Mapping[str, str], *, shown: Sequence[str] = ()) -> None:
        needles: dict[str, str] = {}
        for name, value in environment.items():
            if name in _PLAIN or any(value in text for text in shown):
                continue
            for form in _forms(value):
                needles.setdefault(form, name)
        self._names = needles
        # The longest first: a value that begins with another one must not be left with its end in sight.
        ordered = sorted(needles, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(needle) for needle in ordered)) if ordered else None

    def __call__(self, text: str) -> str:
        """Return the text without the values."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: f"<{self._names[match.group()]}>", text)


def _forms(value: str) -> set[str]:
    """How a value is likely to be printed: as it is, as Python or JSON, in a URL; and the password of a URL."""
    plain = {value}
    try:
        password = urlsplit(value).password
    except ValueError:
        password = None
    if password:
        plain |= {password, unquote(password)}
    quoted = {form for text in plain for form in (repr(text)[1:-1], json.dumps(text)[1:-1], quote(text, safe=""))}
    return {form for form in plain | quoted if len(form) >= _SHORTEST}


class RedactingRunner:
    """A runner whose failing programs say no secrets: only of a failure the output is shown."""

    def __init__(self, inner: Runner, redact: Redaction) -> None:
        self._inner = inner
        self._redact = redact

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        try:
            done = self._inner.run(argv, timeout_s=timeout_s, stdin=stdin, env=env, cwd=cwd)
        except TimedOut as error:
            facts = {**error.facts, "stderr": self._redact(str(error.facts.get("stderr", "")))}
            raise TimedOut(error.seen, untouched=error.untouched, remedy=error.remedy, facts=facts) from None
        if done.returncode == 0:
            return done  # read by us and shown to nobody; a short value may be part of a commit id in it
        return Completed(done.argv, done.returncode, self._redact(done.stdout), self._redact(done.stderr))
