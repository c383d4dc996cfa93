# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment says of itself before it begins and when it has ended. Pure: values in, words out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """How a deployment ended."""

    verdict: str
    success: bool
    text: str


def _batches(hosts: Sequence[str], size: int) -> str:
    return " | ".join(", ".join(hosts[at : at + size]) for at in range(0, len(hosts), size))


def batch_size(batch: Any, hosts: int) -> int:
    """Return Ansible's ``serial`` as a number of hosts: a number or a percentage, at least one."""
    text = str(batch).strip()
    size = hosts * int(text[:-1]) // 100 if text.endswith("%") else int(text)
    return max(1, size)


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """Return the plan of a deployment, a line an item, in the order of what will happen."""
    return list(_plan_lines(plan))


def _plan_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    target, deployment, hosts = plan["target"], plan["deployment"], list(plan["hosts"])
    origin = deployment.get("origin") or {}
    yield f"deployment {deployment['id']}, attempt {deployment['attempt']}, of site {plan['site']}"
    yield f"version    {plan['version']} = commit {target['commit'][:12]} = release {target['name']}"
    before = f"{origin['version']} {origin['release']}" if origin else "nothing: the first deployment"
    yield f"from       {before}"
    yield from _commit_lines(plan["changes"])
    migrations = plan["migrations"]
    yield "migrations none" if not migrations else "migrations"
    for line in migrations:
        yield f"           {line}"
    if plan["closing"]:
        yield "strategy   maintenance: closed to visitors, all stopped, migrated, all started, gated, opened"
    yield f"workers    {', '.join(plan['workers']) or 'none'}, before the web services"
    size = batch_size(plan["batch"], len(hosts))
    yield f"batches    {_batches(hosts, size)}"
    back = origin.get("release")
    yield (
        f"way back   to {back}, by itself when a gate fails"
        if back
        else "way back   none: the new release would be taken out"
    )


def _commit_lines(changes: Mapping[str, Any]) -> Iterator[str]:
    if not changes.get("commits_known"):
        yield f"commits    unknown: {changes.get('commits_reason') or 'nobody has said'}"
        return
    commits, removed = changes["commits"], changes["commits_removed"]
    yield f"commits    {len(commits)}" + (f", and {len(removed)} that it no longer has" if removed else "")
    for commit in commits:
        yield f"           {commit['id'][:12]} {commit['subject']}"
    for commit in removed:
        yield f"         - {commit['id'][:12]} {commit['subject']}"


def _went_back(story: Mapping[str, Any]) -> str:
    returned = story["returned"]
    if not returned:
        return "Nothing live was changed: the old release serves as before"
    if not returned["release"]:
        return "The site had no release before: the new one was taken out and stopped"
    if not _whole_return(story):
        return f"The way back was to {returned['release']}"
    return f"The site is back on {returned['release']}"


def _left_over(story: Mapping[str, Any]) -> Iterator[str]:
    if story["set_aside"]:
        yield (
            f"Set aside, without traffic of another release: {', '.join(story['set_aside'])}."
            " The next deployment or rollback brings them in again"
        )
    if story["not_withdrawn"]:
        yield (
            f"MAY STILL SERVE the wrong release: {', '.join(story['not_withdrawn'])}."
            " The balancer could not be told; take them out by hand"
        )
    if story["workers_failed"]:
        yield f"Workers that could not be brought back: {', '.join(story['workers_failed'])}"
    if story["errors"]:
        yield f"After the rollout: {'; '.join(story['errors'])}"


def _whole_return(story: Mapping[str, Any]) -> bool:
    return not (story["return_failure"] or story["not_withdrawn"] or story["workers_failed"])


def _verdict_name(story: Mapping[str, Any]) -> str:
    whole_return = _whole_return(story)
    if story["kind"] == "rollback" and story["returned"]:
        return "whole" if whole_return else "failed"
    if story["failure"]:
        return "rolled_back" if story["returned"] and whole_return else "failed"
    return "completed_with_errors" if story["errors"] else "whole"


def judge(story: Mapping[str, Any]) -> Verdict:
    """Return the verdict on a deployment or a rollback, with its reason and what to do now.

    A rollback is whole also when a host had to be set aside: that is what it is run for. A
    deployment is whole only when no host failed. What went wrong after the rollout leaves the new
    release serving, and is no success all the same: a pipeline that asks the status alone would
    never tell anybody.
    """
    verdict = _verdict_name(story)
    what = f"{story['kind']} {story['id']} of {story['version']} ({story['release']})"
    sentences = [f"{what}: {verdict}"]
    failure = story["failure"]
    if failure:
        sentences.append(f"{failure['host']}, {failure['phase']}, task '{failure['task']}': {failure['message']}")
        sentences.append(story.get("standing") or _went_back(story))
    elif story.get("standing"):
        sentences.append(story["standing"])
    if story.get("visitors"):
        sentences.append(story["visitors"])
    if story["return_failure"]:
        sentences.append(f"The way back is not whole: {story['return_failure']}")
    sentences.extend(_left_over(story))
    if story["check_mode"]:
        sentences.append("Check mode: nothing was changed, this is what a run would begin with")
    if verdict in ("rolled_back", "failed"):
        sentences.append("Correct the cause and run the same command again; it goes on from where the site is now")
    elif story["errors"]:
        sentences.append(f"{story['release']} serves. What is named is to be looked at; the site was not brought back")
    success = verdict == "whole" and not story["errors"]
    return Verdict(verdict, success, " ".join(f"{sentence.rstrip('.')}." for sentence in sentences))
