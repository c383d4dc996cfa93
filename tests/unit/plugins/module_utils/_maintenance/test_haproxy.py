# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import BalancerError
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._maintenance._haproxy import MAP, HaproxySwitch

# Recorded from HAProxy 2.6.12; the path is put in.
SHOWN = (
    "# id (file) description\n0 ({path}) pattern loaded from file '{path}' used by map at file 'haproxy.cfg' line 12."
    " curr_ver=0 next_ver=0 entry_cnt=1\n\n"
)
REFUSED = "entry not found.\n\n"


class FakeSocket:
    def __init__(self, path: Path, *, level: str = "admin", answer: str = "\n") -> None:
        self.sent: list[str] = []
        self._answers = {
            "show cli level": f"{level}\n\n",
            "show map": SHOWN.format(path=path),
            f"set map {path} maintenance on": answer,
            f"set map {path} maintenance off": answer,
        }

    def __call__(self, command: str) -> str:
        self.sent.append(command)
        return self._answers[command]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    (tmp_path / MAP).write_text("maintenance off\n")
    return tmp_path / MAP


def test_the_file_is_written_before_the_process_is_told(path: Path) -> None:
    socket = FakeSocket(path)
    driver = HaproxySwitch(str(path.parent), socket)

    assert driver.kept() is False
    driver.require_prepared()
    driver.switch(True)

    assert driver.kept() is True
    assert path.read_text() == "maintenance on\n"
    assert socket.sent[-1] == f"set map {path} maintenance on"
    driver.switch(False)
    assert driver.kept() is False


@pytest.mark.parametrize("text", ["", "maintenance perhaps\n", "maintenance on\nmaintenance off\n"])
def test_other_lines_are_not_understood(path: Path, text: str) -> None:
    path.write_text(text)

    assert HaproxySwitch(str(path.parent), FakeSocket(path)).kept() is None


def test_an_answer_is_an_error(path: Path) -> None:
    with pytest.raises(BalancerError, match=r"HAProxy answered 'set map .* maintenance on' with: entry not found"):
        HaproxySwitch(str(path.parent), FakeSocket(path, answer=REFUSED)).switch(True)


def test_a_file_that_is_gone_is_an_error(path: Path) -> None:
    path.unlink()

    with pytest.raises(SlipwayError, match=r"switch\.map can't be read.*HAProxy would not start without it"):
        HaproxySwitch(str(path.parent), FakeSocket(path)).kept()


def test_a_haproxy_that_does_not_look_there_is_refused(path: Path) -> None:
    with pytest.raises(Refused, match=r"This HAProxy does not look at /elsewhere/switch\.map.*Nothing was changed"):
        HaproxySwitch("/elsewhere", FakeSocket(path)).require_prepared()


def test_a_socket_without_the_right_is_refused(path: Path) -> None:
    with pytest.raises(Refused, match="level 'operator'"):
        HaproxySwitch(str(path.parent), FakeSocket(path, level="operator")).require_prepared()
