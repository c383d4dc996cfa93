# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of the lab's hosts: built once, named by a digest of all that goes into it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import process
from .engine import IMAGE_LABEL, IMAGES, Engine, privilege
from .errors import LabError
from .settings import Settings
from .talk import Talk

AUTHORITIES = Path("/usr/local/share/ca-certificates")
"""Where Debian keeps the certificate authorities that this machine alone trusts (a company's proxy, say)."""

_BUILD_LIMIT_S = 1800
_PULL_LIMIT_S = 120
_INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


@dataclass(frozen=True)
class Context:
    """All that an image is made from: relative paths and contents, the base, arguments of the build."""

    base: str
    files: tuple[tuple[str, bytes], ...]
    arguments: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits, the same for the same inputs."""
        total = hashlib.sha256(self.base.encode())
        for name, content in (*self.files, *((name, value.encode()) for name, value in self.arguments)):
            total.update(f"\0{name}\0{len(content)}\0".encode())
            total.update(content)
        return total.hexdigest()[:12]


def base_name(settings: Settings) -> str:
    """The name of the base image: a bare Debian."""
    return f"{_store(settings)}{IMAGES[0]}:{settings.debian}"


def image_name(settings: Settings, context: Context) -> str:
    """The name of the hosts' image."""
    return f"{_store(settings)}{IMAGES[1]}:{settings.debian}-{context.digest}"


def _store(settings: Settings) -> str:
    # Podman calls its own images so; Docker would take it for a registry on this machine.
    return "localhost/" if settings.engine == "podman" else ""


def gather(settings: Settings, environ: Mapping[str, str], authorities: Path = AUTHORITIES) -> Context:
    """Read what the image is made from."""
    image = settings.checkout / "lab" / "image"
    files = dict(_tree(image))
    files["requirements/lab.txt"] = files.pop("requirements.txt")
    files["requirements/tools.txt"] = (settings.checkout / "roles/provision/files/tools.txt").read_bytes()
    site = settings.checkout / "lab" / "site"
    for path in sorted(site.rglob("requirements*.txt")):
        files[f"requirements/site-{'-'.join(path.relative_to(site).parts)}"] = path.read_bytes()
    # One empty file, because a COPY of nothing fails.
    files["authorities/none"] = b""
    for path in sorted(authorities.rglob("*.crt")):
        files[f"authorities/{path.name}"] = path.read_bytes()
    arguments = tuple((name, environ[name]) for name in _INDEX_VARIABLES if environ.get(name))
    return Context(base_name(settings), tuple(sorted(files.items())), arguments)


def _tree(folder: Path) -> Iterable[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def lay_out(context: Context, folder: Path) -> None:
    """Write the context into an empty folder, with modes that do not depend on the umask of the checkout."""
    for name, content in context.files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)


def ensure_image(settings: Settings, engine: Engine, talk: Talk, environ: Mapping[str, str]) -> str:
    """The name of the hosts' image, built when these inputs have not been built before."""
    context = gather(settings, environ)
    name = image_name(settings, context)
    if engine.has_image(name):
        talk.say(f"image {name} is there")
        return name
    if not engine.has_image(context.base):
        with talk.step(f"base image {context.base}"):
            _make_base(settings, engine, talk)
    with talk.step(f"image {name} (packages, the machine's authorities, wheels)"):
        _build(settings, engine, talk, context, name)
    return name


def _build(settings: Settings, engine: Engine, talk: Talk, context: Context, name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="context-", dir=settings.cache) as folder:
        lay_out(context, Path(folder))
        # --network=host: the packages come over this machine's own way out.
        arguments = [f"--build-arg={key}={value}" for key, value in (("BASE", context.base), *context.arguments)]
        process.follow(
            engine.argv(
                "build",
                "--network=host",
                f"--label={IMAGE_LABEL}=yes",
                f"--tag={name}",
                f"--file={folder}/Containerfile",
                *arguments,
                folder,
            ),
            talk,
            settings.cache / "log" / "image.log",
            timeout_s=_BUILD_LIMIT_S,
            env=engine.environment,
        )


def _make_base(settings: Settings, engine: Engine, talk: Talk) -> None:
    debootstrap = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    wants_pull = settings.pull if settings.pull is not None else debootstrap is None
    if wants_pull and _pull(settings, engine, talk):
        return
    if debootstrap is None:
        raise LabError(
            f"there is no base image: debian:{settings.debian}-slim was not pulled, and debootstrap, which would make "
            "one, is not installed. Install debootstrap, or let LAB_PULL=1 reach a registry"
        )
    _bootstrap(settings, engine, talk, debootstrap)


def _pull(settings: Settings, engine: Engine, talk: Talk) -> bool:
    name = f"debian:{settings.debian}-slim"
    talk.say(f"pulling {name}, at most {_PULL_LIMIT_S} s")
    try:
        engine.run("pull", "--quiet", name, timeout_s=_PULL_LIMIT_S)
    except LabError as error:
        talk.say(f"{name} can't be pulled ({error}): debootstrap makes the base")
        return False
    engine.run("tag", name, base_name(settings))
    return True


def _bootstrap(settings: Settings, engine: Engine, talk: Talk, debootstrap: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="base-", dir=settings.cache))
    log = settings.cache / "log" / "image.log"
    try:
        talk.say(f"debootstrap of {settings.debian} (nothing is pulled; LAB_PULL=1 would try)")
        process.follow(
            [
                *privilege(),
                debootstrap,
                "--variant=minbase",
                "--include=ca-certificates",
                settings.debian,
                str(folder / "root"),
                *([settings.mirror] if settings.mirror else []),
            ],
            talk,
            log,
            timeout_s=_BUILD_LIMIT_S,
        )
        tar = folder / "root.tar"
        talk.say("importing it")
        packed = ["tar", "--create", "--numeric-owner", f"--file={tar}", f"--directory={folder / 'root'}", "."]
        process.run([*privilege(), *packed], timeout_s=300).check()
        engine.run("import", f"--change=LABEL {IMAGE_LABEL}=yes", str(tar), base_name(settings), timeout_s=300)
    finally:
        process.run([*privilege(), "rm", "-rf", "--one-file-system", str(folder)], timeout_s=120)
