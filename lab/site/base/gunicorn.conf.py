# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web service, as gunicorn reads it when started in the release's directory."""

import os
from pathlib import Path

wsgi_app = "config.wsgi:application"
bind = f"0.0.0.0:{os.environ['SLIPWAY_PORT']}"

worker_class = "gthread"
workers = 2
threads = 8
# A bad release must fail in the worker's boot, where gunicorn gives up and says so, and not in the master.
preload_app = False

# Longer than any balancer keeps an idle connection: it closes first, and no request meets a closed one.
keepalive = 75
# Longer than the slowest request (5 s): what is under way at SIGTERM is answered.
graceful_timeout = 30
timeout = 60

errorlog = "-"
accesslog = None
# Two slots of one user would share its default path.
control_socket_disable = True
if Path("/dev/shm").is_dir():
    worker_tmp_dir = "/dev/shm"

# Sixteen threads with a connection of their own, on three hosts with two slots, would take all of
# PostgreSQL's 100 connections: the threads of a process share a few. Set here, so that workers and
# management commands keep plain connections.
os.environ.setdefault("SHOP_DATABASE_POOL", "3")
