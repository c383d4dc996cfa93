# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancers' modules run in this process, with options as AnsibleModule hands them over: in milliseconds.

Each raises what its module would fail with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import read_through
from ansible_collections.slipway.django.plugins.module_utils._balancer._drain import run
from ansible_collections.slipway.django.plugins.module_utils._balancer._info import look
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import read_balancer, read_switch
from ansible_collections.slipway.django.plugins.module_utils._balancer._switch import SwitchTools, run_switch
from ansible_collections.slipway.django.plugins.module_utils._balancer._work import Tools
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.plugins.modules import lb_drain, lb_info, lb_pool


def _params(arguments: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    validated = ArgumentSpecValidator(dict(arguments)).validate(dict(options))
    assert not validated.error_messages, validated.error_messages
    return dict(validated.validated_parameters)


def drain(options: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """lb_drain."""
    params = _params(lb_drain.ARGUMENTS, options)
    clock = SystemClock()
    request = lb_drain.read_request(params)
    balancer = read_balancer(params, clock, SystemRunner())
    tools = Tools(balancer.driver, clock, balancer.record, balancer.lock)
    through = read_through(params["through"]) if params["through"] else None
    return lb_drain.as_result(request, run(request, tools, check_mode=check, through=through))


def info(options: Mapping[str, Any]) -> dict[str, Any]:
    """lb_info."""
    params = _params(lb_info.ARGUMENTS, options)
    balancer = read_balancer({**params, "pool": params["pool"][0]}, SystemClock(), SystemRunner())
    return lb_info.as_result(look(balancer.driver, balancer.record, params["pool"]))


def switch(options: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """lb_pool."""
    params = _params(lb_pool.ARGUMENTS, options)
    clock, runner = SystemClock(), SystemRunner()
    request = lb_pool.read_request(params)
    request.validate()
    through = read_through(params["through"]) if params["through"] else None
    balancer = read_balancer(params, clock, runner)
    tools = SwitchTools(read_switch(params, clock, runner), balancer.driver, clock, balancer.lock, through)
    return lb_pool.as_result(run_switch(request, tools, check_mode=check))
