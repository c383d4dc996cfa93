# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill the database to a chosen size."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from shop.models import Customer, Order

DOMAIN = "generated.example"
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
NAMES = ("Ada", "Alan", "Barbara", "Donald", "Edsger", "Grace", "John", "Katherine", "Margaret", "Niklaus")
ITEMS = ("Anchor", "Bollard", "Compass", "Fender", "Hawser", "Keel", "Lantern", "Mast", "Rudder", "Sail")


def customer_rows(numbers: range, seed: int) -> Iterator[tuple[str, str, datetime]]:
    """Customers by their number: the same for the same seed, in whatever portions they are made."""
    for number in numbers:
        dice = random.Random(f"customer {seed} {number}")
        name = f"{dice.choice(NAMES)} {dice.randrange(10_000):04d}"
        yield f"c{number}@{DOMAIN}", name, FIRST + timedelta(seconds=dice.randrange(30_000_000))


def order_rows(numbers: range, seed: int, customers: list[int]) -> Iterator[tuple[Any, ...]]:
    """Orders by their number, each of one of the customers."""
    for number in numbers:
        dice = random.Random(f"order {seed} {number}")
        created = FIRST + timedelta(seconds=dice.randrange(30_000_000))
        item, quantity, cents = dice.choice(ITEMS), dice.randint(1, 9), dice.randrange(100, 100_000)
        yield f"G-{number}", dice.choice(customers), item, quantity, quantity * cents, created, "generated", "generated"


class Command(BaseCommand):
    help = "Bring the number of generated customers and orders up to the size asked for; never removes any."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--customers", type=int, default=1000)
        parser.add_argument("--orders", type=int, default=10_000)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["orders"] and not options["customers"]:
            raise CommandError("Orders need at least one customer.")
        with transaction.atomic():
            self.make_customers(options["customers"], options["seed"])
            self.make_orders(options["orders"], options["seed"])

    def make_customers(self, wanted: int, seed: int) -> None:
        there = Customer.objects.filter(email__endswith=f"@{DOMAIN}").count()
        rows = customer_rows(range(there, wanted), seed)
        self.copy("customers", there, wanted, "shop_customer (email, name, created)", rows)

    def make_orders(self, wanted: int, seed: int) -> None:
        there = Order.objects.filter(release="generated").count()
        generated = Customer.objects.filter(email__endswith=f"@{DOMAIN}").order_by("id")
        rows = order_rows(range(there, wanted), seed, list(generated.values_list("id", flat=True)))
        columns = "reference, customer_id, item, quantity, amount_cents, created, release, host"
        self.copy("orders", there, wanted, f"shop_order ({columns})", rows)

    def copy(self, what: str, there: int, wanted: int, target: str, rows: Iterator[tuple[Any, ...]]) -> None:
        """Hand the rows to COPY: a million orders take seconds, not minutes."""
        if wanted > there:
            with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as stream:
                for row in rows:
                    stream.write_row(row)
        self.stdout.write(f"{what}: {there} there, {max(wanted - there, 0)} made")
