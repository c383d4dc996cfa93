#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: django_run_once
short_description: Run a management command once in the life of a site's database
version_added: 0.1.0
description:
  - Runs a command of C(manage.py), such as a script that moves data or C(createsuperuser --no-input), and records in
    the same database that it is done. It does not run a second time, whichever release or host asks.
  - The record is the table C(django_migrate_safe_journal), and the advisory lock is that of
    M(slipway.django.django_migrate_safe). A command and migrations never run at the same time, nor two commands.
  - A command that was begun and did not end well may have done a part. It is refused until O(after_failure) says that
    it may be repeated.
  - Django is started once, in the release's virtual environment and with its environment file.
author:
  - slipway.django contributors (@slipway)
requirements:
  - In the release's virtual environment Python 3.9 or newer, Django 4.2 to 6.0, psycopg 3 or psycopg2.
extends_documentation_fragment:
  - slipway.django.attributes
  - slipway.django.project
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  name:
    description: Name under which it is recorded. Another name is another thing to be done once.
    type: str
    required: true
  command:
    description:
      - The command and its arguments, as after C(manage.py). Secrets belong into O(environment).
    type: list
    elements: str
    required: true
  environment:
    description: Variables for this command alone, beside the release's environment file. Secrets go here.
    type: dict
    default: {}
  after_failure:
    description: What to do when it was begun before and did not end well.
    type: str
    choices: [refuse, repeat]
    default: refuse
  database:
    description: Alias of the database in whose journal it is recorded.
    type: str
    default: default
  run_id:
    description: Name of this run in the journal, such as the id of the deployment. Made from the time by default.
    type: str
    default: ''
  timeout:
    description: Seconds after which it is killed.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Make the first superuser
  slipway.django.django_run_once:
    name: first superuser
    command: [createsuperuser, --no-input]
    environment:
      DJANGO_SUPERUSER_USERNAME: admin
      DJANGO_SUPERUSER_EMAIL: admin@example.com
      DJANGO_SUPERUSER_PASSWORD: "{{ vault_superuser_password }}"
    release_path: /srv/shop/releases/3f2a9c1d0b5e-8d1c2f3a
  become: true
  become_user: shop

- name: Move the addresses to their new table
  slipway.django.django_run_once:
    name: addresses moved
    command: [move_addresses, --batch, "1000"]
    after_failure: repeat
    release_path: /srv/shop/releases/3f2a9c1d0b5e-8d1c2f3a
  become: true
  become_user: shop
"""

RETURN = r"""
reason:
  description: Why it ran, or when it was done.
  returned: success
  type: str
name:
  description: As O(name).
  returned: success
  type: str
run_id:
  description: Name of the run in the journal.
  returned: success
  type: str
ms:
  description: Milliseconds that it took. Not set when it did not run.
  returned: success
  type: int
stderr:
  description: The end of what it printed, without the values of the environment.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._bundle import bundle
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import (
    Means,
    ask,
    find_site,
    with_variables,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._options import read_once
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "command": {"type": "list", "elements": "str", "required": True},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "after_failure": {"type": "str", "choices": ["refuse", "repeat"], "default": "refuse"},
    "release_path": {"type": "path", "required": True},
    "project_directory": {"type": "str", "default": "."},
    "settings": {"type": "str", "default": ""},
    "database": {"type": "str", "default": "default"},
    "run_id": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 3600},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options = module.params
    try:
        site = find_site(options["release_path"], options["project_directory"], options["settings"])
        request = read_once(options, site, check_mode=module.check_mode, now=SystemClock().utcnow())
        means = Means(bundle(), module.tmpdir, SystemRunner(), options["timeout"])
        result = ask(with_variables(site, options["environment"]), request, means)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(msg=result["reason"], **result)


if __name__ == "__main__":
    main()
