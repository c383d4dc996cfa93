# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site has around it, on this machine: exporters, an error tracker, a payment service, a careless web server.

Real Prometheus measures the exporters. All of it is well until it is told to be ill.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Requests that /limited answers before it says 429.
_LIMIT = 5
# What is measured: well, ill. Of the first ones so many more each second.
_COUNTERS = {
    'django_http_responses_total_by_status_total{status="200"}': (50.0, 8.0),
    'django_http_responses_total_by_status_total{status="500"}': (0.05, 2.0),
    "django_http_requests_latency_including_middlewares_seconds_count": (50.0, 10.0),
    'django_http_requests_latency_including_middlewares_seconds_bucket{le="2.5"}': (50.0, 5.0),
    "django_cache_get_total": (100.0, 100.0),
    "django_cache_get_misses_total": (5.0, 80.0),
}
_GAUGES = {
    'haproxy_backend_current_sessions{proxy="shop_asgi"}': (40.0, 2.0),
    'celery_queue_length{queue="shop"}': (3.0, 5000.0),
    "node_memory_MemAvailable_bytes": (4e9, 1e8),
    "node_memory_MemTotal_bytes": (8e9, 8e9),
    'node_filesystem_avail_bytes{mountpoint="/"}': (6e10, 1e9),
    'node_filesystem_size_bytes{mountpoint="/"}': (1e11, 1e11),
    "site_is_ill": (0.0, 1.0),
}
ALERT = {"alert": "SiteIsIll", "expr": "site_is_ill > 0"}


class Outside(ThreadingHTTPServer):
    """Answers on a free port of one address of this machine."""

    daemon_threads = True

    def __init__(self, address: str, tls: ssl.SSLContext | None = None) -> None:
        super().__init__((address, 0), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.ill = False
        self._lock = threading.Lock()
        self._counted = dict.fromkeys(_COUNTERS, 0.0)
        self._asked_at = time.monotonic()
        self._limited = 0

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.server_address[0]!s}:{self.server_address[1]}"

    def metrics(self) -> str:
        """What an exporter says."""
        with self._lock:
            passed = time.monotonic() - self._asked_at
            self._asked_at += passed
            for name, rates in _COUNTERS.items():
                self._counted[name] += rates[self.ill] * passed
            counted = dict(self._counted)
        measured = {name: values[self.ill] for name, values in _GAUGES.items()}
        return "".join(f"{name} {value}\n" for name, value in {**counted, **measured}.items())

    def limited(self) -> int:
        """The status of the next request to a path that is limited. Who is ill has no limit."""
        with self._lock:
            self._limited += 1
            return 429 if not self.ill and self._limited > _LIMIT else 200

    def handle_error(self, request: object, client_address: object) -> None:
        """A prober that went away, or that did not like the certificate."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        outside = self.server
        assert isinstance(outside, Outside)
        path = urlsplit(self.path).path
        if path == "/metrics":
            self._answer(200, outside.metrics())
        elif path == "/tracker":
            self._answer(200, json.dumps([{"id": 1}, {"id": 2}] if outside.ill else []))
        elif path == "/pay":
            self._answer(200, json.dumps({"status": "down" if outside.ill else "ok"}))
        elif path == "/limited":
            self._answer(outside.limited(), "")
        elif path == "/http" and not outside.ill:
            self._answer(301, "", Location="https://shop.example.com/")
        elif outside.ill:
            # As a server answers that nobody has hardened.
            self._answer(200, "hello", **{"Access-Control-Allow-Origin": "*", "X-Powered-By": "somebody"})
        else:
            self._answer(404, "")

    def _answer(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def outside_world(address: str, tls: ssl.SSLContext | None = None) -> Iterator[Outside]:
    """Run one, until the block ends."""
    server = Outside(address, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
