#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Which commit a version is, what it will be called, and what is live on a host
version_added: 0.1.0
description:
  - Resolves a tag, a branch or a commit id in the repository itself, and gives the name of the release that this
    commit and this configuration make.
  - Reads the releases and slots of a host, and lists the commits between what is live and the version.
  - Changes nothing.
options:
  root:
    description: Absolute path of the site's directory. Where it does not exist there are no releases.
    type: path
    required: true
  site:
    description:
      - Name of the site. With it the slots are read, and systemd is asked for their units
        (C(<site>-web@blue.service), C(<site>-worker@green.service) and so on). No rights are needed.
    type: str
    default: ""
  repository:
    description:
      - URL or path of the git repository. A password or token inside is refused.
      - Required with O(version).
    type: str
    default: ""
  version:
    description:
      - Tag, branch or whole commit id. A tag and a branch of the same name are refused, unless they stand for the same
        commit; give V(refs/tags/NAME) then.
      - A commit id is taken as it is. Whether the repository has it is found out when it is staged.
    type: str
    default: ""
  environment:
    description: Variables of the site's processes, as for M(slipway.django.release). They are part of the name.
    type: dict
    default: {}
  python:
    description: As for M(slipway.django.release). Part of the name.
    type: str
    default: /usr/bin/python3
  installer:
    description: As for M(slipway.django.release). Part of the name.
    type: str
    choices: [pip, uv]
    default: pip
  requirements:
    description: As for M(slipway.django.release). Part of the name.
    type: str
    default: requirements.txt
  install_arguments:
    description: As for M(slipway.django.release). Part of the name.
    type: list
    elements: str
    default: []
  commands:
    description: As for M(slipway.django.release). Part of the name.
    type: list
    elements: list
    default: []
  build_environment:
    description: Variables for git, for example C(GIT_SSH_COMMAND). Not part of the name.
    type: dict
    default: {}
  since:
    description: Commit id that RV(commits) begins after. The default is the commit of the live release.
    type: str
    default: ""
  scratch:
    description:
      - Directory for a copy of the repository, needed for RV(commits) when the mirror under O(root) does not have both
        commits yet. It is left as it was found.
    type: path
  timeout:
    description: Seconds that each git command may take.
    type: int
    default: 300
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Reads only.
  idempotent:
    support: full
    description: Reads only.
  platform:
    support: full
    platforms: posix
    description: Linux with systemd, Python 3.9 or later and git 2.25 or later.
seealso:
  - module: slipway.django.release
author:
  - slipway.django contributors (@slipway)
"""

EXAMPLES = r"""
- name: Which commit is v2, and what will the release be called?
  slipway.django.release_info:
    root: /srv/shop
    repository: https://git.example.com/shop.git
    version: v2
    environment: "{{ slipway_environment }}"
  become: true
  become_user: shop
  register: wanted

- name: What is live on this host?
  slipway.django.release_info:
    root: /srv/shop
    site: shop
  become: true
  become_user: shop
  register: host
"""

RETURN = r"""
msg:
  description: The answer in one sentence.
  returned: always
  type: str
commit:
  description: Whole commit id of O(version). V(null) without a version.
  returned: success
  type: str
ref:
  description: The ref that O(version) was found as. Empty for a commit id.
  returned: success
  type: str
  sample: refs/tags/v2
name:
  description: Name of the release. V(null) without a version.
  returned: success
  type: str
  sample: 3f2a9c1d0b7e-5d41402a
slots:
  description: The slots V(blue) and V(green). Empty without O(site).
  returned: success
  type: dict
  contains:
    blue:
      description: The slot V(blue). V(green) has the same keys.
      type: dict
      contains:
        release:
          description: The release that the slot links to, V(null) for an empty slot.
          type: str
        enabled:
          description: Whether its web unit is enabled.
          type: bool
        running:
          description: The kinds V(web), V(asgi), V(worker) and V(beat) whose units are not at rest.
          type: list
          elements: str
live:
  description:
    - The slot whose web unit is enabled, with the keys C(slot) and C(release). V(null) when none is, or both are;
      RV(live_reason) says which.
  returned: success
  type: dict
live_reason:
  description: Why RV(live) is what it is.
  returned: success
  type: str
releases:
  description: The releases on the host, the newest first, incomplete ones last.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the release.
      type: str
    complete:
      description: Whether it is whole.
      type: bool
    commit:
      description: Its commit id, V(null) when it is not complete.
      type: str
    version:
      description: What people call the commit, V(null) when it is not complete.
      type: str
    built_at:
      description: When it was built, in UTC, V(null) when it is not complete.
      type: str
running:
  description: The releases that a process runs from, each with one of its processes.
  returned: success
  type: dict
running_unknown:
  description: A process that can't be looked at and may run from any of them. V(null) when there is none.
  returned: success
  type: str
commits:
  description: Commits that the version brings, the newest first, at most 500 together with RV(commits_removed).
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Commit id.
      type: str
    subject:
      description: First line of the commit's message.
      type: str
commits_removed:
  description: Commits of the live release that the version does not have. Same keys as RV(commits).
  returned: success
  type: list
  elements: dict
commits_known:
  description: Whether both lists could be made. If not, they are empty, and RV(commits_reason) says why.
  returned: success
  type: bool
commits_reason:
  description: Why the lists could not be made. Empty when they could.
  returned: success
  type: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.plugins.module_utils._release._build import checked_identity
from ansible_collections.slipway.django.plugins.module_utils._release._environment import (
    checked_environment,
    checked_release_environment,
)
from ansible_collections.slipway.django.plugins.module_utils._release._information import (
    Answer,
    Question,
    ReleaseSeen,
    answer,
)
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout, checked_root
from ansible_collections.slipway.django.plugins.module_utils._release._naming import BuildIdentity, checked_commit
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import (
    RedactingRunner,
    Redaction,
    take_secrets,
)
from ansible_collections.slipway.django.plugins.module_utils._release._repository import Git, checked_repository

ARGUMENTS = {
    "root": {"type": "path", "required": True},
    "site": {"type": "str", "default": ""},
    "repository": {"type": "str", "default": ""},
    "version": {"type": "str", "default": ""},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "python": {"type": "str", "default": "/usr/bin/python3"},
    "installer": {"type": "str", "choices": ["pip", "uv"], "default": "pip"},
    "requirements": {"type": "str", "default": "requirements.txt"},
    "install_arguments": {"type": "list", "elements": "str", "default": []},
    "commands": {"type": "list", "elements": "list", "default": []},
    "build_environment": {"type": "dict", "default": {}, "no_log": True},
    "since": {"type": "str", "default": ""},
    "scratch": {"type": "path"},
    "timeout": {"type": "int", "default": 300},
}
SECRETS = ("environment", "build_environment")


def asked(params: Mapping[str, Any], secrets: Mapping[str, Mapping[str, object]]) -> Question:
    """Return the question, each part checked."""
    if params["version"] and not params["repository"]:
        raise InvalidOption("repository", "", "a URL or a path, as a version is to be resolved")
    build_environment = checked_environment("build_environment", secrets["build_environment"])
    identity = BuildIdentity(
        python=params["python"],
        installer=params["installer"],
        requirements=params["requirements"],
        install_arguments=tuple(params["install_arguments"]),
        commands=tuple(tuple(str(word) for word in command) for command in params["commands"]),
    )
    url = checked_repository(params["repository"]) if params["repository"] else ""
    runner = RedactingRunner(SystemRunner(), Redaction(build_environment))
    return Question(
        layout=Layout(checked_root("root", params["root"])),
        site=params["site"],
        version=params["version"],
        git=Git(runner, url, build_environment, params["timeout"]),
        environment=checked_release_environment(secrets["environment"]),
        identity=checked_identity(identity),
        since=checked_commit("since", params["since"]) if params["since"] else "",
        scratch=checked_root("scratch", params["scratch"]) if params["scratch"] else "",
    )


def as_result(found: Answer) -> dict[str, Any]:
    """Return the values of the RETURN section."""
    resolved, live, changes = found.resolved, found.live, found.changes
    return {
        "changed": False,
        "msg": f"release {found.name}; {live.reason}" if found.name else live.reason,
        "commit": resolved.commit if resolved else None,
        "ref": resolved.ref if resolved else "",
        "name": found.name,
        "slots": {slot: vars(state) for slot, state in found.slots.items()},
        "live": {"slot": live.slot, "release": live.release} if live.slot else None,
        "live_reason": live.reason,
        "releases": [release_result(seen) for seen in found.releases],
        "running": dict(found.running.releases),
        "running_unknown": found.running.unknown,
        "commits": [vars(change) for change in changes.added] if changes else [],
        "commits_removed": [vars(change) for change in changes.removed] if changes else [],
        "commits_known": changes is not None,
        "commits_reason": found.note,
    }


def release_result(seen: ReleaseSeen) -> dict[str, Any]:
    """Return one element of RV(releases)."""
    manifest = seen.manifest
    return {
        "name": seen.name,
        "complete": manifest is not None,
        "commit": manifest.commit if manifest else None,
        "version": manifest.version if manifest else None,
        "built_at": manifest.built_at if manifest else None,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    secrets = take_secrets(module.params, module.no_log_values, SECRETS)
    try:
        result = as_result(answer(asked(module.params, secrets), SystemRunner()))
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
