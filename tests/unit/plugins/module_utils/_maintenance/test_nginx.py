# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._maintenance._nginx import FLAG, NginxSwitch


def test_the_file_is_the_switch(tmp_path: Path) -> None:
    driver = NginxSwitch(str(tmp_path))

    assert driver.kept() is False
    driver.switch(True)
    driver.switch(True)
    assert driver.kept() is True
    # nginx's workers are another user.
    assert (tmp_path / FLAG).stat().st_mode & 0o777 == 0o644
    driver.switch(False)
    driver.switch(False)
    assert driver.kept() is False


@pytest.mark.parametrize(("closed", "words"), [(True, "could not be made"), (False, "could not be removed")])
def test_a_file_that_can_not_be_is_an_error(tmp_path: Path, closed: bool, words: str) -> None:
    # A directory in its place can be neither replaced nor unlinked.
    (tmp_path / FLAG).mkdir()
    (tmp_path / FLAG / "x").touch()

    with pytest.raises(SlipwayError, match=f"/on {words}.*See the disk space"):
        NginxSwitch(str(tmp_path)).switch(closed)
