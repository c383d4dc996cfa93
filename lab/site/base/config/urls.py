# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of the whole site."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from shop import api, health, views

urlpatterns = [
    path("", views.home),
    path("orders/", views.orders),
    path("orders/<str:reference>/", views.order),
    path("customers/", views.customers),
    path("customers/<int:number>/", views.customer),
    path("login/", LoginView.as_view()),
    path("logout/", LogoutView.as_view(next_page="/")),
    path("account/", views.account),
    path("slow/", views.slow),
    path("live/", views.live),
    path("api/orders", api.place_order),
    path("api/upload", api.upload),
    path("health/live", health.live),
    path("health/ready", health.ready),
]
