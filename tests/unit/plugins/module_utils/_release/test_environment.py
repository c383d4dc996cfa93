# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ctypes
import glob
import stat
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._environment import (
    checked_environment,
    checked_release_environment,
    handed_over,
    parse,
    read_environment,
    render,
    write_environment,
)
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout
from hypothesis import given
from hypothesis import strategies as st

# Sequences that are special to systemd, to a shell or to a reader of lines, more often than chance gives them.
SPECIAL = st.sampled_from(
    ['"', "\\", "`", "$", "'", "#", ";", "=", " ", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "$HOME", "\\n"]
)
PLAIN = st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="\n\r\0")
VALUES = st.lists(st.one_of(SPECIAL, PLAIN), max_size=20).map("".join)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
VARIABLES = st.dictionaries(NAMES, VALUES, max_size=6)
LIBRARIES = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob(
    "/usr/lib/systemd/libsystemd-shared-*.so"
)


def read_by_systemd(path: str) -> dict[str, str]:
    """What systemd's own parser of EnvironmentFile= makes of a file. It needs no running systemd."""
    library = ctypes.CDLL(LIBRARIES[0])
    entries = ctypes.POINTER(ctypes.c_char_p)()
    status = library.load_env_file(None, path.encode(), ctypes.byref(entries))
    assert status == 0, f"systemd refuses the file: error {-status}"
    found: dict[str, str] = {}
    index = 0
    while ctypes.cast(entries, ctypes.c_void_p).value and entries[index] is not None:
        name, _, value = entries[index].decode().partition("=")
        found[name] = value
        index += 1
    return found


@given(VARIABLES)
def test_what_was_rendered_is_parsed_as_it_was(values: dict[str, str]) -> None:
    assert parse(render(values)) == values


@pytest.mark.skipif(not LIBRARIES, reason="systemd's shared library is not on this machine")
@given(values=VARIABLES)
def test_systemd_reads_what_we_read(values: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.getbasetemp() / "env")
    write_environment(path, values)
    assert read_by_systemd(path) == read_environment(path) == values


@pytest.mark.skipif(not LIBRARIES, reason="systemd's shared library is not on this machine")
@pytest.mark.parametrize(
    "code",
    [
        0x1,
        0x7F,
        0x85,
        0xA0,
        0xD7FF,
        0xE000,
        0xFDCF,
        0xFDD0,
        0xFDEF,
        0xFDF0,
        0xFFFD,
        0xFFFE,
        0x1FFFF,
        0x10FFFD,
        0x10FFFF,
    ],
)
def test_accepted_characters_are_those_that_systemd_accepts(code: int, tmp_path: Path) -> None:
    library = ctypes.CDLL(LIBRARIES[0])
    try:
        checked_environment("environment", {"A": chr(code)})
    except InvalidOption:
        accepted = False
    else:
        accepted = True
    assert accepted == bool(library.env_value_is_valid(chr(code).encode()))


def test_rendered_text() -> None:
    lines = render({"B": 'a "b" \\ `c` $D', "A": ""}).splitlines()
    assert lines[0].startswith("# ")
    assert lines[1:] == ['A=""', 'B="a \\"b\\" \\\\ \\`c\\` \\$D"']


@pytest.mark.parametrize(
    "line",
    [
        "A=plain",
        "A='single'",
        'A="open',
        'A="a"b',
        'A="a\\n"',
        'export A="a"',
        ' A="a"',
        '1A="a"',
        'A="$B"',
        'A="a" # note',
        "A",
        "; note",
    ],
)
def test_other_grammar_is_an_error_that_names_the_line_but_not_its_content(line: str) -> None:
    with pytest.raises(SlipwayError) as caught:
        parse(f'GOOD="1"\n{line}\n', origin="/srv/shop/env")
    assert caught.value.message == (
        '/srv/shop/env: line 2 is not NAME="value". The file was left as it is. '
        "It was changed by hand: build the release anew, with the change in the environment option."
    )


def test_a_name_given_twice_is_an_error() -> None:
    with pytest.raises(SlipwayError, match=r"line 2 gives a name for the second time"):
        parse('A="1"\nA="2"\n')


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "env"
    write_environment(str(path), {"A": "1"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_file_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="does not exist"):
        read_environment(str(tmp_path / "env"))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(b'A="\xff"\n')
    with pytest.raises(SlipwayError, match="is not UTF-8"):
        read_environment(str(tmp_path / "env"))


def test_text_and_whole_numbers_are_taken() -> None:
    assert checked_environment("environment", {"A": "x", "B": 12, "_c": ""}) == {"A": "x", "B": "12", "_c": ""}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            True,
            (
                "environment.A: 'a value of type bool' is not accepted, expected text or a whole number. "
                "Nothing was changed. Put quotes around it, so that what the site reads is what the inventory says."
            ),
        ),
        (None, "environment.A: 'a value of type NoneType' is not accepted"),
        (1.10, "environment.A: 'a value of type float' is not accepted"),
        (["x"], "environment.A: 'a value of type list' is not accepted"),
        (
            "secret\nline",
            (
                "environment.A: 'a value with a line break' is not accepted, expected text of one line. "
                "Nothing was changed. Encode it (base64) or name a file."
            ),
        ),
        ("secret\rline", "environment.A: 'a value with a line break' is not accepted"),
        ("secret\0", "environment.A: 'a value with a NUL character' is not accepted"),
        ("secret\udc80", "environment.A: 'a value with a code point that is no character' is not accepted"),
    ],
)
def test_refused_values_are_not_shown(value: object, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        checked_environment("environment", {"A": value})
    assert caught.value.message.startswith(message)
    assert "secret" not in str(caught.value.facts)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "É", "A\n"])
def test_refused_names(name: str) -> None:
    with pytest.raises(InvalidOption, match="names of ASCII letters, digits and underscores"):
        checked_environment("environment", {name: "x"})


@pytest.mark.parametrize("name", ["SLIPWAY_RELEASE", "SLIPWAY_PORT", "SLIPWAY_SLOT"])
def test_names_of_ours_are_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="they are set for each release"):
        checked_release_environment({name: "x"})


def test_what_each_release_is_given() -> None:
    layout = Layout("/srv/shop")
    assert handed_over(layout, layout.release("0123456789ab-01234567")) == {
        "SLIPWAY_RELEASE": "0123456789ab-01234567",
        "SLIPWAY_STATIC_ROOT": "/srv/shop/releases/0123456789ab-01234567/static",
        "SLIPWAY_MEDIA_ROOT": "/srv/shop/shared/media",
    }
