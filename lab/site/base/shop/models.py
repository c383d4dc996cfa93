# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shop knows."""

from django.db import models
from django.utils import timezone


class Customer(models.Model):
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=100)
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


class Order(models.Model):
    # Chosen by the client, once for each order. Not unique here: a request that somebody on the way
    # executed twice must be seen as two rows, not be hidden by a constraint.
    reference = models.CharField(max_length=64, db_index=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="orders")
    item = models.CharField(max_length=100)
    quantity = models.IntegerField(default=1)
    amount_cents = models.IntegerField()
    created = models.DateTimeField(default=timezone.now)
    # Who accepted it.
    release = models.CharField(max_length=64)
    host = models.CharField(max_length=255)

    def __str__(self) -> str:
        return self.reference

    @property
    def amount(self) -> str:
        return f"{self.amount_cents / 100:.2f}"


class TaskRun(models.Model):
    """A task that a worker finished, for an order."""

    task = models.CharField(max_length=100)
    reference = models.CharField(max_length=64, db_index=True)
    release = models.CharField(max_length=64)
    host = models.CharField(max_length=255)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.task} {self.reference}"


class Heartbeat(models.Model):
    """A periodic task: which scheduler sent it, which worker ran it."""

    beat_host = models.CharField(max_length=255)
    beat_release = models.CharField(max_length=64)
    worker_host = models.CharField(max_length=255)
    worker_release = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.beat_host} {self.at}"
