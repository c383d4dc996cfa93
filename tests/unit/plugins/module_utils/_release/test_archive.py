# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import stat
import tarfile
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._archive import unpack

COMMIT = "a" * 40


def member(name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o664, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.linkname = link
    info.mtime = 1_700_000_000
    return info


def archive(path: Path, *members: tarfile.TarInfo, commit: str = COMMIT) -> str:
    """A tar file as git archive makes it: the commit in a global header, then the members."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": commit}) as tar:
        for info in members:
            data = info.name.encode() if info.isreg() else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def test_files_directories_and_links(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.tar",
        member("app", tarfile.DIRTYPE),
        member("app/x.py"),
        member("deep/er/y.py", mode=0o775),
        member("current", tarfile.SYMTYPE, link="app/x.py"),
        member("app/up", tarfile.SYMTYPE, link="../deep"),
        member("nowhere", tarfile.SYMTYPE, link="not/there"),
    )
    destination = tmp_path / "src"
    assert unpack(path, str(destination), COMMIT) == 5
    assert (destination / "current").read_text() == "app/x.py"
    assert stat.S_IMODE((destination / "app/x.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((destination / "deep/er/y.py").stat().st_mode) == 0o755
    assert (destination / "app/x.py").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (member("../evil"), "its path leads out of the archive"),
        (member("a/../../evil"), "its path leads out of the archive"),
        (member("/etc/evil"), "its path leads out of the archive"),
        (member("evil", tarfile.SYMTYPE, link="/etc"), "it is a symbolic link to the absolute path '/etc'"),
        (member("evil", tarfile.SYMTYPE, link="../.."), "it is a symbolic link that leads out of the release"),
        (member("evil", tarfile.LNKTYPE, link="app"), "it is neither a file nor a directory"),
        (member("evil", tarfile.FIFOTYPE), "it is neither a file nor a directory"),
        (member("evil", tarfile.CHRTYPE), "it is neither a file nor a directory"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else "",
)
def test_refused_members(tmp_path: Path, info: tarfile.TarInfo, why: str) -> None:
    with pytest.raises(Refused) as caught:
        unpack(archive(tmp_path / "a.tar", info), str(tmp_path / "src"), COMMIT)
    assert why in caught.value.message
    assert "What runs was not touched. Take it out of the repository." in caught.value.message
    assert not (tmp_path / "evil").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = archive(tmp_path / "a.tar", member("door", tarfile.SYMTYPE, link="../outside"), member("door/evil"))
    with pytest.raises((SlipwayError, OSError)):
        unpack(path, str(tmp_path / "src"), COMMIT)
    assert not list(outside.iterdir())


def test_a_chain_of_links_that_leads_out_is_refused(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.tar",
        member("a/b/c/file"),
        member("short", tarfile.SYMTYPE, link="a/b/c"),
        member("evil", tarfile.SYMTYPE, link="short/../../../../x"),
    )
    with pytest.raises(Refused, match="leads out of the release"):
        unpack(path, str(tmp_path / "src"), COMMIT)


def test_the_archive_of_another_commit_is_an_error(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", member("x"), commit="b" * 40)
    with pytest.raises(SlipwayError, match=f"the archive says it is of commit '{'b' * 40}', expected {COMMIT}"):
        unpack(path, str(tmp_path / "src"), COMMIT)


def test_a_file_that_comes_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        unpack(archive(tmp_path / "a.tar", member("x"), member("x")), str(tmp_path / "src"), COMMIT)
