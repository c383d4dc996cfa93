# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a check, for Ansible; the module documents each. All kinds share one list, each has its own part."""

from __future__ import annotations

from typing import Any, Final

Spec = dict[str, dict[str, Any]]

_THRESHOLD: Final[Spec] = {
    "from": {"type": "raw", "default": 0},
    "above": {"type": "float"},
    "below": {"type": "float"},
    "times_baseline": {"type": "float"},
    "below_baseline": {"type": "float"},
    "action": {"type": "str", "choices": ["rollback", "hold", "notify"], "default": "rollback"},
}
COMMON: Final[Spec] = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "default": "http"},
    "timeout": {"type": "float", "default": 5},
    "action": {"type": "str", "choices": ["rollback", "hold", "notify"], "default": "rollback"},
    "successes": {"type": "int"},
    "failures_allowed": {"type": "int"},
    "after": {"type": "str"},
}
_LIMITS: Final[Spec] = {
    "equals": {"type": "raw"},
    "min": {"type": "float"},
    "max": {"type": "float"},
    "thresholds": {"type": "list", "elements": "dict", "options": _THRESHOLD, "default": []},
    "baseline": {"type": "dict"},
}
_TLS: Final[Spec] = {
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
}
_HEADERS: Final[Spec] = {
    "headers": {"type": "dict", "default": {}},
    "secret_headers": {"type": "dict", "default": {}, "no_log": True},
}
_URL: Final[Spec] = {"url": {"type": "str"}, "host": {"type": "str"}, **_HEADERS, **_TLS}
_PLACE: Final[Spec] = {"address": {"type": "str"}, "port": {"type": "int"}}
_DATABASE: Final[Spec] = {
    **_PLACE,
    "user": {"type": "str"},
    "passfile": {"type": "path", "no_log": False},
    "database": {"type": "str"},
}
_PROGRAM: Final[Spec] = {
    "command": {"type": "list", "elements": "str"},
    "directory": {"type": "path"},
    "environment_file": {"type": "path"},
}
_UPLOAD: Final[Spec] = {
    "field": {"type": "str", "required": True},
    "filename": {"type": "str", "default": "slipway.txt"},
    "text": {"type": "str"},
    "path": {"type": "path"},
}
_HTTP: Final[Spec] = {
    **_URL,
    **_LIMITS,
    "method": {
        "type": "str",
        "choices": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
        "default": "GET",
    },
    "status": {"type": "list", "elements": "int"},
    "release": {"type": "str"},
    "release_header": {"type": "str", "default": "X-Release"},
    "json": {"type": "dict", "default": {}},
    "text": {"type": "str"},
    "response_headers": {"type": "dict", "default": {}},
    "absent_headers": {"type": "list", "elements": "str", "default": []},
    "redirect": {"type": "str"},
    "max_latency": {"type": "float"},
    "within": {"type": "int", "default": 1},
    "secret_query": {"type": "dict", "default": {}, "no_log": True},
    "body": {"type": "dict"},
    "secret_body": {"type": "dict", "default": {}, "no_log": True},
    "body_format": {"type": "str", "choices": ["json", "form"], "default": "json"},
    "upload": {"type": "dict", "options": _UPLOAD},
    "csrf": {"type": "bool", "default": False},
    # Where the token stands, not what it is.
    "token": {"type": "str", "no_log": False},
    "token_scheme": {"type": "str", "default": "Bearer", "no_log": False},
    "value_of": {"type": "str"},
}
KINDS: Final[dict[str, Spec]] = {
    "http": _HTTP,
    "tcp": _PLACE,
    "tls": {**_PLACE, **_TLS, "host": {"type": "str"}, "min_days": {"type": "float", "default": 14}},
    "websocket": {**_URL, "send": {"type": "str"}, "text": {"type": "str"}, "max_latency": {"type": "float"}},
    "postgres": {
        **_DATABASE,
        "max_replication_lag": {"type": "float"},
        "min_replicas": {"type": "int"},
        "max_lock_wait": {"type": "float"},
        "max_query_age": {"type": "float"},
        "max_invalid_indexes": {"type": "int"},
        "max_connection_use": {"type": "float"},
    },
    "sql": {**_DATABASE, **_LIMITS, "query": {"type": "str"}, "uses_index": {"type": "str"}},
    "statements": {
        **_DATABASE,
        "thresholds": _LIMITS["thresholds"],
        "baseline": _LIMITS["baseline"],
        "of_database": {"type": "str"},
        "min_calls": {"type": "int", "default": 100},
        "min_ms": {"type": "float", "default": 1},
        "remembered": {"type": "int", "default": 50},
    },
    "redis": {
        **_PLACE,
        **_LIMITS,
        **_TLS,
        "user": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "tls": {"type": "bool", "default": False},
        "command": {"type": "list", "elements": "str"},
    },
    "celery": {
        **_PROGRAM,
        "app": {"type": "str"},
        "min_workers": {"type": "int", "default": 1},
        "workers": {"type": "list", "elements": "str", "default": []},
        "tasks": {"type": "list", "elements": "str", "default": []},
        "queues": {"type": "list", "elements": "str", "default": []},
        "max_queue_length": {"type": "int"},
    },
    "prometheus": {
        **_URL,
        **_LIMITS,
        "query": {"type": "str"},
        "bad": {"type": "str"},
        "total": {"type": "str"},
        "window": {"type": "raw", "default": "5m"},
        "min_total": {"type": "int", "default": 1},
        "confidence": {"type": "float", "default": 0.95},
    },
    "command": {
        **_PROGRAM,
        **_LIMITS,
        "return_codes": {"type": "list", "elements": "int", "default": [0]},
        "text": {"type": "str"},
    },
    "file": {
        "path": {"type": "path"},
        "min_free_percent": {"type": "float"},
        "min_free_mib": {"type": "int"},
        "max_age": {"type": "raw"},
        "max_entries": {"type": "int"},
        "matching": {"type": "str"},
    },
    "service": {
        "units": {"type": "list", "elements": "str", "default": []},
        "running": {"type": "int"},
        "max_restarts": {"type": "int"},
    },
    "journal": {
        **_LIMITS,
        "units": {"type": "list", "elements": "str", "default": []},
        "pattern": {"type": "str"},
        "window": {"type": "raw", "default": "5m"},
    },
}


def check_spec() -> Spec:
    """All options that a check may have."""
    merged: Spec = {**COMMON, "kind": {**COMMON["kind"], "choices": list(KINDS)}}
    for options in KINDS.values():
        merged.update(options)
    return merged
