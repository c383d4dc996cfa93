# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects of others with long histories of migrations, each installed from PyPI into an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._release._environment import write_environment
from ansible_collections.slipway.django.tests.integration.django_site import PASSWORD, Cluster

DATABASES = """
import os
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ["DATABASE_NAME"],
    "USER": "shop",
    "PASSWORD": os.environ["DATABASE_PASSWORD"],
    "HOST": os.environ["DATABASE_HOST"],
}}
"""
CONTRIB = """
SECRET_KEY = "none"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
    "context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]}}]
STATIC_URL = "/static/"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.sites", "django.contrib.flatpages", "django.contrib.staticfiles",
]
SITE_ID = 1
"""
WAGTAIL = """
INSTALLED_APPS += [
    "wagtail.contrib.forms", "wagtail.contrib.redirects", "wagtail.contrib.search_promotions", "wagtail.embeds",
    "wagtail.sites", "wagtail.users", "wagtail.snippets", "wagtail.documents", "wagtail.images", "wagtail.search",
    "wagtail.admin", "wagtail", "modelcluster", "taggit",
]
WAGTAIL_SITE_NAME = "proof"
WAGTAILADMIN_BASE_URL = "http://localhost"
"""
OSCAR = """
from oscar.defaults import *
INSTALLED_APPS += [
    "oscar.config.Shop", "oscar.apps.analytics.apps.AnalyticsConfig", "oscar.apps.checkout.apps.CheckoutConfig",
    "oscar.apps.address.apps.AddressConfig", "oscar.apps.shipping.apps.ShippingConfig",
    "oscar.apps.catalogue.apps.CatalogueConfig",
    "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
    "oscar.apps.communication.apps.CommunicationConfig", "oscar.apps.partner.apps.PartnerConfig",
    "oscar.apps.basket.apps.BasketConfig", "oscar.apps.payment.apps.PaymentConfig",
    "oscar.apps.offer.apps.OfferConfig", "oscar.apps.order.apps.OrderConfig",
    "oscar.apps.customer.apps.CustomerConfig", "oscar.apps.search.apps.SearchConfig",
    "oscar.apps.voucher.apps.VoucherConfig", "oscar.apps.wishlists.apps.WishlistsConfig",
    "oscar.apps.dashboard.apps.DashboardConfig", "oscar.apps.dashboard.reports.apps.ReportsDashboardConfig",
    "oscar.apps.dashboard.users.apps.UsersDashboardConfig",
    "oscar.apps.dashboard.orders.apps.OrdersDashboardConfig",
    "oscar.apps.dashboard.catalogue.apps.CatalogueDashboardConfig",
    "oscar.apps.dashboard.offers.apps.OffersDashboardConfig",
    "oscar.apps.dashboard.partners.apps.PartnersDashboardConfig",
    "oscar.apps.dashboard.pages.apps.PagesDashboardConfig",
    "oscar.apps.dashboard.ranges.apps.RangesDashboardConfig",
    "oscar.apps.dashboard.reviews.apps.ReviewsDashboardConfig",
    "oscar.apps.dashboard.vouchers.apps.VouchersDashboardConfig",
    "oscar.apps.dashboard.communications.apps.CommunicationsDashboardConfig",
    "oscar.apps.dashboard.shipping.apps.ShippingDashboardConfig",
    "widget_tweaks", "haystack", "treebeard", "sorl.thumbnail", "django_tables2",
]
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
"""
PRETIX = """
import os
os.environ.setdefault("DATA_DIR", "/tmp")
from pretix.settings import *
"""
MANAGE = """
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""


@dataclass(frozen=True)
class Project:
    """What is installed, and the settings that its documentation gives."""

    name: str
    requirements: tuple[str, ...]
    settings: str


PROJECTS = (
    Project("wagtail", ("wagtail", "psycopg[binary]"), CONTRIB + WAGTAIL),
    # Its haystack asks for what Django 5 has no more.
    Project(
        "django-oscar",
        ("django-oscar", "psycopg[binary]", "sorl-thumbnail", "django~=4.2.0", "django-treebeard<5", "setuptools<81"),
        CONTRIB + OSCAR,
    ),
    Project("pretix", ("pretix", "psycopg[binary]"), PRETIX),
)


def environment(project: Project, cache: Path, *more: str) -> Path:
    """Return the project's virtual environment, made once."""
    venv = cache / project.name
    mark = venv / "installed"
    wanted = "\n".join((*project.requirements, *more))
    if not mark.exists() or mark.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--prefer-binary", *project.requirements, *more], check=True)
        mark.write_text(wanted)
    return venv


@dataclass
class RealSite:
    """A release of a project on a database."""

    release: Path
    venv: Path
    cluster: Cluster
    database: str

    @classmethod
    def make(cls, directory: Path, project: Project, venv: Path, cluster: Cluster, extra: str = "") -> RealSite:
        database = cluster.create()
        site = cls(directory / database / "releases" / "0123456789ab-01234567", venv, cluster, database)
        source = site.release / "src"
        source.mkdir(parents=True)
        (source / "site_settings.py").write_text(project.settings + DATABASES + extra)
        (source / "manage.py").write_text(MANAGE)
        (site.release / "venv").symlink_to(venv)
        write_environment(str(site.release / "env"), site.variables)
        return site

    @property
    def variables(self) -> dict[str, str]:
        return {
            "DATABASE_NAME": self.database,
            "DATABASE_PASSWORD": PASSWORD,
            "DATABASE_HOST": str(self.cluster.directory),
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "DATA_DIR": str(self.release.parent),
        }

    def manage(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` as anybody would."""
        return subprocess.run(
            [str(self.venv / "bin" / "python"), "manage.py", *argv],
            cwd=self.release / "src",
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=check,
        )

    def options(self, state: str, **more: Any) -> dict[str, Any]:
        return {"state": state, "release_path": str(self.release), **more}

    def versions(self) -> str:
        program = "import importlib.metadata as m, sys; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
        python = str(self.venv / "bin" / "python")
        return subprocess.check_output([python, "-c", program, "Django", "psycopg"], text=True).strip()
