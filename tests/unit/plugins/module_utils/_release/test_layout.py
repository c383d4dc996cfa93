# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout, checked_name, checked_root


@pytest.mark.parametrize(
    "name",
    ["", "..", "0123456789ab", "0123456789ab-0123456", "0123456789AB-01234567", "0123456789ab-01234567\n", "a/../b"],
)
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="12 hexadecimal digits of the commit"):
        checked_name(name)


@pytest.mark.parametrize("path", ["srv/shop", "", "/", "//", "/.", "/srv/.."])
def test_a_root_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(InvalidOption, match="an absolute path such as /srv/shop"):
        checked_root("root", path)


def test_paths() -> None:
    layout = Layout(checked_root("root", "/srv/shop/"))
    paths = layout.release("0123456789ab-01234567")
    assert paths.python == "/srv/shop/releases/0123456789ab-01234567/venv/bin/python"
    assert paths.name == "0123456789ab-01234567"
