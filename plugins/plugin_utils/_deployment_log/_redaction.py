# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets out: known values in all their spellings, then what looks like a secret.

The first defence is that little is recorded at all (see the recorder). This is the second, and the
patterns are the last: they miss some secrets and hit some harmless words.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MARK = "[redacted]"
# A shorter value would be found inside of harmless words.
SHORTEST = 6
LONGEST_TEXT = 2000
LONGEST_LIST = 50
DEEPEST = 6
# What is looked at of one text; a module's message can be megabytes long.
_LOOKED_AT = 64 * 1024
_LONGEST_VALUE = 16 * 1024

_NAME = (
    r"passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|secret[_-]?key|access[_-]?key|private[_-]?key"
    r"|credentials?|dsn|authorization|cookie"
)
_SECRET_NAME = re.compile(rf"(?:{_NAME}|(?:^|[_-])(?:pass|key|auth|vault)(?:$|[_-]))", re.IGNORECASE)
# Every repetition is bounded, or ends at a character that begins no new try: no text makes them slow.
_ASSIGNED = rf"(?i)((?:{_NAME})[\w.-]{{0,40}}(?:\\?[\"'])?\s{{0,4}}[=:]\s{{0,4}})"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}-----|\Z)", re.DOTALL), MARK),
    # scheme://user:password@host, ://:password@ and ://key@, but neither ssh://git@ nor a port
    (re.compile(r"(?<=://)[^\s/\"'<>@:]*:(?!\d{1,5}(?:/|\s|$))[^\s\"'<>]{1,500}(?=@)"), MARK),
    (re.compile(r"(?<=://)[^\s/\"'<>@:]{16,}(?=@)"), MARK),
    (re.compile(r"(?i)\b(bearer|basic)\s{1,4}(?=[\w.~+/-]*[0-9=])[\w.~+/-]{6,}=*"), rf"\1 {MARK}"),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?"), MARK),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abprs]-[\w-]{8,}"), MARK),
    (re.compile(r"\b[sr]k_(?:live|test)_\w{8,}|(?<=hooks\.slack\.com/services/)[^\s\"']+"), MARK),
    (re.compile(rf"{_ASSIGNED}(\\?[\"'])[^\"'\n]{{1,500}}"), rf"\1\2{MARK}"),
    (re.compile(rf"{_ASSIGNED}(?!\[redacted|\\?[\"'])[^\s\"',;&()\[\]{{}}]+"), rf"\1{MARK}"),
    (
        re.compile(rf"(?i)(?<![\w-])(--?[\w-]{{0,40}}?(?:{_NAME})[\w-]{{0,40}}[= ]{{1,4}})(?!\[redacted)[^\s\"',;]+"),
        rf"\1{MARK}",
    ),
    (re.compile(r"(?<=\s-u )[^\s:\"']+:[^\s\"']+"), MARK),
)


def is_secret_name(name: str) -> bool:
    """Whether a variable or a key of that name is likely to hold a secret."""
    return _SECRET_NAME.search(name) is not None


def spellings(value: str) -> set[str]:
    """The forms in which a value turns up in output."""
    encoded = value.encode("utf-8", "surrogatepass")
    forms = {
        value,
        quote(encoded, safe=""),
        quote(encoded),
        quote_plus(encoded),
        base64.b64encode(encoded).decode("ascii"),
        base64.urlsafe_b64encode(encoded).decode("ascii"),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
    }
    # A key of several lines is often printed line by line, indented.
    forms.update(line.strip() for line in value.splitlines())
    return {form for form in forms if len(form) >= SHORTEST and form not in MARK}


class Redactor:
    """Knows the secrets of a run and takes them out of texts and values."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._longest_first: list[str] | None = None

    @property
    def known(self) -> int:
        """How many spellings are known."""
        return len(self._known)

    def register(self, value: str) -> None:
        """Remember a secret. One that is very short is left out, it would damage harmless text."""
        if not SHORTEST <= len(value) <= _LONGEST_VALUE:
            return
        new = spellings(value) - self._known
        if new:
            self._known |= new
            self._longest_first = None

    def register_variables(self, variables: Mapping[str, Any]) -> None:
        """Remember the values whose name, or the name of something around them, says that they are secret."""
        self._walk(variables, secret=False, depth=0)

    def _walk(self, value: Any, *, secret: bool, depth: int) -> None:
        if depth > DEEPEST:
            return
        if isinstance(value, Mapping):
            for key, inner in value.items():
                self._walk(inner, secret=secret or is_secret_name(str(key)), depth=depth + 1)
        elif isinstance(value, (list, tuple, set)):
            for inner in value:
                self._walk(inner, secret=secret, depth=depth + 1)
        elif isinstance(value, str) and "{{" not in value:
            # What a template names is a variable of its own.
            if secret:
                self.register(value)
            self.register_all(re.findall(r"://[^\s/:@]*:([^\s/@]+)@", value))

    def register_all(self, values: Iterable[str]) -> None:
        """Remember several secrets."""
        for value in values:
            self.register(value)

    def _without_known(self, text: str) -> str:
        if self._longest_first is None:
            self._longest_first = sorted(self._known, key=lambda form: (-len(form), form))
        # One search for each is faster than one pattern of all: hundreds of alternatives are tried at each place.
        for form in self._longest_first:
            if form in text:
                text = text.replace(form, MARK)
        return text

    def text(self, text: str, longest: int = LONGEST_TEXT) -> str:
        """Return the text without secrets, and bounded."""
        looked_at = text[:_LOOKED_AT]
        clean = self._without_known(looked_at)
        for pattern, replacement in _PATTERNS:
            clean = pattern.sub(replacement, clean)
        if len(looked_at) == len(text) and len(clean) <= longest:
            return clean
        # Half a secret may stand where the text was cut.
        margin = max(map(len, self._known), default=0) if len(looked_at) < len(text) else 0
        return f"{clean[: max(0, min(longest, len(clean) - margin))]}…"

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a JSON value without secrets, and bounded in depth, length and size."""
        if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if not isinstance(value, (Mapping, list, tuple)):
            return self.text(str(value))
        if depth >= DEEPEST:
            return "…"
        if isinstance(value, Mapping):
            return {
                self.text(str(key), 200): MARK if self._hides(str(key), inner) else self.value(inner, depth + 1)
                for key, inner in list(value.items())[:LONGEST_LIST]
            }
        kept = [self.value(inner, depth + 1) for inner in value[:LONGEST_LIST]]
        return kept if len(value) <= LONGEST_LIST else [*kept, f"… {len(value) - LONGEST_LIST} more"]

    @staticmethod
    def _hides(key: str, value: Any) -> bool:
        # A number or a flag under such a name is a count or a switch: "tokens: 3", "password_set: true".
        return isinstance(value, (str, Mapping, list, tuple)) and bool(value) and is_secret_name(key)
