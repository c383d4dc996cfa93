# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and answers. The exchange itself: tests/integration/test_health_gate_module.py."""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._gate._http import Answer, Request


def test_headers_are_found_whatever_their_case() -> None:
    answer = Answer(200, (("x-RELEASE", "r1"), ("X-Release", "r2")), b"", False, 0.0)
    assert answer.header("X-Release") == "r1"
    assert answer.header("X-Other") is None


def test_a_secret_is_not_in_the_representation_of_a_request() -> None:
    request = Request("GET", "localhost", 80, "/", (("Authorization", "Bearer SECRET"),))
    assert "SECRET" not in repr(request)
