# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done outside of a request."""

import time

from celery import shared_task
from django.conf import settings

from .models import Heartbeat, TaskRun


def after_order(reference: str) -> None:
    """Send the tasks that follow an order; called once the order is committed."""
    confirm_order.delay(reference)


@shared_task(name="shop.confirm_order")
def confirm_order(reference: str) -> None:
    """Confirm an order to its customer."""
    # Stands for a mail server that takes its time.
    time.sleep(settings.TASK_SECONDS)
    record("shop.confirm_order", reference)


@shared_task(name="shop.heartbeat")
def heartbeat(beat_host: str, beat_release: str) -> None:
    """Write that a scheduler and a worker are alive."""
    Heartbeat.objects.create(
        beat_host=beat_host,
        beat_release=beat_release,
        worker_host=settings.HOSTNAME,
        worker_release=settings.RELEASE,
    )


def record(task: str, reference: str) -> None:
    """Write what was done, by which release, where."""
    TaskRun.objects.create(task=task, reference=reference, release=settings.RELEASE, host=settings.HOSTNAME)
