# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(release.json): written last, so its presence says that the release is whole. It holds no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import read_json, write_json


@dataclass(frozen=True)
class Manifest:
    """What is known about a complete release."""

    name: str
    commit: str
    version: str
    repository: str
    built_at: str
    built_by: str
    installer: str
    environment_digest: str
    seconds: Mapping[str, float]


def timestamp(moment: datetime) -> str:
    """A time as it stands in C(built_at): UTC, to the second, in an order that is also that of the text."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def write_manifest(path: str, manifest: Manifest) -> None:
    """Declare a release whole."""
    write_json(path, asdict(manifest))


def read_manifest(path: str) -> Manifest | None:
    """Return what a release says about itself; None when it is not whole.

    :raises SlipwayError: there is something else in the file.
    """
    document = read_json(path)
    if document is None:
        return None
    try:
        return _manifest(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SlipwayError(
            f"{path} is not the record of a release: {type(error).__name__} at {error}",
            untouched="It was left as it is",
            remedy="If nothing runs from this release, remove its directory and stage it anew",
            facts={"path": path},
        ) from error


def _manifest(document: Any) -> Manifest:
    texts = {name: str(document[name]) for name in Manifest.__annotations__ if name != "seconds"}
    seconds = {str(step): float(value) for step, value in document["seconds"].items()}
    return Manifest(**texts, seconds=seconds)
