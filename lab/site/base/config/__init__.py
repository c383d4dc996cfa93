# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project: Celery's application is made with it, so that tasks are sent to the right broker."""

from .celery import app as celery_app

__all__ = ["celery_app"]
