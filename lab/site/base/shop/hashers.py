# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A password hasher for places where logins are counted and no password is worth anything."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class CheapPasswordHasher(PBKDF2PasswordHasher):
    algorithm = "cheap_pbkdf2_sha256"
    iterations = 100
