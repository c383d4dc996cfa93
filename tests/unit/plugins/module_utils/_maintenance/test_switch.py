# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import read_json
from ansible_collections.slipway.django.plugins.module_utils._maintenance._plan import Request, State, read_window
from ansible_collections.slipway.django.plugins.module_utils._maintenance._switch import MEMORY, Result, Tools, run
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock


@dataclass
class FakeSwitch:
    """A balancer in memory. ``deaf``: it takes orders and does not follow them."""

    on_file: bool | None = False
    running: bool = False
    deaf: bool = False
    refuses: str = ""
    orders: list[bool] = field(default_factory=list)
    on_order: Callable[[], None] = lambda: None

    def require_prepared(self) -> None:
        """Always."""

    def kept(self) -> bool | None:
        return self.on_file

    def switch(self, closed: bool) -> None:
        self.orders.append(closed)
        self.on_order()
        self.on_file = closed
        if self.refuses:
            answer, self.refuses = self.refuses, ""
            raise SlipwayError(f"HAProxy answered: {answer}")
        self.running = self.running if self.deaf else closed

    def ask(self) -> bool:
        return self.running


@contextmanager
def unlocked() -> Iterator[None]:
    yield


def switch(directory: Path, balancer: FakeSwitch, request: Request, *, check: bool = False) -> Result:
    tools = Tools(balancer, str(directory), balancer.ask, FakeClock(), unlocked)
    return run(request, tools, timeout_s=5, check_mode=check)


def state(directory: Path) -> str:
    document = read_json(str(directory / MEMORY))
    return "none" if document is None else str(document["state"])


def test_check_apply_check_apply(tmp_path: Path) -> None:
    balancer = FakeSwitch()
    on = Request(State.ON, "ada")

    assert switch(tmp_path, balancer, on, check=True).plan.changed
    assert (balancer.orders, state(tmp_path)) == ([], "none")
    assert switch(tmp_path, balancer, on).plan.changed
    assert (balancer.running, balancer.on_file, state(tmp_path)) == (True, True, "on")
    assert not switch(tmp_path, balancer, on, check=True).plan.changed
    assert not switch(tmp_path, balancer, on).plan.changed
    assert balancer.orders == [True]

    assert switch(tmp_path, balancer, Request(State.OFF)).plan.changed
    assert (balancer.running, balancer.on_file, state(tmp_path)) == (False, False, "off")


def test_it_is_known_who_has_switched_it_on_before_it_is_on(tmp_path: Path) -> None:
    """A module that is killed right after the switch leaves no page that nobody owns."""
    written: list[str] = []
    balancer = FakeSwitch(on_order=lambda: written.append(state(tmp_path)))

    switch(tmp_path, balancer, Request(State.ON, "ada"))
    switch(tmp_path, balancer, Request(State.OFF))

    assert written == ["on", "on"]


def test_an_announcement_gives_the_balancer_no_order(tmp_path: Path) -> None:
    balancer = FakeSwitch()
    window = read_window("2030-01-01T22:00Z", "2030-01-01T23:00Z")

    assert switch(tmp_path, balancer, Request(State.ANNOUNCED, window=window)).plan.changed
    assert (balancer.orders, state(tmp_path)) == ([], "announced")


def test_a_balancer_that_does_not_follow_is_a_failure_and_is_put_back(tmp_path: Path) -> None:
    balancer = FakeSwitch(deaf=True)

    with pytest.raises(SlipwayError, match="5 s later visitors still do not get the maintenance page") as caught:
        switch(tmp_path, balancer, Request(State.ON))

    assert "The switch was put back: visitors get the site." in caught.value.message
    assert (balancer.orders, balancer.on_file, state(tmp_path)) == ([True, False], False, "off")


def test_a_refused_order_is_taken_back(tmp_path: Path) -> None:
    balancer = FakeSwitch(refuses="entry not found.")

    with pytest.raises(SlipwayError, match=r"entry not found.*put back: visitors get the site"):
        switch(tmp_path, balancer, Request(State.ON))

    assert (balancer.on_file, state(tmp_path)) == (False, "off")


def test_what_can_not_be_put_back_is_said(tmp_path: Path) -> None:
    balancer = FakeSwitch(refuses="first")
    balancer.on_order = lambda: setattr(balancer, "refuses", "away")

    with pytest.raises(SlipwayError, match=r"could not be put back .*: whether visitors get the site is not known"):
        switch(tmp_path, balancer, Request(State.ON))


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"may not make files in .*/away.*Nothing was changed.*Prepare the balancer"):
        switch(tmp_path / "away", FakeSwitch(), Request(State.ON))


@pytest.mark.parametrize("text", ["[]", "{}", '{"state": "perhaps"}'])
def test_a_memory_that_is_not_understood_is_never_taken_for_none(tmp_path: Path, text: str) -> None:
    (tmp_path / MEMORY).write_text(text)

    with pytest.raises(SlipwayError, match=r"switch\.json is not what this module writes.*Nothing was changed"):
        switch(tmp_path, FakeSwitch(), Request(State.ON))
