# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer must look like. Pure: an answer in, a sample out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.slipway.django.plugins.module_utils._gate._http import Answer
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Action, Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import printable

_SHOWN = 80
# A code for machines and words for people; None: no fault.
Fault = Optional[tuple[str, str]]


@dataclass(frozen=True)
class Expectation:
    """What a good answer has. None, or nothing in a mapping: not asked for."""

    status: tuple[int, ...] = (200,)
    release: str | None = None
    release_header: str = "X-Release"
    json: Mapping[str, object] = field(default_factory=dict)
    text: str | None = None
    response_headers: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    absent_headers: tuple[str, ...] = ()
    redirect: re.Pattern[str] | None = None
    max_latency_s: float | None = None
    action: Action = Action.ROLLBACK

    def describe(self) -> str:
        """In words, for messages."""
        parts = [f"status {_one_of(self.status)}"]
        if self.release is not None:
            parts.append(f"release {self.release} in {self.release_header}")
        if self.redirect is not None:
            parts.append(f"a redirect to {self.redirect.pattern}")
        parts += [f"header {name}: {wanted.pattern}" for name, wanted in sorted(self.response_headers.items())]
        parts += [f"no header {name}" for name in self.absent_headers]
        parts += [f"JSON {key}: {_shown(value)}" for key, value in sorted(self.json.items())]
        if self.text is not None:
            parts.append("the given text")
        if self.max_latency_s is not None:
            parts.append(f"at most {self.max_latency_s:g} s")
        return ", ".join(parts)


def judge(answer: Answer, expectation: Expectation) -> Sample:
    """Turn an answer into a sample."""
    release = answer.header(expectation.release_header)
    shown = None if release is None else printable(release)
    wrong = expectation.release is not None and release is not None and release != expectation.release
    faults = (find(answer, expectation) for find in _FAULTS)
    code, text = next((fault for fault in faults if fault), ("ok", f"status {answer.status}"))
    state = State.GOOD if code == "ok" else State.BAD
    return Sample(state, code, text, answer.elapsed_s, answer.status, shown, wrong, action=expectation.action)


def _release_fault(answer: Answer, expectation: Expectation) -> Fault:
    release = answer.header(expectation.release_header)
    if expectation.release is None or release is None or release == expectation.release:
        return None
    text = f"release {printable(release)} answered with status {answer.status} (expected {expectation.release})"
    return "wrong_release", text


def _status_fault(answer: Answer, expectation: Expectation) -> Fault:
    if answer.status in expectation.status:
        return None
    hint = "; redirects are not followed" if 300 <= answer.status < 400 else ""
    return "status", f"status {answer.status} (expected {_one_of(expectation.status)}{hint})"


def _release_missing(answer: Answer, expectation: Expectation) -> Fault:
    header = expectation.release_header
    if expectation.release is None or answer.header(header) is not None:
        return None
    return "release_missing", f"no header {header} (expected release {expectation.release})"


def _redirect_fault(answer: Answer, expectation: Expectation) -> Fault:
    if expectation.redirect is None:
        return None
    place = answer.header("Location")
    if place is None:
        return "redirect", "no header Location"
    if expectation.redirect.search(place):
        return None
    # What stands behind the question mark may be a token.
    return (
        "redirect",
        f"redirected to {printable(re.split('[?#]', place)[0])} (expected {expectation.redirect.pattern})",
    )


def _header_fault(answer: Answer, expectation: Expectation) -> Fault:
    for name, wanted in sorted(expectation.response_headers.items()):
        values = answer.all_of(name)
        if not values:
            return "header_missing", f"no header {name} (expected {wanted.pattern})"
        if not any(wanted.search(value) for value in values):
            return "header", f"header {name} has another value (expected {wanted.pattern})"
    for name in expectation.absent_headers:
        if answer.header(name) is not None:
            return "header_present", f"header {name} is there (expected none)"
    return None


def _json_fault(answer: Answer, expectation: Expectation) -> Fault:
    if not expectation.json:
        return None
    if answer.truncated:
        return "too_long", "the body is too long to be read whole"
    try:
        document = json.loads(answer.body)
    except ValueError:  # of the decoding too
        return "not_json", "the body is not JSON"
    if not isinstance(document, dict):
        return "not_json", f"the body is a JSON {type(document).__name__} (expected an object)"
    faults = (_key_fault(document, key, wanted) for key, wanted in sorted(expectation.json.items()))
    return next((("json", text) for text in faults if text), None)


def _key_fault(document: Mapping[str, object], key: str, wanted: object) -> str:
    try:
        seen = value_at(document, key)
    except KeyError:
        return f"the JSON has no {key} (expected {_shown(wanted)})"
    # In Python True is 1; in JSON they differ.
    if seen == wanted and isinstance(seen, bool) == isinstance(wanted, bool):
        return ""
    return f"the JSON has {key}: {_shown(seen)} (expected {_shown(wanted)})"


def value_at(document: object, path: str) -> object:
    """Return what lies at a path such as C(checks.database) or C(results.0.id); a key with dots is found first.

    C(.) is the document itself.

    :raises KeyError: nothing lies there.
    """
    if path == ".":
        return document
    if isinstance(document, Mapping) and path in document:
        return document[path]
    first, _dot, rest = path.partition(".")
    if isinstance(document, Mapping) and first in document:
        inner = document[first]
    elif isinstance(document, list) and first.isdigit() and int(first) < len(document):
        inner = document[int(first)]
    else:
        raise KeyError(path)
    return value_at(inner, rest) if rest else inner


def _text_fault(answer: Answer, expectation: Expectation) -> Fault:
    if expectation.text is None or expectation.text in answer.body.decode("utf-8", "replace"):
        return None
    if answer.truncated:
        return "too_long", "the text is not in the part of the body that was read"
    return "text", "the body does not hold the given text"


def _latency_fault(answer: Answer, expectation: Expectation) -> Fault:
    limit = expectation.max_latency_s
    if limit is None or answer.elapsed_s <= limit:
        return None
    return "slow", f"the answer took {answer.elapsed_s:.3g} s (expected {limit:g} s or less)"


# The first fault is told: who answered comes before what was answered.
_FAULTS: tuple[Callable[[Answer, Expectation], Fault], ...] = (
    _release_fault,
    _status_fault,
    _release_missing,
    _redirect_fault,
    _header_fault,
    _json_fault,
    _text_fault,
    _latency_fault,
)


def _one_of(status: tuple[int, ...]) -> str:
    return " or ".join(str(number) for number in status)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
