# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP: one request, or the steps of a login."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import Limits, read_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import judge as judge_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._expectation import Expectation, judge, value_at
from ansible_collections.slipway.django.plugins.module_utils._gate._http import Answer, Request, ask
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, Session, State
from ansible_collections.slipway.django.plugins.module_utils._gate._network import tls_context
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import (
    filled,
    host,
    needed,
    number,
    pattern,
    url,
    whole,
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_IN_DISPOSITION = re.compile(r"[A-Za-z0-9._+ -]+")
_PORTS = {"http": 80, "https": 443}
_AGENT = "slipway-health-gate"
_REDIRECTS = (301, 302, 303, 307, 308)
_READING = ("GET", "HEAD", "OPTIONS")
# As Django names its cookie, and the header that it takes instead of a field of the form.
_CSRF_COOKIE, _CSRF_HEADER = "csrftoken", "X-CSRFToken"


@dataclass(frozen=True)
class HttpCheck:
    """One check by HTTP requests.

    :param token: where in the JSON of the answer the token stands that the checks after this one show.
    :param within: so many requests are sent, until one has the wanted answer.
    """

    common: Common
    url: str
    host: str
    request: Request
    expectation: Expectation
    limits: Limits
    tls_verified: bool | None
    value_of: str | None = None
    token: str | None = None
    token_scheme: str = "Bearer"
    csrf: bool = False
    within: int = 1

    instrument = False

    @property
    def reads_only(self) -> bool:
        """True when it asks for nothing to be changed."""
        return self.request.method in _READING

    def where(self) -> str:
        return self.url if self.host in self.url else f"{self.url} with Host {self.host}"

    def expected(self) -> str:
        parts = [self.expectation.describe()]
        if self.value_of:
            parts.append(f"{self.value_of} {self.limits.describe()}")
        if self.within > 1:
            parts.append(f"within {self.within} requests")
        return ", ".join(parts)

    def facts(self) -> dict[str, object]:
        return {"url": self.url, "host": self.host, "tls_verified": self.tls_verified}

    def look(self, watch: Watch) -> Sample:
        request = self._with_session(watch.moment.session)
        for _turn in range(self.within):
            answer = ask(request, watch)
            sample = judge(answer, self.expectation)
            if sample.state is State.GOOD:
                break
        if sample.state is not State.GOOD:
            return sample
        if self.value_of:
            sample = self._judge_value(answer, sample, watch)
        return replace(sample, session=self._session(answer, watch.moment.session))

    def _judge_value(self, answer: Answer, sample: Sample, watch: Watch) -> Sample:
        value = _json_value(answer, self.value_of or "")
        judged = judge_limits(value, self.limits, watch, self.value_of or "")
        return replace(judged, status=sample.status, release=sample.release, elapsed_s=sample.elapsed_s)

    def _with_session(self, session: Session) -> Request:
        headers = list(self.request.headers)
        if session.authorization is not None:
            headers.append(("Authorization", session.authorization))
        if session.cookies:
            headers.append(("Cookie", "; ".join(f"{name}={value}" for name, value in session.cookies.items())))
        if self.csrf:
            if _CSRF_COOKIE not in session.cookies:
                raise NotUnderstood("no_csrf", f"the check before it got no cookie {_CSRF_COOKIE}")
            headers += [(_CSRF_HEADER, session.cookies[_CSRF_COOKIE]), ("Referer", self._own_address())]
        return replace(self.request, headers=tuple(headers))

    def _own_address(self) -> str:
        return f"{urlsplit(self.url).scheme}://{self.host}{urlsplit(self.url).path or '/'}"

    def _session(self, answer: Answer, before: Session) -> Session:
        cookies = dict(before.cookies)
        for line in answer.all_of("Set-Cookie"):
            _merge_cookies(cookies, line)
        if self.token is None:
            return Session(cookies, before.authorization)
        token = _json_value(answer, self.token)
        if not isinstance(token, str) or _NOT_IN_VALUE.search(token):
            raise NotUnderstood("no_token", f"{self.token} of the answer is no token")
        return Session(cookies, f"{self.token_scheme} {token}")


def _json_value(answer: Answer, path: str) -> Any:
    try:
        value = value_at(json.loads(answer.body), path)
    except ValueError as error:
        raise NotUnderstood("not_json", "the body is not JSON") from error
    except KeyError as error:
        raise NotUnderstood("json", f"the JSON has no {path}") from error
    if isinstance(value, (list, dict)):
        # Of a list its length is judged: no open issues, so many workers.
        return len(value)
    return value if isinstance(value, (str, float, int)) else str(value)


def _merge_cookies(cookies: dict[str, str], line: str) -> None:
    try:
        parsed = SimpleCookie(line)
    except CookieError:
        return
    for name, morsel in parsed.items():
        # The form that it is to be sent back in.
        cookies[name] = morsel.coded_value


def read_http(common: Common, params: Mapping[str, Any]) -> HttpCheck:
    """Read the options of a check of kind C(http)."""
    path = common.path
    address = url(f"{path}.url", needed(path, params, "url"), _PORTS)
    name = host(f"{path}.host", params["host"]) or address.netloc
    tls = None
    if address.scheme == "https":
        tls = tls_context(f"{path}.ca_path", params["ca_path"], verify=params["validate_certs"])
    body, content_type = _read_body(path, params)
    request = Request(
        method=params["method"],
        hostname=address.hostname or "",
        port=address.port or _PORTS[address.scheme],
        target=_target(address.path, address.query, params["secret_query"]),
        headers=(*standard_headers(name), *content_type, *read_headers(path, params)),
        body=body,
        tls=tls,
        server_hostname=(urlsplit(f"//{name}").hostname if tls else None),
    )
    check = HttpCheck(
        common=common,
        url=params["url"],
        host=name,
        request=request,
        expectation=_read_expectation(common, params),
        limits=read_limits(common, params),
        tls_verified=params["validate_certs"] if tls else None,
        value_of=filled(f"{path}.value_of", params["value_of"]),
        token=filled(f"{path}.token", params["token"]),
        token_scheme=params["token_scheme"],
        csrf=params["csrf"],
        within=whole(f"{path}.within", params["within"], least=1),
    )
    _refuse_half_said(check, params)
    return check


def _refuse_half_said(check: HttpCheck, params: Mapping[str, Any]) -> None:
    path = check.common.path
    if (check.value_of is not None) != check.limits.asked:
        raise InvalidOption(f"{path}.value_of", check.value_of, "value_of together with equals, min, max or thresholds")
    if check.csrf and check.common.after is None:
        raise InvalidOption(f"{path}.csrf", True, "a check with the option after, which names who fetches the cookie")
    if params["method"] == "HEAD" and (params["json"] or params["text"] is not None):
        raise InvalidOption(f"{path}.method", "HEAD", "GET, since json or text look at the body")


def standard_headers(name: str) -> tuple[tuple[str, str], ...]:
    """What each request says."""
    return (("Host", name), ("User-Agent", _AGENT), ("Accept-Encoding", "identity"), ("Connection", "close"))


def _target(path: str, query: str, secret: Mapping[str, Any]) -> str:
    parts = [part for part in (query, urlencode(secret)) if part]
    return (path or "/") + (f"?{'&'.join(parts)}" if parts else "")


def _read_body(path: str, params: Mapping[str, Any]) -> tuple[bytes | None, tuple[tuple[str, str], ...]]:
    upload = params["upload"]
    if params["body"] is None and not params["secret_body"] and upload is None:
        # A body of no length is announced, or some servers wait for one.
        return (None, ()) if params["method"] in _READING else (b"", (("Content-Length", "0"),))
    if params["method"] in _READING:
        raise InvalidOption(f"{path}.method", params["method"], "POST, PUT, PATCH or DELETE with a body")
    both = {**(params["body"] or {}), **params["secret_body"]}
    if upload is not None:
        for name in both:
            _refuse_strange_name(f"{path}.body", name)
        kind, data = _multipart(both, upload["field"], upload["filename"], _upload(f"{path}.upload", upload))
    elif params["body_format"] == "form":
        kind, data = "application/x-www-form-urlencoded", urlencode(both).encode()
    else:
        kind, data = "application/json", json.dumps(both).encode()
    return data, (("Content-Type", kind), ("Content-Length", str(len(data))))


def _upload(path: str, upload: Mapping[str, Any]) -> bytes:
    for option in ("field", "filename"):
        _refuse_strange_name(f"{path}.{option}", upload[option])
    if upload["path"] is None:
        return (upload["text"] or f"{_AGENT}\n").encode()
    if upload["text"] is not None:
        raise InvalidOption(f"{path}.path", upload["path"], "either text or path")
    try:
        with open(upload["path"], "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidOption(f"{path}.path", upload["path"], f"a file that can be read ({error.strerror})") from error


def _refuse_strange_name(option: str, name: str) -> None:
    if not _IN_DISPOSITION.fullmatch(name):
        raise InvalidOption(option, name, "letters, digits, blanks and . _ + - beside an upload")


def _multipart(fields: Mapping[str, Any], field: str, filename: str, content: bytes) -> tuple[str, bytes]:
    # RFC 7578. The boundary must not occur in a part: chance makes that as good as sure.
    boundary = f"{_AGENT}-{uuid.uuid4().hex}"
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    parts += [f'{head}"{field}"; filename="{filename}"\r\n'.encode()]
    parts += [b"Content-Type: application/octet-stream\r\n\r\n", content, b"\r\n"]
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])


def read_headers(path: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Read the headers to send, secret ones and others."""
    headers: dict[str, tuple[str, str]] = {}
    for option in ("headers", "secret_headers"):
        for name, value in params[option].items():
            where = f"{path}.{option}"
            if not _TOKEN.fullmatch(name):
                raise InvalidOption(where, name, "a header's name")
            if name.lower() == "host":
                raise InvalidOption(where, name, "no Host: it is given by the option host")
            if name.lower() in headers:
                raise InvalidOption(where, name, "each header once")
            if _NOT_IN_VALUE.search(str(value)) or not _latin(str(value)):
                raise InvalidOption(where, name, "a header whose value is one line of Latin-1 characters")
            headers[name.lower()] = (name, str(value))
    return list(headers.values())


def _latin(text: str) -> bool:
    return all(ord(letter) < 256 for letter in text)


def _read_status(path: str, params: Mapping[str, Any]) -> tuple[int, ...]:
    if params["status"] is None:
        return _REDIRECTS if params["redirect"] is not None else (200,)
    for code in params["status"]:
        if not 100 <= code <= 599:
            raise InvalidOption(f"{path}.status", code, "numbers from 100 to 599")
    if not params["status"]:
        raise InvalidOption(f"{path}.status", [], "at least one status")
    return tuple(params["status"])


def _read_expectation(common: Common, params: Mapping[str, Any]) -> Expectation:
    path, limit, redirect = common.path, params["max_latency"], params["redirect"]
    for name in (params["release_header"], *params["response_headers"], *params["absent_headers"]):
        if not _TOKEN.fullmatch(name):
            option = "release_header" if name == params["release_header"] else "response_headers"
            raise InvalidOption(f"{path}.{option}", name, "a header's name")
    wanted = {
        name: pattern(f"{path}.response_headers.{name}", str(value))
        for name, value in params["response_headers"].items()
    }
    return Expectation(
        status=_read_status(path, params),
        release=filled(f"{path}.release", params["release"]),
        release_header=params["release_header"],
        json=dict(params["json"]),
        text=filled(f"{path}.text", params["text"]),
        response_headers=wanted,
        absent_headers=tuple(params["absent_headers"]),
        redirect=None if redirect is None else pattern(f"{path}.redirect", redirect),
        max_latency_s=None if limit is None else number(f"{path}.max_latency", limit, least=0.001),
        action=common.action,
    )
