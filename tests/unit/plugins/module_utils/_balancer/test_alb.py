# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stand-in must show: a deregistration that takes its time, and refusals. With moto a target is gone at once."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._alb import (
    Account,
    AlbDriver,
    connect,
    name_target,
    parse_target,
    read_targets,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Order,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from botocore.exceptions import ClientError, EndpointConnectionError

TARGETS = {"a": "10.0.0.5:8001", "b": "10.0.0.6:8001"}


class Elb:
    """The API over one target group, as far as the driver uses it. ``state`` says how each target is."""

    def __init__(self, **state: str) -> None:
        self.state = state
        self.calls: list[tuple[str, list[str]]] = []
        self.error: Exception | None = None

    def _answer(self, value: dict[str, Any]) -> dict[str, Any]:
        if self.error:
            raise self.error
        return value

    def describe_target_groups(self, Names: list[str]) -> dict[str, Any]:
        if Names != ["shop"]:
            raise ClientError(
                {"Error": {"Code": "TargetGroupNotFound", "Message": "not found"}}, "DescribeTargetGroups"
            )
        return self._answer({"TargetGroups": [{"TargetGroupArn": "arn:shop"}]})

    def get_paginator(self, name: str) -> Elb:
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [{"TargetGroups": [{"TargetGroupName": "shop"}]}, {"TargetGroups": [{"TargetGroupName": "blog"}]}]

    def describe_target_group_attributes(self, TargetGroupArn: str) -> dict[str, Any]:
        return {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "60"}]}

    def describe_target_health(self, TargetGroupArn: str, Targets: Any = None) -> dict[str, Any]:
        names = [name_target(target) for target in Targets] if Targets else [
            TARGETS.get(name, name) for name, state in self.state.items() if state != "unused"
        ]  # fmt: skip
        states = {TARGETS.get(name, name): state for name, state in self.state.items()}
        return self._answer(
            {
                "TargetHealthDescriptions": [
                    {"Target": parse_target(name), "TargetHealth": _health(states.get(name, "unused"))}
                    for name in names
                ]
            }
        )

    def register_targets(self, TargetGroupArn: str, Targets: Any) -> None:
        self._told("register", Targets)

    def deregister_targets(self, TargetGroupArn: str, Targets: Any) -> None:
        self._told("deregister", Targets)

    def _told(self, what: str, targets: Any) -> None:
        self._answer({})
        self.calls.append((what, [name_target(target) for target in targets]))


def _health(state: str) -> dict[str, str]:
    word, _space, reason = state.partition(" ")
    return {"State": word, "Reason": reason or ("Target.NotRegistered" if word == "unused" else "")}


@pytest.mark.parametrize(
    ("state", "admin", "status", "serving", "held"),
    [
        ("healthy", Admin.READY, "UP", True, ""),
        ("initial Elb.RegistrationInProgress", Admin.READY, "starting", False, ""),
        ("unhealthy Target.Timeout", Admin.READY, "DOWN", False, ""),
        ("unhealthy.draining", Admin.READY, "DOWN", False, ""),
        ("unavailable Target.HealthCheckDisabled", Admin.READY, "no check", False, ""),
        ("unused Target.NotInUse", Admin.READY, "DOWN", False, ""),
        ("draining", Admin.MAINT, "DRAIN", False, "its deregistration delay of 60 s has not passed"),
        ("unused", Admin.MAINT, "MAINT", False, ""),
    ],
)
def test_each_state_of_a_target(state: str, admin: Admin, status: str, serving: bool, held: str) -> None:
    server = AlbDriver(Elb(a=state, b="healthy"), TARGETS).observe("shop").servers[0]
    assert (server.admin, server.status, server.serving, server.held) == (admin, status, serving, held)
    assert server.sessions is None
    assert server.quiet is not bool(held)


def test_targets_that_nobody_named_count_too() -> None:
    elb = Elb(a="unused", b="healthy", **{"10.0.0.9:80": "healthy"})
    pool = AlbDriver(elb, TARGETS).observe("shop")
    assert [server.name for server in pool.servers] == ["a", "b", "10.0.0.9:80"]
    assert pool.serving == ("b", "10.0.0.9:80")
    assert [server.name for server in AlbDriver(elb, {}).observe("shop").servers] == ["10.0.0.6:8001", "10.0.0.9:80"]


def test_orders_as_they_are_sent() -> None:
    elb = Elb(a="healthy", b="draining")
    AlbDriver(elb, TARGETS).apply("shop", [Order("a", Admin.MAINT), Order("b", Admin.READY)])
    assert elb.calls == [("register", ["10.0.0.6:8001"]), ("deregister", ["10.0.0.5:8001"])]


def test_an_unknown_group_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidOption) as caught:
        AlbDriver(Elb(a="healthy"), TARGETS).observe("nope")
    assert caught.value.message == (
        "pool: 'nope' is not accepted, expected a target group of the region: blog, shop. Nothing was changed."
    )


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "the message of AWS"}}, "DeregisterTargets")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (client_error("AccessDenied"), Refused, "AWS does not allow it: .*the message of AWS.* Give the role elastic"),
        (client_error("Throttling"), BalancerError, "AWS refused the .*: .*the message of AWS"),
        (
            EndpointConnectionError(endpoint_url="https://x"),
            BalancerUnreachable,
            "AWS gave no answer to the .*https://x",
        ),
    ],
)
def test_what_aws_says_is_passed_on(error: Exception, kind: type[Exception], words: str) -> None:
    elb = Elb(a="healthy")
    elb.error = error
    with pytest.raises(kind, match=words):
        AlbDriver(elb, TARGETS).observe("shop")


def test_without_boto3_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(Refused, match=r"has no boto3 .* Make a virtual environment with boto3 1\.36 or newer"):
        connect(Account())


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("i-0123:8001", {"Id": "i-0123", "Port": 8001}),
        ("10.0.0.5:80", {"Id": "10.0.0.5", "Port": 80}),
        ("2001:db8::5:80", {"Id": "2001:db8::5", "Port": 80}),
        ("i-0123", {"Id": "i-0123"}),
    ],
)
def test_targets(text: str, target: dict[str, Any]) -> None:
    assert parse_target(text) == target
    assert name_target(target) == text


def test_a_target_without_port_is_refused() -> None:
    assert read_targets({"a": "i-1:80"}) == {"a": "i-1:80"}
    with pytest.raises(InvalidOption, match=r"alb\.targets\.a: 'i-1' is not accepted, expected a target with its port"):
        read_targets({"a": "i-1"})
