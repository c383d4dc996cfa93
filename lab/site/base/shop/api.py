# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For programs: a bearer token instead of a session, JSON instead of pages."""

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .forms import OrderForm
from .models import Customer, Order
from .tasks import after_order

View = Callable[[HttpRequest], JsonResponse]
MAX_UPLOAD = 64 * 1024 * 1024


def token_required(view: View) -> View:
    """Answer 401 to whoever does not show the token."""

    @wraps(view)
    def guarded(request: HttpRequest) -> JsonResponse:
        expected = f"Bearer {settings.API_TOKEN}"
        if not constant_time_compare(request.headers.get("Authorization", ""), expected):
            return JsonResponse({"error": "token"}, status=401)
        return view(request)

    return guarded


@csrf_exempt
@require_POST
@token_required
def place_order(request: HttpRequest) -> JsonResponse:
    """Write an order and send the tasks that follow it."""
    try:
        document = json.loads(request.body)
    except ValueError:
        return JsonResponse({"error": "not JSON"}, status=400)
    form = OrderForm(document if isinstance(document, dict) else {})
    if not form.is_valid():
        return JsonResponse({"error": "invalid", "fields": form.errors}, status=400)
    order = write_order(form.cleaned_data)
    return JsonResponse({"reference": order.reference, "number": order.pk, "release": settings.RELEASE}, status=201)


def write_order(fields: dict[str, Any]) -> Order:
    """Write the order; a broker that is away does not make it fail once it is committed."""
    email = fields.pop("email")
    with transaction.atomic():
        customer, _ = Customer.objects.get_or_create(email=email, defaults={"name": email.partition("@")[0]})
        order = Order.objects.create(customer=customer, release=settings.RELEASE, host=settings.HOSTNAME, **fields)
        # A function and no partial: Django 5.2 fails to log a failed partial, and so fails itself.
        transaction.on_commit(send_tasks(order.reference), robust=True)
    return order


def send_tasks(reference: str) -> Callable[[], None]:
    """Return a call that sends the tasks of an order."""

    def send() -> None:
        after_order(reference)

    return send


@csrf_exempt
@require_POST
@token_required
def upload(request: HttpRequest) -> JsonResponse:
    """Answer the digest and the length of what was sent."""
    digest = hashlib.sha256()
    length = 0
    while block := request.read(65536):
        digest.update(block)
        length += len(block)
        if length > MAX_UPLOAD:
            return JsonResponse({"error": "too large", "limit": MAX_UPLOAD}, status=413)
    announced = int(request.headers.get("Content-Length") or length)
    if length != announced:
        return JsonResponse({"error": "incomplete", "length": length, "announced": announced}, status=400)
    return JsonResponse({"sha256": digest.hexdigest(), "length": length, "release": settings.RELEASE})
