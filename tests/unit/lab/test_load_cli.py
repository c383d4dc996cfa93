# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from shopload import cli, summary

RUN = ["run", "--target", "http://127.0.0.1:1", "--host", "shop.example"]


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.jsonl"
    lines = [{"run": "r1"}, {"reference": "L-r1-0000001", "outcome": "accepted"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def files(folder: Path) -> list[str]:
    return [f"--{name}={folder / name}" for name in ("out", "orders", "failures")]


def test_without_its_secrets_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("API_TOKEN", raising=False)
    monkeypatch.setenv("LOAD_USER_PASSWORD", "mark")

    assert cli.main([*RUN, *files(tmp_path)]) == 2
    assert capsys.readouterr().err == "load: not set in the environment: API_TOKEN\n"
    assert list(tmp_path.iterdir()) == []


def test_secrets_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("API_TOKEN=a=b\nLOAD_USER_PASSWORD = c\n", encoding="utf-8")

    secrets = cli.read_secrets(path)

    assert (secrets.api_token, secrets.password) == ("a=b", "c")


def test_a_file_of_secrets_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(cli.UsageError, match=r"none can't be read: No such file"):
        cli.read_secrets(tmp_path / "none")


@pytest.mark.parametrize("target", ["http://8.8.8.8", "http://[2001:4860:4860::8888]:80"])
def test_load_goes_to_private_addresses_only(target: str) -> None:
    with pytest.raises(cli.UsageError, match="load goes to loopback and private addresses only"):
        cli.resolve(target)


@pytest.mark.parametrize("target", ["https://127.0.0.1", "127.0.0.1:80", "http://127.0.0.1/path"])
def test_a_target_that_is_not_understood_is_refused(target: str) -> None:
    with pytest.raises(cli.UsageError, match="is not of the form http://host:port"):
        cli.resolve(target)


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("http://127.0.0.1", ("127.0.0.1", 80)),
        ("http://10.1.2.3:8080/", ("10.1.2.3", 8080)),
        ("http://[::1]:1", ("::1", 1)),
    ],
)
def test_a_target_is_resolved_once(target: str, address: tuple[str, int]) -> None:
    assert cli.resolve(target) == address


@pytest.mark.parametrize(
    "option", ["--rate=5000", "--rate=0", "--duration=100000", "--mix=pages=1", "--profile=lenient"]
)
def test_a_run_is_bounded(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([*RUN, *files(tmp_path), option])

    assert caught.value.code == 2
    assert option[2:].partition("=")[0] in capsys.readouterr().err


def test_a_run_id_must_fit_into_sql(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*RUN, *files(tmp_path), "--run-id", "a'b"]) == 2
    assert "letters, digits and hyphens" in capsys.readouterr().err


def test_the_query_names_the_run(orders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["query", "--orders", str(orders)]) == 0
    assert capsys.readouterr().out == (
        "SELECT reference FROM shop_order WHERE reference LIKE 'L-r1-%' ORDER BY reference\n"
    )


def test_orders_that_are_all_there(
    orders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("L-r1-0000001\n"))

    assert cli.main(["verify", "--orders", str(orders), "--out", str(tmp_path / "out.json")]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "whole"
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["lost"] == 0


def test_a_lost_order_is_an_exit_status(orders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--orders", str(orders), "--command", "true"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "1 accepted orders are lost"


def test_a_database_that_does_not_answer_is_no_loss(orders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--orders", str(orders), "--command", "false"]) == 2
    assert "the database's command ended with 1" in capsys.readouterr().err


def test_the_summary_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text("old", encoding="utf-8")

    with pytest.raises(TypeError):
        summary.write_whole(str(path), {"not": object()})

    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
