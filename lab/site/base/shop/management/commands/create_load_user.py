# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the user that the load generator logs in as; its password comes from the environment."""

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Make the load generator's user, or set its password, from LOAD_USER_PASSWORD. Changes nothing when right."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="load")

    def handle(self, *_args: Any, **options: Any) -> None:
        password = os.environ.get("LOAD_USER_PASSWORD", "")
        if not password:
            raise CommandError("The environment variable LOAD_USER_PASSWORD is not set.")
        user, created = get_user_model().objects.get_or_create(username=options["username"])
        if not created and user.check_password(password):
            self.stdout.write(f"{user.username}: unchanged")
            return
        user.set_password(password)
        user.save()
        self.stdout.write(f"{user.username}: {'made' if created else 'password set'}")
