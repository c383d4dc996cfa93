# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: all that differs between places comes from the environment (README.md lists it)."""

import os
import socket
from pathlib import Path

from .environment import database, number, required, switch

BASE_DIR = Path(__file__).resolve().parent.parent
DEBUG = False

# --- who we are: handed to us by the deployment ---------------------------------------------------------------------

RELEASE = os.environ.get("SLIPWAY_RELEASE") or "unknown"
SLOT = os.environ.get("SLIPWAY_SLOT") or "none"
HOSTNAME = socket.gethostname()

# --- secrets and places ---------------------------------------------------------------------------------------------

SECRET_KEY = required("SECRET_KEY")
API_TOKEN = required("API_TOKEN")
ALLOWED_HOSTS = [host.strip() for host in required("ALLOWED_HOSTS").split(",") if host.strip()]
DATABASES = {"default": database("DATABASE_URL", pool=int(number("SHOP_DATABASE_POOL", 0)))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- security -------------------------------------------------------------------------------------------------------

# The balancer ends TLS and says so in this header; it must set it itself, whatever the client sent.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Health checks come straight to the port, by plain HTTP, and want an answer.
SECURE_REDIRECT_EXEMPT = [r"^health/"]
# For a place without TLS, such as a lab. The checks that this switch must fail are then not asked.
PLAIN_HTTP = switch("SHOP_PLAIN_HTTP")
SECURE_SSL_REDIRECT = not PLAIN_HTTP
SESSION_COOKIE_SECURE = not PLAIN_HTTP
CSRF_COOKIE_SECURE = not PLAIN_HTTP
SECURE_HSTS_SECONDS = 0 if PLAIN_HTTP else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008", "security.W012", "security.W016"] if PLAIN_HTTP else []

# A login is to cost a lab little processor time. Passwords hashed so are worth nothing elsewhere.
PASSWORD_HASHERS = (
    ["shop.hashers.CheapPasswordHasher"]
    if switch("SHOP_CHEAP_PASSWORDS")
    else ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
)

# --- application ----------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "shop",
]
MIDDLEWARE = [
    "shop.middleware.release_headers",  # first: also what the others answer bears the release
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "shop.middleware.release_context",
            ]
        },
    }
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/account/"
USE_I18N = False
TIME_ZONE = "UTC"

# --- files ----------------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = os.environ.get("SLIPWAY_STATIC_ROOT") or str(BASE_DIR / "static")
MEDIA_ROOT = os.environ.get("SLIPWAY_MEDIA_ROOT") or ""
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

# --- Celery ---------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = required("REDIS_URL")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,  # a task stranded by a killed worker comes back after ten minutes, not an hour
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
}
# A request is not to wait long for a broker that is away: the order is already in the database.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.2}
CELERY_TASK_DEFAULT_QUEUE = "shop"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
TASK_SECONDS = number("SHOP_TASK_SECONDS", 0)
CELERY_BEAT_SCHEDULE = {
    "heartbeat": {
        "task": "shop.heartbeat",
        "schedule": number("SHOP_HEARTBEAT_SECONDS", 10),
        "kwargs": {"beat_host": HOSTNAME, "beat_release": RELEASE},
    }
}

# --- log ------------------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": f"%(levelname)s %(name)s [{RELEASE}] %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"django": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
}
