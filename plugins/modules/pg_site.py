#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_site
short_description: Make the role and the databases of a site
version_added: 0.1.0
description:
  - Makes a PostgreSQL role that can log in, with its password, and a database that belongs to it. Drops nothing and
    takes nothing away.
  - The password never reaches the server. A SCRAM-SHA-256 verifier is made on the host and sent through standard input.
requirements:
  - C(psql) on the host
  - a superuser of the server that may log in through the local socket
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes
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
  database:
    description: Name of the database.
    type: str
    required: true
  user:
    description: Name of the role that owns it.
    type: str
    required: true
  password:
    description: Password of the role, ASCII, not empty.
    type: str
    required: true
  rehearsal_database:
    description:
      - Name of a second database that belongs to the role, in which M(slipway.django.django_migrate_safe) rehearses
        migrations, so that the role needs no right to make databases. It bears a mark in its comment, and is emptied
        before and after each rehearsal.
      - Refused when there is one of this name without the mark. Empty for none.
    type: str
    default: ''
  query_statistics:
    description:
      - Whether the server counts what each query takes, by the extension C(pg_stat_statements) in the database
        C(postgres). It is refused when C(shared_preload_libraries) does not name it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Make the role and the database of the shop
  slipway.django.pg_site:
    database: shop
    user: shop
    password: "{{ vault_database_password }}"
    rehearsal_database: shop__rehearsal
  become: true
  become_user: postgres
"""

RETURN = r"""
steps:
  description: What was done, or would be done in check mode, in words.
  returned: success
  type: list
  elements: str
  sample: [make role shop, set the password of role shop, make database shop]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import require_name
from ansible_collections.slipway.django.plugins.module_utils._postgres._site import Psql, Wanted, ensure
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "rehearsal_database": {"type": "str", "default": ""},
            "query_statistics": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    options = module.params
    wanted = Wanted(
        options["database"],
        options["user"],
        options["password"],
        options["rehearsal_database"],
        options["query_statistics"],
    )
    try:
        if wanted.rehearsal:
            require_name("rehearsal_database", wanted.rehearsal)
        if wanted.rehearsal == wanted.database:
            raise InvalidOption("rehearsal_database", wanted.rehearsal, "another database than the site's")
        if not wanted.password or not wanted.password.isascii():
            raise InvalidOption("password", "(hidden)", "a text of ASCII characters, not empty")
        steps = ensure(Psql(SystemRunner()), wanted, check_mode=module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(changed=bool(steps), steps=steps)


if __name__ == "__main__":
    main()
