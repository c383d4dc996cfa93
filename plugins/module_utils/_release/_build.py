# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that turn a commit's files into a release: virtual environment, packages, bytecode, the site's commands.

What they need from the environment is handed over by process environment, never by arguments.
pip and uv get the build's variables only: what a package runs while it is built has no use for the site's secrets.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._process import Completed, Runner
from ansible_collections.slipway.django.plugins.module_utils._release._layout import ReleasePaths
from ansible_collections.slipway.django.plugins.module_utils._release._naming import BuildIdentity
from ansible_collections.slipway.django.plugins.module_utils._release._processes import BUILD_VARIABLE

# Of the module's own process nothing may leak into an interpreter of the release; empty means unset to Python.
_CLEAN = {"PYTHONPATH": "", "PYTHONHOME": "", "PYTHONDONTWRITEBYTECODE": "", "VIRTUAL_ENV": ""}
_PIP = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
# A missing interpreter is to be said, not to be downloaded behind the operator's back.
_UV = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
# ensurepip keeps pip as a wheel, which runs as it is. Where it lies is not part of its interface: may print nothing.
_FIND_PIP = """\
import ensurepip, glob, os, sysconfig
for place in (sysconfig.get_config_var("WHEEL_PKG_DIR"), os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")):
    for wheel in glob.glob(os.path.join(place or "", f"pip-{ensurepip.version()}-*.whl")):
        print(wheel)
        raise SystemExit
"""
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_LINES_SHOWN = 8


@dataclass(frozen=True)
class BuildOptions:
    """How a release is built. ``identity`` goes into its name, the rest does not change what comes out."""

    identity: BuildIdentity
    uv: str
    imports: tuple[str, ...]
    environment: Mapping[str, str]
    timeout_s: float


def checked_identity(identity: BuildIdentity) -> BuildIdentity:
    """Return the options as they are.

    :raises InvalidOption: an empty command, a requirements file outside of the source, credentials in an argument.
    """
    if not all(identity.commands):
        raise InvalidOption("commands", [], "lists of arguments, none of them empty")
    parts = identity.requirements.split("/")
    if identity.requirements.startswith(("/", "-")) or ".." in parts:
        raise InvalidOption("requirements", identity.requirements, "a path inside of the source")
    if any(
        "://" in argument and "@" in argument.split("://", 1)[1].split("/", 1)[0]
        for argument in identity.install_arguments
    ):
        raise InvalidOption(
            "install_arguments",
            "a URL with a user or password",
            "arguments without secrets, as everybody on the host sees them in the list of processes",
            remedy="Hand the URL over in build_environment (PIP_INDEX_URL, UV_INDEX_URL)",
        )
    return identity


def checked_imports(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of modules.

    :raises InvalidOption: one is no name of a module; it would become part of a program.
    """
    for name in names:
        if not _MODULE.match(name):
            raise InvalidOption("imports", name, "names of modules such as shop.wsgi")
    return tuple(names)


class Builder:
    """Runs the programs of one build."""

    def __init__(
        self, runner: Runner, options: BuildOptions, paths: ReleasePaths, environment: Mapping[str, str]
    ) -> None:
        self._runner = runner
        self._options = options
        self._paths = paths
        self._pip: tuple[str, ...] = ("-m", "pip")
        # What the site's own processes will see, and the means of the build (an authority, a proxy) beneath it.
        self._release_environment = {**_CLEAN, **options.environment, **environment, **_inside(paths, environment)}
        self._build_environment = {**_CLEAN, **_PIP, **_UV, **options.environment, BUILD_VARIABLE: paths.path}

    def make_venv(self) -> None:
        """Make the virtual environment at its final place: scripts in it bear that path.

        Without pip inside, where the interpreter has pip as a wheel: to install pip each time took more than half
        of the processor time of a build, and a release has no use for it.
        """
        with_pip = False
        if self._options.identity.installer == "pip":
            wheel = self._pip_wheel()
            self._pip = (f"{wheel}/pip",) if wheel else self._pip
            with_pip = not wheel
        self._build(venv_command(self._options, self._paths, with_pip=with_pip))

    def install(self) -> None:
        """Install the requirements, all in one call.

        :raises SlipwayError: the commit has no such file.
        """
        requirements = self._options.identity.requirements
        if not requirements:
            return
        if not os.path.isfile(os.path.join(self._paths.src, requirements)):
            raise SlipwayError(
                f"the commit has no file {requirements!r}",
                remedy="Name the file in the requirements option; an empty one installs nothing",
                facts={"requirements": requirements},
            )
        self._build(install_command(self._options, self._paths, self._pip), cwd=self._paths.src)

    def compile(self) -> None:
        """Write the bytecode of everything, once: else each start of a worker would compile in memory.

        A file that is no valid Python is not an error here: packages ship templates of such files.
        """
        argv = [
            self._paths.python,
            "-m",
            "compileall",
            "-qq",
            "-j",
            "0",
            self._paths.src,
            os.path.join(self._paths.venv, "lib"),
        ]
        environment = {**self._release_environment, "PYTHONDONTWRITEBYTECODE": ""}
        done = self._runner.run(argv, timeout_s=self._options.timeout_s, env=environment, cwd=self._paths.path)
        if done.returncode not in {0, 1}:
            _check(done)

    def import_modules(self) -> None:
        """Import the release in a process of its own, before any live process is told to load it."""
        if self._options.imports:
            self.command([self._paths.python, "-c", f"import {', '.join(self._options.imports)}"])

    def command(self, argv: Sequence[str]) -> None:
        """Run a command of the site in its source, with the environment of the release."""
        _check(
            self._runner.run(
                argv, timeout_s=self._options.timeout_s, env=self._release_environment, cwd=self._paths.src
            )
        )

    def _pip_wheel(self) -> str:
        argv = [self._options.identity.python, "-c", _FIND_PIP]
        done = self._runner.run(argv, timeout_s=self._options.timeout_s, env=_CLEAN, cwd=self._paths.path)
        return done.stdout.strip() if done.returncode == 0 else ""

    def _build(self, argv: Sequence[str], cwd: str | None = None) -> None:
        place = cwd or self._paths.path
        _check(self._runner.run(argv, timeout_s=self._options.timeout_s, env=self._build_environment, cwd=place))


def _inside(paths: ReleasePaths, environment: Mapping[str, str]) -> dict[str, str]:
    search = environment.get("PATH", os.environ.get("PATH", os.defpath))
    return {"PATH": f"{paths.bin}{os.pathsep}{search}", "VIRTUAL_ENV": paths.venv, BUILD_VARIABLE: paths.path}


def venv_command(options: BuildOptions, paths: ReleasePaths, *, with_pip: bool) -> list[str]:
    """The arguments that make the virtual environment."""
    if options.identity.installer == "uv":
        return [options.uv, "venv", "--quiet", "--python", options.identity.python, paths.venv]
    without = [] if with_pip else ["--without-pip"]
    return [options.identity.python, "-m", "venv", *without, paths.venv]


def install_command(options: BuildOptions, paths: ReleasePaths, pip: Sequence[str]) -> list[str]:
    """The arguments that install the requirements. Bytecode is left to one pass over everything.

    :param pip: how the interpreter finds pip.
    """
    identity = options.identity
    if identity.installer == "uv":
        head = [options.uv, "pip", "install", "--quiet", "--python", paths.python]
    else:
        head = [paths.python, *pip, "install", "--quiet", "--no-compile"]
    return [*head, "--requirement", identity.requirements, *identity.install_arguments]


def find_uv(wanted: str) -> str:
    """Return the path of uv.

    :raises SlipwayError: it is not installed for this user.
    """
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), os.path.expanduser("~/.local/bin")])
    found = shutil.which(wanted, path=places)
    if found is None:
        raise SlipwayError(
            f"the program {wanted!r} was not found in {places}",
            untouched="Nothing was changed",
            remedy="Install uv on this host, give its path in the uv option, or use installer=pip",
            facts={"uv": wanted},
        )
    return os.path.abspath(found)


def command_label(argv: Sequence[str]) -> str:
    """A short name for the record of times: C(collectstatic) for C(python manage.py collectstatic --noinput)."""
    words = [word for word in argv if not word.startswith("-")]
    if words and os.path.basename(words[0]).startswith("python"):
        words = words[1:]
    if len(words) > 1 and words[0].endswith(".py"):
        words = words[1:]
    return os.path.basename(words[0]) if words else os.path.basename(argv[0])


def _check(done: Completed) -> None:
    """Like :meth:`Completed.check`; a program that complains on its standard output is heard as well.

    The message holds the last lines, where Python and pip say what it was; the facts hold more.
    """
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        error = CommandFailed(
            done.argv, done.returncode, "\n".join(said.splitlines()[-_LINES_SHOWN:]), remedy=_remedy(done)
        )
        error.facts["stderr"] = said[-4000:]
        raise error


def _remedy(done: Completed) -> str:
    said = done.stderr + done.stdout
    known = (
        ("ensurepip is not", "Install the package python3-venv on this host"),
        ("No space left on device", "Free some space; old releases go with state=pruned"),
        ("CERTIFICATE_VERIFY_FAILED", "Name the authorities' file in build_environment: PIP_CERT, SSL_CERT_FILE"),
        ("invalid peer certificate", "Name the authorities' file in build_environment: SSL_CERT_FILE"),
        ("No module named venv", "Install the package python3-venv on this host"),
    )
    return next(
        (remedy for sign, remedy in known if sign in said),
        "Repeat it by hand in a scratch copy, or build with the scratch option",
    )
