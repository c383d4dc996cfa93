# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from slipway_lab.image import Context, base_name, gather, image_name, lay_out
from slipway_lab.settings import Settings, from_environment


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in {
        "lab/image/Containerfile": "FROM base\n",
        "lab/image/requirements.txt": "uv==1\n",
        "lab/image/rootfs/etc/motd": "hello\n",
        "lab/site/base/requirements.txt": "django==5\n",
        "roles/provision/files/tools.txt": "boto3==1\n",
        "authorities/company.crt": "PEM\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def gathered(checkout: Path, environ: dict[str, str] | None = None) -> Context:
    return gather(settings(checkout, environ), environ or {}, checkout / "authorities")


def settings(checkout: Path, environ: dict[str, str] | None = None) -> Settings:
    return from_environment(environ or {}, checkout)


def test_all_inputs_are_gathered(checkout: Path) -> None:
    context = gathered(checkout)

    assert dict(context.files) == {
        "Containerfile": b"FROM base\n",
        "rootfs/etc/motd": b"hello\n",
        "requirements/lab.txt": b"uv==1\n",
        "requirements/tools.txt": b"boto3==1\n",
        "requirements/site-base-requirements.txt": b"django==5\n",
        "authorities/none": b"",
        "authorities/company.crt": b"PEM\n",
    }


def test_the_same_inputs_have_the_same_digest(checkout: Path) -> None:
    assert gathered(checkout).digest == gathered(checkout).digest
    assert gathered(checkout, {"LAB_NAME": "other"}).digest == gathered(checkout).digest


@pytest.mark.parametrize(
    "name",
    [
        "lab/image/Containerfile",
        "lab/image/rootfs/etc/motd",
        "lab/image/requirements.txt",
        "lab/site/base/requirements.txt",
        "roles/provision/files/tools.txt",
        "authorities/company.crt",
    ],
)
def test_a_changed_input_changes_the_digest(checkout: Path, name: str) -> None:
    before = gathered(checkout).digest

    with (checkout / name).open("a", encoding="utf-8") as file:
        file.write("more\n")

    assert gathered(checkout).digest != before


def test_another_authority_changes_the_digest(checkout: Path) -> None:
    before = gathered(checkout).digest

    (checkout / "authorities" / "second.crt").write_text("PEM\n", encoding="utf-8")

    assert gathered(checkout).digest != before


@pytest.mark.parametrize("environ", [{"LAB_DEBIAN": "trixie"}, {"PIP_INDEX_URL": "https://pypi.example/simple"}])
def test_another_release_or_index_changes_the_digest(checkout: Path, environ: dict[str, str]) -> None:
    assert gathered(checkout, environ).digest != gathered(checkout).digest


def test_names_of_images(checkout: Path) -> None:
    podman = settings(checkout, {"LAB_DEBIAN": "trixie"})
    docker = settings(checkout, {"LAB_ENGINE": "docker"})
    context = gathered(checkout)

    assert base_name(podman) == "localhost/slipway-lab-base:trixie"
    assert image_name(podman, context) == f"localhost/slipway-lab:trixie-{context.digest}"
    assert base_name(docker) == "slipway-lab-base:bookworm"


def test_the_context_does_not_depend_on_the_modes_of_the_checkout(checkout: Path, tmp_path: Path) -> None:
    (checkout / "lab" / "image" / "rootfs" / "etc" / "motd").chmod(0o600)
    folder = tmp_path / "context"
    folder.mkdir(mode=0o700)

    lay_out(gathered(checkout), folder)

    assert (folder / "rootfs" / "etc" / "motd").stat().st_mode & 0o777 == 0o644
    assert (folder / "rootfs" / "etc").stat().st_mode & 0o777 == 0o755
    assert (folder / "requirements" / "lab.txt").read_bytes() == b"uv==1\n"
