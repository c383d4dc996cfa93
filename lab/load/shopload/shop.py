# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the shop, and what a right answer is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from .response import Response

Check = Callable[[Response], "str | None"]
STATIC_NAME = re.compile(rb'(?:href|src)="(/static/[^"]+)"')
RELEASE_MARK = re.compile(rb'<meta name="release" content="([^"]*)">')
MAX_STATIC_NAMES = 500
UPLOAD_BYTES = 256 * 1024
UPLOAD_PIECES = 8
UPLOAD_PAUSE = 0.1
SLOW_SECONDS = 5


@dataclass(frozen=True)
class Request:
    """One request. ``check`` names what is wrong with an answer of the wanted status, or returns None.

    A body of several ``pieces`` is sent slowly, with a pause behind each.
    """

    method: str
    target: str
    wanted: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: int = 1
    check: Check = lambda _response: None

    def head(self, host: str, *, close: bool) -> bytes:
        """Return the request's first lines."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {host}", "User-Agent: shopload"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body or self.method == "POST":
            lines.append(f"Content-Length: {len(self.body)}")
        if close:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


# --- pages ----------------------------------------------------------------------------------------------------------


def page(target: str, cookie: str = "", text: bytes = b"") -> Request:
    """A page that must be whole, of one release, and hold ``text``."""
    headers = {"Accept": "text/html"} | ({"Cookie": cookie} if cookie else {})
    return Request("GET", target, headers=headers, check=lambda response: check_page(response, text))


def check_page(response: Response, text: bytes = b"") -> str | None:
    """Look for the page's end, and for a release that is the header's."""
    if not response.body.rstrip().endswith(b"</html>"):
        return "the page has no end"
    mark = RELEASE_MARK.search(response.body)
    if mark is None or mark.group(1).decode("latin-1") != response.headers.get("x-release"):
        return "the page and its header tell different releases"
    return None if text in response.body else f"the page does not hold {text.decode('latin-1')}"


def slow() -> Request:
    """A request that takes its time."""
    wanted = f"slept {SLOW_SECONDS} s\n".encode()
    return Request("GET", f"/slow/?seconds={SLOW_SECONDS}", check=lambda r: None if r.body == wanted else "other text")


# --- static files ---------------------------------------------------------------------------------------------------


class StaticNames:
    """Names of static files seen in pages. A hashed name, once seen, must be served for ever, always the same."""

    def __init__(self) -> None:
        self.release_of: dict[str, str] = {}
        self._names: list[str] = []
        self._digests: dict[str, str] = {}
        self._turn = 0

    def learn(self, response: Response) -> None:
        """Take the names from a page, with the release that first named them."""
        for match in STATIC_NAME.finditer(response.body):
            name = match.group(1).decode("latin-1")
            if name not in self.release_of and len(self._names) < MAX_STATIC_NAMES:
                self.release_of[name] = response.headers.get("x-release", "")
                self._names.append(name)

    def pick(self) -> str | None:
        """Return the names one after another, the old ones too; None when no page was seen yet."""
        if not self._names:
            return None
        self._turn += 1
        return self._names[self._turn % len(self._names)]

    def request(self, name: str) -> Request:
        """Ask for a file; its content must be that of the first time."""
        return Request("GET", name, check=lambda response: self._check(name, response))

    def _check(self, name: str, response: Response) -> str | None:
        digest = hashlib.sha256(response.body).hexdigest()
        return None if self._digests.setdefault(name, digest) == digest else "the content is not that of before"


# --- orders, uploads ------------------------------------------------------------------------------------------------


def order(reference: str, number: int, token: str) -> Request:
    """Place an order."""
    document = {
        "reference": reference,
        "email": f"load{number % 200}@load.example",
        "item": "Anchor",
        "quantity": 1 + number % 9,
        "amount_cents": 100 + number % 100_000,
    }
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return Request(
        "POST",
        "/api/orders",
        wanted=201,
        headers=headers,
        body=json.dumps(document).encode(),
        check=lambda response: expect_json(response, {"reference": reference}),
    )


def upload(number: int, token: str) -> Request:
    """Send a body slowly; the answer must bear its digest."""
    block = hashlib.sha256(f"upload {number}".encode()).digest()
    body = block * (UPLOAD_BYTES // len(block))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    wanted = {"sha256": hashlib.sha256(body).hexdigest(), "length": len(body)}
    return Request(
        "POST",
        "/api/upload",
        headers=headers,
        body=body,
        pieces=UPLOAD_PIECES,
        check=lambda response: expect_json(response, wanted),
    )


def expect_json(response: Response, wanted: Mapping[str, object]) -> str | None:
    """Compare some fields of a JSON answer."""
    try:
        document = json.loads(response.body)
    except ValueError:
        return "not JSON"
    if not isinstance(document, dict):
        return "not a JSON object"
    wrong = sorted(name for name, value in wanted.items() if document.get(name) != value)
    return f"other {', '.join(wrong)} than was sent" if wrong else None


# --- login ----------------------------------------------------------------------------------------------------------


def cookie(response: Response, name: str) -> str | None:
    """Return the value of a cookie that an answer sets."""
    for line in response.cookies:
        key, _, rest = line.partition("=")
        if key.strip() == name:
            return rest.partition(";")[0].strip()
    return None


def login(csrf: str, username: str, password: str) -> Request:
    """Send the login form; a right answer redirects and brings a session."""
    fields = {"csrfmiddlewaretoken": csrf, "username": username, "password": password}
    return Request(
        "POST",
        "/login/",
        wanted=302,
        # Behind TLS Django compares the referring page with the host; without TLS it does not look.
        headers={"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"csrftoken={csrf}"},
        body=urlencode(fields).encode(),
        check=lambda response: None if cookie(response, "sessionid") else "no session",
    )
