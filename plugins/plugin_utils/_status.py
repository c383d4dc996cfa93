# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a site in words: what the control host, the app hosts and the balancers have answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """Return the state of a site, a line an item. What did not answer is said to be unknown."""
    lines = [*_record_lines(status["site"], status["deployments"])]
    lines.extend(_maintenance_lines(status["maintenance"]))
    servers = _servers(status["balancers"])
    for host, answer in status["hosts"].items():
        lines.extend(_host_lines(host, answer, servers))
    return lines


def _record_lines(site: str, deployments: Mapping[str, Any]) -> Iterator[str]:
    current, lease, interrupted = (deployments.get(key) for key in ("current", "lease", "interrupted"))
    if current:
        yield f"{site}: {current['version']} ({current['release']}) since {current['closed_at']}, {current['id']}"
    else:
        yield f"{site}: no deployment has ended whole yet"
    if lease:
        state = f"{lease['seconds_left']} s left" if lease["live"] else "run out"
        yield f"  lease: {lease['id']} of {lease['actor']} on {lease['controller']}, step '{lease['step']}', {state}"
    if interrupted:
        yield f"  interrupted: {interrupted['id']} in step '{interrupted['step']}'; the next deployment goes on or back"
    for lost in deployments.get("lost", []):
        yield f"  set aside: {lost['host']} by {lost['deployment']}: {lost['reason']}"
    for past in deployments.get("history", []):
        yield f"  {past['started_at'][:16]} {past['kind']} {past['version']} ({past['release']}): {past['status']}"


def _maintenance_lines(balancers: Mapping[str, Any]) -> Iterator[str]:
    """What visitors get, where that is not simply the site."""
    for balancer, answer in balancers.items():
        if "before" not in answer:
            yield f"  maintenance: unknown on {balancer}: {answer.get('msg', 'it does not answer')}"
            continue
        before = answer["before"]
        state, who = before["state"], f"by {before['owner'] or 'somebody'}: {before['reason'] or 'no reason given'}"
        if (state == "on") is not answer["closed"]:
            now = "the maintenance page" if answer["closed"] else "the site"
            yield f"  maintenance: {state} on {balancer}, but visitors get {now}; switch it once more"
        elif state == "on":
            yield f"  maintenance: on since {before['since'][:19]}Z on {balancer}, {who}"
        elif state == "announced":
            begins, ends = (before["window"][key][:16] for key in ("from", "until"))
            yield f"  maintenance: planned from {begins}Z until {ends}Z on {balancer}, {who}"


def _servers(balancers: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return, by server, what each balancer says of it."""
    said: dict[str, list[str]] = {}
    for balancer, answer in balancers.items():
        for server in answer.get("servers", []):
            before = server["before"]
            said.setdefault(server["name"], []).append(f"{balancer} {before['admin']} {before['status']}")
    return said


def _host_lines(host: str, answer: Mapping[str, Any], servers: Mapping[str, list[str]]) -> Iterator[str]:
    if "slots" not in answer:
        yield f"  {host}: does not answer, unknown"
        return
    live = answer["live"]
    yield f"  {host}: live {live['slot']} {live['release']}" if live else f"  {host}: {answer['live_reason']}"
    for slot, state in sorted(answer["slots"].items()):
        traffic = "; ".join(servers.get(f"{host}-{slot}", ["unknown to the balancer"]))
        runs = f"runs {', '.join(state['running'])}" if state["running"] else "stopped"
        yield f"    {slot}: {state['release'] or 'empty'}, {runs}, {traffic}"
