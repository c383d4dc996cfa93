# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer must look like. Pure: an outcome of a request in, a sample out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.slipway.django.plugins.module_utils._gate._http import Answer, Failure, Outcome
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State

_SHOWN = 80


@dataclass(frozen=True)
class Expectation:
    """What a good answer has. None, or nothing in a mapping: not asked for."""

    status: tuple[int, ...] = (200,)
    release: str | None = None
    release_header: str = "X-Release"
    json: Mapping[str, object] = field(default_factory=dict)
    text: str | None = None

    def describe(self) -> str:
        """In words, for messages."""
        parts = [f"status {_one_of(self.status)}"]
        if self.release is not None:
            parts.append(f"release {self.release} in {self.release_header}")
        parts += [f"JSON {key}: {_shown(value)}" for key, value in sorted(self.json.items())]
        if self.text is not None:
            parts.append("the given text")
        return ", ".join(parts)


def judge(outcome: Outcome, expectation: Expectation, *, cut: bool = False) -> Sample:
    """Turn the outcome of a request into a sample.

    :param cut: the request had less time than its timeout, because the gate ended: that it gave
        no answer says nothing about the application.
    """
    if isinstance(outcome, Failure):
        return _judge_failure(outcome, cut)
    release = outcome.header(expectation.release_header)
    shown = None if release is None else _printable(release)
    wrong = expectation.release is not None and release is not None and release != expectation.release
    code, text = _fault(outcome, expectation, release) or ("ok", f"status {outcome.status}")
    state = State.GOOD if code == "ok" else State.BAD
    return Sample(state, code, text, outcome.elapsed_s, outcome.status, shown, wrong)


def _judge_failure(failure: Failure, cut: bool) -> Sample:
    if cut and failure.code == "timeout":
        text = f"{failure.text}, ended by the gate's deadline"
        return Sample(State.NO_DATA, "cut_by_deadline", text, failure.elapsed_s)
    state = State.ERROR if failure.local else State.BAD
    return Sample(state, failure.code, failure.text, failure.elapsed_s)


def _fault(answer: Answer, expectation: Expectation, release: str | None) -> tuple[str, str] | None:
    if expectation.release is not None and release is not None and release != expectation.release:
        text = f"release {_printable(release)} answered with status {answer.status} (expected {expectation.release})"
        return "wrong_release", text
    if answer.status not in expectation.status:
        hint = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        return "status", f"status {answer.status} (expected {_one_of(expectation.status)}{hint})"
    if expectation.release is not None and release is None:
        header = expectation.release_header
        return "release_missing", f"no header {header} (expected release {expectation.release})"
    return _json_fault(answer, expectation) or _text_fault(answer, expectation)


def _json_fault(answer: Answer, expectation: Expectation) -> tuple[str, str] | None:
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
    if key not in document:
        return f"the JSON has no {key} (expected {_shown(wanted)})"
    seen = document[key]
    # In Python True is 1; in JSON they differ.
    if seen == wanted and isinstance(seen, bool) == isinstance(wanted, bool):
        return ""
    return f"the JSON has {key}: {_shown(seen)} (expected {_shown(wanted)})"


def _text_fault(answer: Answer, expectation: Expectation) -> tuple[str, str] | None:
    if expectation.text is None or expectation.text in answer.body.decode("utf-8", "replace"):
        return None
    if answer.truncated:
        return "too_long", "the text is not in the part of the body that was read"
    return "text", "the body does not hold the given text"


def _one_of(status: tuple[int, ...]) -> str:
    return " or ".join(str(number) for number in status)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _printable(text: str) -> str:
    # What a server sends reaches terminals and logs.
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= _SHOWN else f"{clean[:_SHOWN]}…"
