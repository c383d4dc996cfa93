# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary: one JSON document, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from .figures import judge_generator, milliseconds, timestamp
from .generator import Generator


def summarise(generator: Generator, *, elapsed: float, cpu_seconds: float, stopped: bool) -> dict[str, Any]:
    """Return all that a run has shown.

    :param elapsed: seconds from the first due request to the last answer.
    :param cpu_seconds: processor time that the generator took.
    :param stopped: whether it was told to end before its time.
    """
    options, figures = generator.options, generator.figures
    keeping_up = judge_generator(figures.lags, options.rate, generator.due_for, generator.skipped)
    return {
        "run": options.run,
        "started_at": timestamp(generator.epoch),
        "finished_at": timestamp(generator.epoch + elapsed),
        "elapsed_s": round(elapsed, 3),
        "stopped_early": stopped,
        "target": {"address": "{}:{}".format(*options.address), "host": options.host},
        "profile": options.profile,
        "mix": options.mix,
        "sent": figures.sent,
        "failed": figures.failed,
        "cut": figures.cut,
        "sent_by_kind": dict(sorted(figures.sent_by_kind.items())),
        "failed_by_class": figures.by_class(),
        "failed_by_kind": {kind: dict(sorted(counted.items())) for kind, counted in sorted(figures.failures.items())},
        "orders_accepted": figures.orders_accepted,
        "latency_ms": figures.latencies(),
        "answers": {release: dict(sorted(hosts.items())) for release, hosts in sorted(figures.answers.items())},
        "static_files": dict(sorted(figures.static_files.items())),
        "generator": {
            "wanted_rate": options.rate,
            "achieved_rate": round(keeping_up.achieved_rate, 2),
            "due_for_s": round(generator.due_for, 3),
            "late_starts": keeping_up.late,
            "max_lag_ms": milliseconds(keeping_up.max_lag),
            "skipped": keeping_up.skipped,
            "kept_up": keeping_up.kept_up,
            "why_not": keeping_up.why_not,
            "cpu_s": round(cpu_seconds, 2),
            "cpu_percent_of_one_core": round(100 * cpu_seconds / elapsed, 1) if elapsed else None,
        },
        "sockets": generator.sockets.document(),
        "timeline": figures.timeline(),
    }


def write_whole(path: str, document: dict[str, object]) -> None:
    """Write a document so that its file is absent, old or whole."""
    descriptor, temporary = tempfile.mkstemp(prefix=".load.", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=2, ensure_ascii=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def headline(document: dict[str, Any]) -> str:
    """Return the figures that count, for a terminal."""
    quick, own = document["latency_ms"]["quick"], document["generator"]
    lines = [
        f"sent {document['sent']} in {document['elapsed_s']:.1f} s, failed {document['failed']}, cut {document['cut']}",
        f"orders accepted {document['orders_accepted']}",
        f"p50 {quick['p50']} ms, p95 {quick['p95']} ms, p99 {quick['p99']} ms, max {quick['max']} ms",
        f"answered by {json.dumps(document['answers'])}",
        f"the generator took {own['cpu_percent_of_one_core']} % of a core",
    ]
    if document["failed"]:
        lines.insert(1, f"failures: {json.dumps(document['failed_by_kind'])}")
    if not own["kept_up"]:
        lines.append(f"THE GENERATOR DID NOT KEEP UP, the load was weaker than meant: {own['why_not']}")
    return "\n".join(lines)
