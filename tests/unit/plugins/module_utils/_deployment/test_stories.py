# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any story of openings, steps, ends, jumps of the clock and deaths: one owner, growing tokens, true records."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.tests.unit.deployment_world import Killed, Site, killed_before
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

# At most about forty operations belong to one call; beyond them nobody dies.
lifetimes = st.none() | st.integers(min_value=0, max_value=45)
verdicts = st.sampled_from(["whole", "rolled_back", "failed", "completed_with_errors"])


class Deployments(RuleBasedStateMachine):
    """What is known from outside: what calls returned, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.fsync = mock.patch.object(os, "fsync", return_value=None)
        self.fsync.start()
        self.folder = Path(tempfile.mkdtemp(prefix="slipway-"))
        self.clock = FakeClock()
        self.site = Site(self.folder, self.clock)
        self.runs: list[dict[str, Any]] = []
        self.ended: dict[str, str] = {}
        self.maybe_ended: dict[str, str] = {}
        self.releases = 0

    def teardown(self) -> None:
        self.fsync.stop()
        shutil.rmtree(self.folder)

    def lease(self) -> dict[str, Any] | None:
        lease: dict[str, Any] | None = self.site.info()["lease"]
        return lease

    @rule(lifetime=lifetimes, take_over=st.booleans(), limit=st.integers(1, 300))
    def opened(self, lifetime: int | None, take_over: bool, limit: int) -> None:
        lease = self.lease()
        live = lease is not None and lease["live"]
        options = {"takeover": lease["id"]} if take_over and lease is not None else {}
        self.releases += 1
        options["release"] = f"aaaaaaaaaaaa-{self.releases:08x}"
        before = self.site.info()
        try:
            if lifetime is None:
                deployment = self.site.open(limit=limit, **options)
            else:
                with killed_before(lifetime):
                    deployment = self.site.open(limit=limit, **options)
        except Refused:
            assert live, "refused although nobody held a live lease"
            assert not take_over
            return
        except Killed:
            return
        assert take_over or not live, "a second live lease was handed out"
        seen = [entry["token"] for entry in before["history"]] + [run["token"] for run in self.runs]
        assert deployment["token"] > max(seen, default=0)
        assert deployment["id"] not in {entry["id"] for entry in before["history"]}
        current = before["current"]
        assert (deployment["origin"] or {}).get("release") == (current or {}).get("release")
        self.runs.append(deployment)

    @rule(number=st.integers(0, 20), lifetime=lifetimes, limit=st.integers(1, 300), name=st.sampled_from("abc"))
    def step(self, number: int, lifetime: int | None, limit: int, name: str) -> None:
        if not self.runs:
            return
        run = self.runs[-1 - number % len(self.runs)]
        lease = self.lease()
        owner = lease is not None and lease["id"] == run["id"]
        try:
            if lifetime is None:
                self.site.step(run, name, limit=limit, facts={name: limit})
            else:
                with killed_before(lifetime):
                    self.site.step(run, name, limit=limit, facts={name: limit})
        except Refused:
            assert not owner
        except Killed:
            pass
        else:
            assert owner
            assert run is self.runs[-1], "an older run went on"
            assert self.lease() == {**(self.lease() or {}), "id": run["id"], "step": name, "live": True}

    @rule(number=st.integers(0, 20), lifetime=lifetimes, verdict=verdicts)
    def closed(self, number: int, lifetime: int | None, verdict: str) -> None:
        if not self.runs:
            return
        run = self.runs[-1 - number % len(self.runs)]
        self.maybe_ended.setdefault(run["id"], verdict)
        try:
            if lifetime is None:
                self.site.close(run, verdict)
            else:
                with killed_before(lifetime):
                    self.site.close(run, verdict)
        except Refused:
            pass
        except Killed:
            # Whether the verdict was written can be read; it can't be another one.
            found = {entry["id"]: entry["verdict"] for entry in self.site.info()["history"]}[run["id"]]
            assert found in (None, verdict, "interrupted", self.ended.get(run["id"]), self.maybe_ended.get(run["id"]))
            if found is None:
                del self.maybe_ended[run["id"]]
        else:
            self.ended[run["id"]] = verdict

    @rule(seconds=st.integers(-2000, 2000))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def at_most_one_run_can_go_on(self) -> None:
        able = []
        for run in self.runs:
            try:
                self.site.step(run, "z", check_mode=True)
            except Refused:
                continue
            able.append(run)
        assert able in ([], self.runs[-1:])

    @invariant()
    def verdicts_stay(self) -> None:
        found = {entry["id"]: entry["verdict"] for entry in self.site.info()["history"]}
        assert {name: found[name] for name in self.ended} == self.ended
        open_ones = [entry["id"] for entry in self.site.info()["history"] if entry["status"] == "open"]
        lease = self.lease()
        assert open_ones == ([] if lease is None else [lease["id"]])


TestDeployments = Deployments.TestCase
TestDeployments.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
