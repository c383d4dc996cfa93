# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``run``, ``query``, ``verify``."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import orders, schedule, summary
from .generator import Files, Generator, Options, Secrets
from .wire import Address


class UsageError(Exception):
    """What was asked for can't be done; nothing was sent."""


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    commands = {"run": run, "query": query, "verify": verify}
    try:
        return commands[arguments.command](arguments)
    except (UsageError, orders.OrdersError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="load", description="Load on the demo site, and the count of its orders.")
    commands = top.add_subparsers(dest="command", required=True)
    add_run(commands.add_parser("run", help="send requests for a while"))
    listing = commands.add_parser("query", help="print the SQL that lists the orders of a run")
    check = commands.add_parser("verify", help="compare accepted orders with the rows of that SQL, read from stdin")
    for command in (listing, check):
        command.add_argument("--orders", type=Path, required=True, help="the file that `run` wrote")
    check.add_argument("--command", dest="database", help="read the rows from this command, not from stdin")
    check.add_argument("--out", help="write the comparison to this file too")
    return top


def add_run(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--target", required=True, help="http://host:port of the balancer; loopback and private addresses only")
    add("--host", required=True, help="the site's name, sent as Host")
    add("--out", required=True, help="the summary, JSON, written at the end")
    add("--orders", required=True, help="references of accepted and failed orders, JSON lines")
    add("--failures", required=True, help="failed requests, JSON lines")
    add("--secrets", type=Path, help="a file with API_TOKEN=… and LOAD_USER_PASSWORD=… (default: the environment)")
    add("--username", default="load", help="who logs in (%(default)s)")
    add("--run-id", default=time.strftime("%Y%m%dT%H%M%S", time.gmtime()), help="part of the orders' references")
    add("--rate", type=bounded(1, schedule.MAX_RATE), default=120.0, help="arrivals a second (%(default)g)")
    add("--duration", type=bounded(1, schedule.MAX_DURATION), default=60.0, help="seconds (%(default)g)")
    add("--mix", type=mix, default=dict(schedule.DEFAULT_MIX), help=f"KIND=WEIGHT,… of {', '.join(schedule.KINDS)}")
    add("--profile", choices=("strict", "browser"), default="strict", help="see README.md (%(default)s)")
    add("--clients", type=int, default=24, help="kept connections (%(default)s)")
    add("--idle-limit", type=bounded(0.1, 60), default=5.0, help="seconds a connection is kept idle (%(default)g)")
    add("--timeout", type=bounded(0.1, 120), default=20.0, help="seconds for a request (%(default)g)")
    add("--grace", type=bounded(0, 120), default=20.0, help="seconds for what is under way at the end (%(default)g)")
    add("--sockets", type=int, default=0, help="WebSockets that are kept open beside the requests (%(default)s)")
    add("--max-in-flight", type=int, default=600, help="requests under way at most (%(default)s)")
    add("--status-every", type=bounded(0.5, 60), default=2.0, help="seconds between status lines (%(default)g)")


def bounded(low: float, high: float) -> Callable[[str], float]:
    """Return a type for argparse: a number between two others."""

    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be between {low:g} and {high:g}")
        return value

    return number


def mix(text: str) -> dict[str, int]:
    """Read the mix for argparse, which shows only its own errors' texts."""
    try:
        return schedule.parse_mix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# --- run ------------------------------------------------------------------------------------------------------------


def run(arguments: argparse.Namespace) -> int:
    """Send, count, write the summary; the exit status tells only whether that was done."""
    options = make_options(arguments)
    secrets = read_secrets(arguments.secrets)
    folder = Path(arguments.out).resolve().parent
    if not os.access(folder, os.W_OK):
        raise UsageError(f"the summary can't be written: {folder} is no writable folder")
    try:
        with (
            open(arguments.orders, "w", encoding="utf-8") as accepted,
            open(arguments.failures, "w", encoding="utf-8") as failed,
        ):
            generator = Generator(options, secrets, Files(accepted, failed, say))
            document = asyncio.run(watched(generator))
    except OSError as error:
        raise UsageError(f"{error.filename} can't be written: {error.strerror}") from error
    summary.write_whole(arguments.out, document)
    say(summary.headline(document))
    return 0


def say(line: str) -> None:
    print(line, flush=True)


async def watched(generator: Generator) -> dict[str, Any]:
    """Run the generator, with signals that end it, and measure what it takes itself."""
    stopped: list[int] = []

    def stop(number: int) -> None:
        stopped.append(number)
        generator.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    began, cpu = time.monotonic(), time.process_time()
    await generator.run()
    return summary.summarise(
        generator,
        elapsed=time.monotonic() - began,
        cpu_seconds=time.process_time() - cpu,
        stopped=bool(stopped),
    )


def make_options(arguments: argparse.Namespace) -> Options:
    if not orders.RUN_ID.fullmatch(arguments.run_id):
        raise UsageError("--run-id takes up to 32 letters, digits and hyphens")
    return Options(
        run=arguments.run_id,
        address=resolve(arguments.target),
        host=arguments.host,
        rate=arguments.rate,
        duration=arguments.duration,
        mix=arguments.mix,
        profile=arguments.profile,
        clients=arguments.clients,
        idle_limit=arguments.idle_limit,
        timeout=arguments.timeout,
        grace=arguments.grace,
        max_in_flight=arguments.max_in_flight,
        status_every=arguments.status_every,
        username=arguments.username,
        sockets=arguments.sockets,
    )


def resolve(target: str) -> Address:
    """Return the address behind a URL, once: no request waits for a name server.

    An address that others could own is refused: this is a load.
    """
    url = urlsplit(target)
    if url.scheme != "http" or not url.hostname or url.path.strip("/"):
        raise UsageError(f"{target} is not of the form http://host:port")
    try:
        found = socket.getaddrinfo(url.hostname, url.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"{url.hostname} has no address: {error}") from error
    host, port = found[0][4][:2]
    if not ipaddress.ip_address(host).is_private:
        raise UsageError(f"{target} is {host}: load goes to loopback and private addresses only")
    return str(host), int(port)


def read_secrets(path: Path | None) -> Secrets:
    """Take the secrets from a file or the environment; a message never holds one."""
    values = dict(os.environ)
    if path is not None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UsageError(f"{path} can't be read: {error.strerror}") from error
        values = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    missing = [name for name in ("API_TOKEN", "LOAD_USER_PASSWORD") if not values.get(name)]
    if missing:
        raise UsageError(f"not set in {path or 'the environment'}: {', '.join(missing)}")
    return Secrets(values["API_TOKEN"], values["LOAD_USER_PASSWORD"])


# --- orders ---------------------------------------------------------------------------------------------------------


def read_orders(path: Path) -> orders.Sent:
    try:
        with path.open(encoding="utf-8") as lines:
            return orders.read_sent(lines)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error


def query(arguments: argparse.Namespace) -> int:
    say(orders.query(read_orders(arguments.orders).run))
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Compare; 0 when every accepted order is there exactly once, 1 when not."""
    comparison = orders.compare(read_orders(arguments.orders), database_rows(arguments.database))
    document = comparison.document()
    if arguments.out:
        summary.write_whole(arguments.out, document)
    say(json.dumps({key: value for key, value in document.items() if key != "references"}))
    return 0 if comparison.verdict == "whole" else 1


def database_rows(command: str | None) -> list[str]:
    """Read references, one a line."""
    if command is None:
        return sys.stdin.read().splitlines()
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"the database's command ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout.splitlines()
