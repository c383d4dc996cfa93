# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages for people."""

import time

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from .models import Customer, Order

PER_PAGE = 10
MAX_SLOW_SECONDS = 30.0


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    latest = Order.objects.select_related("customer").order_by("-id")[:5]
    return render(request, "shop/home.html", {"orders": latest})


@require_safe
def orders(request: HttpRequest) -> HttpResponse:
    before = numbered(request, "before")
    rows = Order.objects.select_related("customer").order_by("-id")
    page = list((rows.filter(id__lt=before) if before else rows)[:PER_PAGE])
    return render(request, "shop/orders.html", {"orders": page, "next": page[-1].pk if len(page) == PER_PAGE else None})


@require_safe
def order(request: HttpRequest, reference: str) -> HttpResponse:
    found = Order.objects.select_related("customer").filter(reference=reference).order_by("id").first()
    if found is None:
        raise Http404("no such order")
    return render(request, "shop/order.html", {"order": found})


@require_safe
def customers(request: HttpRequest) -> HttpResponse:
    after = numbered(request, "after")
    page = list(Customer.objects.filter(id__gt=after).order_by("id")[:PER_PAGE])
    following = page[-1].pk if len(page) == PER_PAGE else None
    return render(request, "shop/customers.html", {"customers": page, "next": following})


@require_safe
def customer(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Customer, pk=number)
    return render(request, "shop/customer.html", {"customer": found, "orders": found.orders.order_by("-id")[:PER_PAGE]})


@require_safe
@login_required
def account(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/account.html")


@require_safe
def slow(request: HttpRequest) -> HttpResponse:
    """Take as long as asked (5 s): a report, an export."""
    try:
        seconds = float(request.GET.get("seconds", "5"))
    except ValueError:
        return HttpResponse("seconds must be a number\n", status=400, content_type="text/plain")
    seconds = min(max(seconds, 0.0), MAX_SLOW_SECONDS)
    time.sleep(seconds)
    return HttpResponse(f"slept {seconds:g} s\n", content_type="text/plain")


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """A page that keeps a WebSocket open and says who answers it."""
    return render(request, "shop/live.html")


def numbered(request: HttpRequest, name: str) -> int:
    """Return a position in a list, 0 when there is none."""
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else 0
