#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build, remove and prune the releases of a Django site on one host
version_added: 0.1.0
description:
  - A release is the directory C(<root>/releases/<name>) with the code of one commit (C(src)), a virtual environment
    (C(venv)), its static files (C(static)), its environment file (C(env), mode 0600) and C(release.json).
  - It is built at its final place, and C(release.json) is written last. A directory without it is what is left of a
    build that failed or was killed; it is removed and built again.
  - Nothing that runs is touched. A release that is there is never changed; the same name with another environment is
    refused.
  - The code comes from a mirror C(<root>/repository.git), which is fetched only when the commit is missing. It is
    unpacked with C(git archive), so C(export-ignore) in C(.gitattributes) leaves files out. Submodules are refused.
  - Run it as the site's user. Two tasks for one root wait for each other.
options:
  state:
    description:
      - V(staged) makes the release be there, whole, with its static files published.
      - V(absent) removes one release. It is refused while a slot links to it or a process runs from it. With
        O(scratch) it removes the scratch directory, also in check mode.
      - V(pruned) removes the releases that nothing needs, and the published static files that no release has any more.
    type: str
    choices: [staged, absent, pruned]
    default: staged
  root:
    description: Absolute path of the site's directory. It must exist for O(state=staged).
    type: path
    required: true
  name:
    description:
      - Name of the release, from M(slipway.django.release_info).
      - Required for O(state=staged) and O(state=absent).
    type: str
  repository:
    description:
      - URL or path of the git repository. Required for O(state=staged).
      - A password or token inside is refused. Use a deploy key over SSH or a credential helper of the site's user.
    type: str
  commit:
    description: Whole commit id. Required for O(state=staged).
    type: str
  version:
    description: What people call this commit, for the record. The default is the commit id.
    type: str
    default: ""
  environment:
    description:
      - Variables of the site's processes, secrets included. They are written to the environment file, which systemd
        reads with C(EnvironmentFile=), and handed to O(commands).
      - Values are text of one line or whole numbers. Other types are refused, as YAML's V(true) is not what a site
        expects to read.
      - C(SLIPWAY_RELEASE), C(SLIPWAY_STATIC_ROOT) and C(SLIPWAY_MEDIA_ROOT) are added; these names and
        C(SLIPWAY_SLOT) and C(SLIPWAY_PORT), which the unit sets, are refused here.
      - Values are never shown. In the output of a command that failed they are replaced by C(<NAME>), if they have at
        least four characters and are no part of O(root), O(repository) or O(version).
    type: dict
    default: {}
  python:
    description: The interpreter that the virtual environment is made with. For O(installer=uv) also a version.
    type: str
    default: /usr/bin/python3
  installer:
    description:
      - What makes the virtual environment and installs the packages. Neither is part of the release afterwards.
    type: str
    choices: [pip, uv]
    default: pip
  uv:
    description: Name or path of the program for O(installer=uv). It is looked for in C(PATH) and C(~/.local/bin).
    type: str
    default: uv
  requirements:
    description: Requirements file inside of the source. An empty value installs nothing.
    type: str
    default: requirements.txt
  install_arguments:
    description:
      - More arguments for C(pip install) or C(uv pip install), for example V(--require-hashes).
      - No URLs with passwords, as arguments are seen by every user of the host. Use O(build_environment).
    type: list
    elements: str
    default: []
  build_environment:
    description:
      - Variables for git, the installer and, below O(environment), the commands, for example C(PIP_INDEX_URL),
        C(PIP_CERT), C(SSL_CERT_FILE), C(HTTPS_PROXY), C(GIT_SSH_COMMAND).
      - They are not part of the release, nor of its name. Git and the installer get these only, not O(environment).
    type: dict
    default: {}
  commands:
    description:
      - Commands to run in the source after the installation, each a list of arguments, with the release's
        environment and the virtual environment first in C(PATH).
      - Each must end with status 0.
    type: list
    elements: list
    default: []
  imports:
    description:
      - Python modules that must be importable in the release, for example V(shop.wsgi). They are imported in a process
        of their own, before any live process is told to load the release.
    type: list
    elements: str
    default: []
  static_root:
    description:
      - Directory in which the static files of all releases lie together. The default is C(static) under O(root).
        It belongs to this module, and O(state=pruned) removes from it what no release has.
      - A file with a digest in its name (C(name.<12 hexadecimal digits>.ext)) is added and never replaced; other
        content under the same name is an error. Any other file is replaced by that of the release staged last.
        C(staticfiles.json) is not published.
    type: path
  scratch:
    description:
      - Directory to build in instead of O(root), also in check mode, without publishing static files. It is made with
        mode 0700; one that others made or can write into is refused.
      - Remove it with O(state=absent).
    type: path
  site:
    description: Name of the site. With it O(state=pruned) asks systemd which slot is live, for the reasons it gives.
    type: str
    default: ""
  keep:
    description: How many of the newest complete releases O(state=pruned) keeps in any case.
    type: int
    default: 3
  protected:
    description: Names of releases that are never removed, for example the last good one.
    type: list
    elements: str
    default: []
  who:
    description: Who builds the release, for the record.
    type: str
    default: ""
  timeout:
    description: Seconds that each command may take, and to wait for another task on the same root.
    type: int
    default: 900
attributes:
  check_mode:
    support: full
    description: Nothing is built or removed, except in O(scratch).
  diff_mode:
    support: full
    description: Shows releases and static files before and after. Values of variables are never shown.
  idempotent:
    support: full
    description: A release that is there, with its static files, is left as it is.
  platform:
    support: full
    platforms: posix
    description: Linux, with Python 3.9 or later and git 2.25 or later.
seealso:
  - module: slipway.django.release_info
author:
  - slipway.django contributors (@slipway)
"""

EXAMPLES = r"""
- name: Ask for the commit and the name
  slipway.django.release_info:
    root: /srv/shop
    repository: https://git.example.com/shop.git
    version: v2
    environment: "{{ slipway_environment }}"
    commands:
      - [python, manage.py, collectstatic, --noinput]
  become: true
  become_user: shop
  register: wanted

- name: Build the release beside what runs
  slipway.django.release:
    root: /srv/shop
    name: "{{ wanted.name }}"
    repository: https://git.example.com/shop.git
    commit: "{{ wanted.commit }}"
    version: v2
    environment: "{{ slipway_environment }}"
    commands:
      - [python, manage.py, collectstatic, --noinput]
    imports: [shop.wsgi]
  become: true
  become_user: shop

- name: Keep the five newest releases and what is in use
  slipway.django.release:
    state: pruned
    root: /srv/shop
    site: shop
    keep: 5
  become: true
  become_user: shop
"""

RETURN = r"""
msg:
  description: What was done, or why nothing had to be done.
  returned: always
  type: str
reason:
  description: Why the result is changed or not.
  returned: success
  type: str
release:
  description: The release.
  returned: for O(state=staged) and O(state=absent)
  type: dict
  contains:
    name:
      description: Its name.
      returned: always
      type: str
    path:
      description: Its directory.
      returned: always
      type: str
    commit:
      description: The commit id.
      returned: for O(state=staged)
      type: str
    version:
      description: What people call the commit.
      returned: for O(state=staged)
      type: str
    built_at:
      description: When it was built, in UTC. V(null) in check mode when it is not there.
      returned: for O(state=staged)
      type: str
      sample: "2026-11-21T16:05:28Z"
    seconds:
      description: Seconds that each step of its build took, and V(total). Empty in check mode when it is not there.
      returned: for O(state=staged)
      type: dict
      sample: {"repository": 0.4, "source": 0.2, "venv": 2.1, "install": 6.3, "compile": 1.9, "total": 12.4}
static:
  description: What was published, or would be, under O(static_root). V(null) when that is not known before the build.
  returned: for O(state=staged)
  type: dict
  contains:
    added:
      description: Files that were not there.
      type: int
    replaced:
      description: Files without a digest in their name that had other content.
      type: int
    same:
      description: Files that were there.
      type: int
removed:
  description: The releases that were removed, or would be, each with its C(name) and C(reason).
  returned: for O(state=absent) and O(state=pruned)
  type: list
  elements: dict
kept:
  description: The releases that stay, each with its C(name) and C(reason).
  returned: for O(state=pruned)
  type: list
  elements: dict
static_removed:
  description: How many published static files were removed, or would be, because no release has them any more.
  returned: for O(state=absent) and O(state=pruned)
  type: int
step:
  description: The step of the build that failed.
  returned: failure of a build
  type: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.plugins.module_utils._release._build import (
    BuildOptions,
    checked_identity,
    checked_imports,
    find_uv,
)
from ansible_collections.slipway.django.plugins.module_utils._release._environment import (
    checked_environment,
    checked_release_environment,
)
from ansible_collections.slipway.django.plugins.module_utils._release._layout import (
    Layout,
    checked_name,
    checked_root,
)
from ansible_collections.slipway.django.plugins.module_utils._release._naming import BuildIdentity, checked_commit
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import (
    RedactingRunner,
    Redaction,
    take_secrets,
)
from ansible_collections.slipway.django.plugins.module_utils._release._removal import Removal, Scope, prune, remove
from ansible_collections.slipway.django.plugins.module_utils._release._repository import checked_repository
from ansible_collections.slipway.django.plugins.module_utils._release._scratch import remove_scratch
from ansible_collections.slipway.django.plugins.module_utils._release._stage import Staged, Tools, Wanted, stage

ARGUMENTS = {
    "state": {"type": "str", "choices": ["staged", "absent", "pruned"], "default": "staged"},
    "root": {"type": "path", "required": True},
    "name": {"type": "str"},
    "repository": {"type": "str"},
    "commit": {"type": "str"},
    "version": {"type": "str", "default": ""},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "python": {"type": "str", "default": "/usr/bin/python3"},
    "installer": {"type": "str", "choices": ["pip", "uv"], "default": "pip"},
    "uv": {"type": "str", "default": "uv"},
    "requirements": {"type": "str", "default": "requirements.txt"},
    "install_arguments": {"type": "list", "elements": "str", "default": []},
    "build_environment": {"type": "dict", "default": {}, "no_log": True},
    "commands": {"type": "list", "elements": "list", "default": []},
    "imports": {"type": "list", "elements": "str", "default": []},
    "static_root": {"type": "path"},
    "scratch": {"type": "path"},
    "site": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 3},
    "protected": {"type": "list", "elements": "str", "default": []},
    "who": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 900},
}
SECRETS = ("environment", "build_environment")


def wanted_release(params: Mapping[str, Any], secrets: Mapping[str, Mapping[str, object]]) -> Wanted:
    """Return the request for O(state=staged), each part checked."""
    identity = BuildIdentity(
        python=params["python"],
        installer=params["installer"],
        requirements=params["requirements"],
        install_arguments=tuple(params["install_arguments"]),
        commands=tuple(tuple(str(word) for word in command) for command in params["commands"]),
    )
    build = BuildOptions(
        identity=checked_identity(identity),
        uv=find_uv(params["uv"]) if params["installer"] == "uv" else params["uv"],
        imports=checked_imports(params["imports"]),
        environment=checked_environment("build_environment", secrets["build_environment"]),
        timeout_s=params["timeout"],
    )
    scope = removal_scope(params)
    commit = checked_commit("commit", params["commit"])
    return Wanted(
        root=scope.layout,
        scratch=Layout(checked_root("scratch", params["scratch"])) if params["scratch"] else None,
        name=checked_name(params["name"]),
        repository=checked_repository(params["repository"]),
        commit=commit,
        version=params["version"] or commit,
        environment=checked_release_environment(secrets["environment"]),
        build=build,
        static_root=scope.static_root,
        who=params["who"],
    )


def removal_scope(params: Mapping[str, Any]) -> Scope:
    """Return where O(state=absent) and O(state=pruned) work."""
    layout = Layout(checked_root("root", params["root"]))
    return Scope(
        layout=layout,
        static_root=checked_root("static_root", params["static_root"] or layout.static),
        site=params["site"],
        protected=tuple(params["protected"]),
        timeout_s=params["timeout"],
    )


def run_staged(
    params: Mapping[str, Any], secrets: Mapping[str, Mapping[str, object]], check_mode: bool
) -> dict[str, Any]:
    """Carry out O(state=staged)."""
    wanted = wanted_release(params, secrets)
    shown = (wanted.paths.path, wanted.root.root, wanted.repository, wanted.version)
    redact = Redaction({**wanted.build.environment, **wanted.environment}, shown=shown)
    staged = stage(wanted, Tools(RedactingRunner(SystemRunner(), redact), SystemClock()), check_mode=check_mode)
    return staged_result(wanted, staged)


def run_absent(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Carry out O(state=absent)."""
    if params["scratch"]:
        gone = remove_scratch(checked_root("scratch", params["scratch"]))
        reason = f"scratch {params['scratch']} {'removed' if gone else 'is not there'}"
        result = {"changed": gone, "msg": reason, "reason": reason, "removed": [], "static_removed": 0}
        return {**result, "release": {"name": params["name"], "path": params["scratch"]}}
    scope = removal_scope(params)
    removal = remove(scope, checked_name(params["name"]), SystemClock(), check_mode=check_mode)
    result = removal_result(removal)
    del result["kept"]
    return {**result, "release": {"name": params["name"], "path": scope.layout.release(params["name"]).path}}


def run_pruned(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Carry out O(state=pruned)."""
    removal = prune(removal_scope(params), SystemRunner(), SystemClock(), keep=params["keep"], check_mode=check_mode)
    return removal_result(removal)


def staged_result(wanted: Wanted, staged: Staged) -> dict[str, Any]:
    """Return the values of the RETURN section, and the diff."""
    manifest, publication, plan = staged.manifest, staged.publication, staged.plan
    static = publication and {
        "added": len(publication.add),
        "replaced": len(publication.replace),
        "same": publication.same,
    }
    after = {"release": wanted.name, "commit": wanted.commit, "version": wanted.version}
    after["variables"] = ", ".join(sorted(wanted.full_environment))
    published = (
        {"add": list(plan.publication.add), "replace": list(plan.publication.replace)} if plan.publication else {}
    )
    return {
        "changed": plan.changed,
        "msg": plan.reason,
        "reason": plan.reason,
        "release": {
            "name": wanted.name,
            "path": wanted.paths.path,
            "commit": wanted.commit,
            "version": manifest.version if manifest else wanted.version,
            "built_at": manifest.built_at if manifest else None,
            "seconds": dict(manifest.seconds) if manifest else {},
        },
        "static": static,
        "diff": {"before": {} if plan.build else after, "after": {**after, **published}},
    }


def removal_result(removal: Removal) -> dict[str, Any]:
    """Return the values of the RETURN section, and the diff."""
    kept = [vars(decision) for decision in removal.keep]
    removed = [vars(decision) for decision in removal.remove]
    names = sorted(decision["name"] for decision in kept)
    return {
        "changed": removal.changed,
        "msg": removal.reason,
        "reason": removal.reason,
        "removed": removed,
        "kept": kept,
        "static_removed": len(removal.static),
        "diff": {
            "before": {
                "releases": sorted([*names, *(decision["name"] for decision in removed)]),
                "static": list(removal.static),
            },
            "after": {"releases": names, "static": []},
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[
            ("state", "staged", ["name", "repository", "commit"]),
            ("state", "absent", ["name"]),
        ],
        supports_check_mode=True,
    )
    secrets = take_secrets(module.params, module.no_log_values, SECRETS)
    try:
        if module.params["state"] == "staged":
            result = run_staged(module.params, secrets, module.check_mode)
        elif module.params["state"] == "absent":
            result = run_absent(module.params, module.check_mode)
        else:
            result = run_pruned(module.params, module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
