# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A target group of an AWS load balancer, by boto3. It is imported when it is needed.

A target is registered or it is not; there is nothing between the two. One that was deregistered is ``draining`` for
the whole deregistration delay, whatever is still open on it, and still gets requests in its first moments: it counts
as out when it is ``unused``. ELB checks a registered target before it sends it anything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Check,
    Order,
    Pool,
    Process,
    Running,
    Server,
    Traits,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused

_DELAY: Final = "deregistration_delay.timeout_seconds"
_NOT_REGISTERED: Final = "Target.NotRegistered"
# States of a target (the reference of DescribeTargetHealth), in the words that all drivers use.
_STATUS: Final = {"healthy": "UP", "initial": "starting", "unavailable": "no check", "draining": "DRAIN"}
# What ELB says of rights.
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


@dataclass(frozen=True)
class Account:
    """Where the target group is, and who asks."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None


def connect(account: Account) -> Any:
    """Return a client of the API. Nothing is asked of it yet.

    :raises SlipwayError: boto3 is missing, or the account's settings can't be used.
    """
    try:
        import boto3  # noqa: PLC0415 - see above
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as error:
        raise Refused(
            f"The Python that runs this module, {sys.executable}, has no boto3 ({error})",
            untouched="Nothing was changed",
            remedy="Make a virtual environment with boto3 1.36 or newer on this host and name its Python: "
            "ansible_python_interpreter: /opt/slipway/venv/bin/python",
            facts={"interpreter": sys.executable},
        ) from error
    with translated("its settings"):
        session = boto3.session.Session(profile_name=account.profile, region_name=account.region)
        config = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=5, read_timeout=10)
        return session.client("elbv2", endpoint_url=account.endpoint_url, config=config)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what boto3 raises into what people read."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see above

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _DENIED:
            raise Refused(
                f"AWS does not allow it: {error}",
                untouched="This order was not carried out",
                remedy="Give the role elasticloadbalancing:DescribeTargetGroups, DescribeTargetGroupAttributes, "
                "DescribeTargetHealth, RegisterTargets and DeregisterTargets",
                facts={"code": code},
            ) from error
        raise BalancerError(f"AWS refused {what}: {error}", facts={"code": code}) from error
    except BotoCoreError as error:
        raise BalancerUnreachable(
            f"AWS gave no answer to {what}: {error}",
            remedy="See region, credentials (profile, or a role of this host) and the network",
            facts={"error": type(error).__name__},
        ) from error


def parse_target(text: str) -> dict[str, Any]:
    """Return the target of ``i-0123:8001``, ``10.0.0.5:8001`` or one of these without a port."""
    identity, colon, port = text.rpartition(":")
    if colon and port.isdigit():
        return {"Id": identity, "Port": int(port)}
    return {"Id": text}


def read_targets(values: Mapping[str, object]) -> dict[str, str]:
    """Read the option ``alb.targets``.

    :raises InvalidOption: a target has no port, without which the API's answer can't be found again.
    """
    targets = {name: str(text) for name, text in values.items()}
    for name, text in targets.items():
        if "Port" not in parse_target(text):
            raise InvalidOption(f"alb.targets.{name}", text, "a target with its port, such as i-0123456789:8001")
    return targets


def name_target(target: Mapping[str, Any]) -> str:
    """The text of a target, as :func:`parse_target` reads it."""
    return f"{target['Id']}:{target['Port']}" if "Port" in target else str(target["Id"])


class AlbDriver:
    """A :class:`Driver` over one target group."""

    traits = Traits("ELB", drains=False, interval_s=1.0)

    def __init__(self, client: Any, targets: Mapping[str, str]) -> None:
        """Begin.

        :param targets: targets of the pool by their names, also those that are not registered now.
        """
        self._client = client
        self._targets = dict(targets)
        self._arns: dict[str, str] = {}

    def require_rights(self) -> None:
        """Whether targets may be registered is only known when it is tried: AWS has no dry run for it."""

    def pools(self) -> tuple[str, ...]:
        """Return the names of all target groups of the region."""
        with translated("the list of target groups"):
            pages = self._client.get_paginator("describe_target_groups").paginate()
            return tuple(sorted(group["TargetGroupName"] for page in pages for group in page["TargetGroups"]))

    def observe(self, pool: str) -> Pool:
        arn = self._arn(pool)
        with translated(f"the health of {pool}"):
            seen = self._client.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            asked = [parse_target(text) for text in self._targets.values()]
            if asked:
                seen += self._client.describe_target_health(TargetGroupArn=arn, Targets=asked)[
                    "TargetHealthDescriptions"
                ]
        health = {name_target(one["Target"]): one["TargetHealth"] for one in seen}
        names = {text: name for name, text in self._targets.items()}
        ordered = [*self._targets.values(), *(text for text in health if text not in names)]
        servers = tuple(self._server(arn, names.get(text, text), text, health[text]) for text in ordered)
        return Pool(pool, Process(0, 0), servers)

    def _server(self, arn: str, name: str, text: str, health: Mapping[str, str]) -> Server:
        state, reason = health["State"], health.get("Reason", "")
        gone = state == "unused" and reason == _NOT_REGISTERED
        admin = Admin.MAINT if gone or state == "draining" else Admin.READY
        return Server(
            name=name,
            address=text,
            admin=admin,
            status="MAINT" if gone else _STATUS.get(state, "DOWN"),
            check=Check(
                configured=state != "unavailable",
                passed=state == "healthy",
                text=" ".join(word for word in (state, reason, health.get("Description", "")) if word),
            ),
            weight=1,
            configured_weight=1,
            sessions=None,
            queued=0,
            held=self._delay_in_words(arn) if state == "draining" else "",
        )

    def _delay_in_words(self, arn: str) -> str:
        with translated("the attributes of the target group"):
            attributes = self._client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        delay = next((one["Value"] for one in attributes if one["Key"] == _DELAY), "?")
        return f"its deregistration delay of {delay} s has not passed"

    def refuse(self, pool: Pool, orders: Sequence[Order]) -> None:
        """Every target can be registered and deregistered."""

    def apply(self, pool: str, orders: Sequence[Order]) -> None:
        addresses = {server.name: server.address for server in self.observe(pool).servers}
        arn = self._arn(pool)
        for admin, call in (
            (Admin.READY, self._client.register_targets),
            (Admin.MAINT, self._client.deregister_targets),
        ):
            targets = [parse_target(addresses[order.server]) for order in orders if order.admin is admin]
            if targets:
                with translated(f"the change of {', '.join(name_target(target) for target in targets)}"):
                    call(TargetGroupArn=arn, Targets=targets)

    def persist(self) -> None:
        """AWS keeps it."""

    def running(self, pool: str, servers: Sequence[str]) -> tuple[Running, ...]:
        """ELB does not say what is open."""
        return ()

    def _arn(self, pool: str) -> str:
        if pool not in self._arns:
            from botocore.exceptions import ClientError  # noqa: PLC0415 - see above

            try:
                with translated(f"the target group {pool}"):
                    groups = self._client.describe_target_groups(Names=[pool])["TargetGroups"]
            except BalancerError as error:
                if isinstance(error.__cause__, ClientError) and error.facts.get("code") == "TargetGroupNotFound":
                    accepted = f"a target group of the region: {', '.join(self.pools()) or 'it has none'}"
                    raise InvalidOption("pool", pool, accepted) from error
                raise
            self._arns[pool] = groups[0]["TargetGroupArn"]
        return self._arns[pool]
