# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping

import pytest
from ansible_collections.slipway.django.plugins.module_utils._preflight._pinned import pinned_row, requirements
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row
from hypothesis import given
from hypothesis import strategies as st

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "sha256:" + "0" * 64


def judge(files: Mapping[str, str], name: str = "requirements.txt", *, hashes: bool = False) -> Row:
    return pinned_row(name, files.__contains__, files.__getitem__, hashes=hashes)


@pytest.mark.parametrize(
    "line",
    [
        "Django==5.2.19",
        "celery[redis] == 5.7.0",
        "psycopg[binary,pool]==3.3.9  # with a comment",
        'tzdata==2026.1; sys_platform == "win32"',
        "local===1.0+debian.1",
        f"Django==5.2.19 --hash={SHA}",
        f"shop @ git+https://git.example.com/shop.git@{COMMIT}",
        f"git+ssh://git@git.example.com/shop.git@{COMMIT}#egg=shop",
        f"https://files.example.com/shop-1.0.tar.gz#sha256={'0' * 64}",
        "-e .",
        "./libs/shop",
    ],
)
def test_what_can_only_become_one_thing_is_pinned(line: str) -> None:
    assert judge({"requirements.txt": line}).mark is Mark.PASSED


@pytest.mark.parametrize(
    "line",
    [
        "Django",
        "Django>=5.2",
        "Django~=5.2.0",
        "Django==5.2.*",
        "Django==5.2.19,<6",
        "Django!=5.2",
        'Django; python_version > "3.9"',
        "shop @ https://files.example.com/shop-1.0.tar.gz",
        "git+https://git.example.com/shop.git@main",
        "git+https://git.example.com/shop.git",
        "-e git+https://git.example.com/shop.git@v1#egg=shop",
        "../elsewhere",
        "/opt/shop",
        "Django==5.2.19 \\\n  , >=5",
    ],
)
def test_what_can_become_several_things_is_not(line: str) -> None:
    row = judge({"requirements.txt": f"celery==5.7.0\n{line}\n"})

    assert row.mark is Mark.FAILED
    assert row.seen.startswith("1 of 2 are not: ")
    assert "requirements.txt:2" in row.seen


def test_included_files_are_read_and_constraints_ask_for_nothing() -> None:
    files = {
        "requirements/prod.txt": "-r base.txt\n-c constraints.txt\n--requirement=../extra.txt\n-i https://pypi.example\n",
        "requirements/base.txt": "Django==5.2.19\n-r prod.txt\n",
        "requirements/constraints.txt": "celery\n",
        "extra.txt": "celery>5\n",
    }
    row = judge(files, "requirements/prod.txt")

    assert row.seen == "1 of 2 are not: celery>5 (extra.txt:1)"


def test_hashes_are_asked_for_only_when_wanted() -> None:
    files = {"requirements.txt": f"Django==5.2.19 \\\n    --hash={SHA}\ncelery==5.7.0\n"}

    assert judge(files).mark is Mark.PASSED
    row = judge(files, hashes=True)
    assert (row.mark, row.seen) == (Mark.FAILED, "1 of 2 are not: celery==5.7.0 (requirements.txt:3)")


def test_a_password_in_a_url_is_not_shown() -> None:
    row = judge({"requirements.txt": "git+https://ada:swordfish@git.example.com/shop.git@main"})
    assert "swordfish" not in row.seen


def test_without_a_requirements_file_a_lock_file_pins() -> None:
    assert judge({"uv.lock": ""}, "").mark is Mark.PASSED
    assert judge({"pyproject.toml": ""}, "").seen == "no requirements and no lock file"


def test_a_file_without_packages_says_so() -> None:
    assert judge({"requirements.txt": "# nothing\n--no-index\n"}).seen == "requirements.txt names no package"


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,10}", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}((a|b|rc)[0-9])?", fullmatch=True)


@given(st.lists(st.tuples(NAMES, VERSIONS, st.booleans()), min_size=1, max_size=8))
def test_each_requirement_is_counted_once_and_judged_by_its_operator(lines: list[tuple[str, str, bool]]) -> None:
    text = "\n".join(f"{name}{'==' if exact else '>='}{version}" for name, version, exact in lines)
    found = list(requirements("r.txt", {"r.txt": text}.__getitem__))

    assert [each.pinned for each in found] == [exact for _name, _version, exact in lines]


@given(st.text(max_size=200))
def test_no_text_makes_the_parser_fail_or_hang(text: str) -> None:
    files = {"r.txt": text}

    def read(name: str) -> str:
        return files.get(name, "")

    for each in requirements("r.txt", read):
        assert each.line
