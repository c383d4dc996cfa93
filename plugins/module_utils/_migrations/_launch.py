# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the runner in a release: its Python, its environment, and an answer without secrets."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import (
    InvalidOption,
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import Request, read_answer
from ansible_collections.slipway.django.plugins.module_utils._process import Completed, Runner
from ansible_collections.slipway.django.plugins.module_utils._release._environment import handed_over, read_environment
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout, ReleasePaths
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import Redaction

_SETTINGS = re.compile(r"""setdefault\(\s*["']DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")
# Names of variables whose values are secrets however short they are.
_SECRET_NAME = re.compile(
    r"PASS|PWD|SECRET|TOKEN|KEY|CREDENTIAL|AUTH|DSN|UR[IL]|SALT|PRIVATE|COOKIE|SIGN", re.IGNORECASE
)
# A value of this length in a plan is no name of a table by chance. Where things are is no secret, and needed to mend.
_LONG = 12
_PLACE_NAME = re.compile(r"(HOSTS?|NAME|USER|PORT|ROOT|DIR|PATH|MODULE)$", re.IGNORECASE)
_STDERR = 4000
_AFTERWARDS = (
    "What was atomic is rolled back by the server. Run again: it continues with what is not applied, and refuses with"
    " an exact account what stands half done"
)


@dataclass(frozen=True)
class Site:
    """A release that is on this host, and how its Django is started."""

    paths: ReleasePaths
    project: str
    settings: str
    environment: Mapping[str, str]


def find_site(release_path: str, project_directory: str, settings: str) -> Site:
    """Return the release with its environment.

    :param project_directory: where manage.py lies, seen from the release's ``src``.
    :param settings: the settings module; empty: as the environment file or manage.py says.
    :raises SlipwayError: something is not there that is needed to start it.
    """
    if not os.path.isabs(release_path):
        raise InvalidOption("release_path", release_path, "an absolute path such as /srv/shop/releases/…")
    paths = ReleasePaths(os.path.normpath(release_path))
    project = os.path.normpath(os.path.join(paths.src, project_directory))
    missing = [path for path in (paths.python, paths.environment, project) if not os.path.exists(path)]
    if missing:
        raise Refused(
            f"{release_path} is no release that can be started: {', '.join(missing)} not there",
            untouched="Nothing was changed",
            remedy="Stage the release on this host first",
            facts={"missing": missing},
        )
    environment = read_environment(paths.environment)
    module = settings or environment.get("DJANGO_SETTINGS_MODULE", "") or _default_settings(project)
    if not module:
        raise Refused(
            f"nothing says which settings module the release has: not the option settings, not the environment file,"
            f" not {project}/manage.py",
            untouched="Nothing was changed",
            remedy="Give the option settings, such as shop.settings",
        )
    return Site(paths, project, module, environment)


def with_variables(site: Site, variables: Mapping[str, object]) -> Site:
    """Return the site with more environment variables; like its own they are kept out of all texts."""
    return replace(site, environment={**site.environment, **{name: str(value) for name, value in variables.items()}})


def _default_settings(project: str) -> str:
    try:
        with open(os.path.join(project, "manage.py"), encoding="utf-8") as stream:
            found = _SETTINGS.search(stream.read())
    except FileNotFoundError:
        return ""
    return found[1] if found else ""


def process_environment(site: Site) -> dict[str, str]:
    """Return what the runner's process gets beside what this one has. Secrets go this way alone."""
    paths = site.paths
    layout = Layout(os.path.dirname(os.path.dirname(paths.path)))
    return {
        "PYTHONPATH": "",  # Ansible's own modules are none of the site's business
        **site.environment,
        **handed_over(layout, paths),
        "PATH": f"{paths.bin}:{site.environment.get('PATH') or os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": paths.venv,
        "PYTHONDONTWRITEBYTECODE": "1",  # a release is not changed once it is built
    }


@dataclass(frozen=True)
class Means:
    """How the runner is run.

    :param archive: the runner, see ``_bundle``.
    :param directory: private to this user; holds the archive while it runs.
    """

    archive: bytes
    directory: str
    runner: Runner
    timeout_s: float


def ask(site: Site, request: Request, means: Means) -> dict[str, Any]:
    """Run the runner and return its result.

    :raises SlipwayError: a refusal or a failure, its text without the values of the environment file.
    """
    secrets = Redaction(_secrets(site.environment))
    # Raised after the except block: no text of a cause may be shown beside the one that was cleaned.
    try:
        return {key: _clean(value, secrets) for key, value in _answer(site, request, means).items()}
    except SlipwayError as error:
        failure = _cleaned_error(error, secrets)
    raise failure


def _answer(site: Site, request: Request, means: Means) -> dict[str, Any]:
    redact = Redaction(site.environment)
    with _file(means.archive, means.directory) as path:
        try:
            done = means.runner.run(
                [site.paths.python, path],
                timeout_s=means.timeout_s,
                stdin=request.to_json(),
                env=process_environment(site),
                cwd=site.project,
            )
        except TimedOut as error:
            stderr = _tail(str(error.facts.get("stderr", "")), redact)
            raise TimedOut(
                f"the migrations did not end within {means.timeout_s:g} s (timeout) and were stopped",
                remedy=_AFTERWARDS,
                facts={"timeout_s": means.timeout_s, "stderr": stderr},
            ) from None
    stderr = _tail(done.stderr, redact)
    try:
        return read_answer(done.stdout)
    except SlipwayError as error:
        error.facts["stderr"] = stderr
        raise
    except ValueError:
        raise _no_answer(done, stderr) from None


def _no_answer(done: Completed, stderr: str) -> SlipwayError:
    ended = (
        f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with status {done.returncode}"
    )
    return SlipwayError(
        f"the runner of the migrations {ended} without an answer",
        remedy=f"{_AFTERWARDS}. The end of its output is in stderr",
        facts={"returncode": done.returncode, "stderr": stderr},
    )


@contextmanager
def _file(archive: bytes, directory: str) -> Iterator[str]:
    descriptor, path = tempfile.mkstemp(prefix="migrations-", suffix=".zip", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(archive)
        yield path
    finally:
        os.unlink(path)


def _tail(text: str, redact: Callable[[str], str]) -> str:
    # Cleaned before it is cut: half a secret would not be found.
    return redact(text.strip())[-_STDERR:]


def _secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to keep out of plans too, where a short word such as the site's name must stay readable."""
    return {name: value for name, value in environment.items() if _is_secret(name, value)}


def _is_secret(name: str, value: str) -> bool:
    return bool(_SECRET_NAME.search(name)) or (len(value) >= _LONG and not _PLACE_NAME.search(name))


def _clean(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _clean(each, redact) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean(each, redact) for each in value]
    return value


def _cleaned_error(error: SlipwayError, redact: Callable[[str], str]) -> SlipwayError:
    facts = _clean(dict(error.facts), redact)
    return SlipwayError(redact(error.seen), untouched=redact(error.untouched), remedy=redact(error.remedy), facts=facts)
