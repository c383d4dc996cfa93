# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .engine import Engine
from .errors import LabError
from .lab import HostStatus, Lab
from .settings import from_environment
from .talk import Talk

_EPILOG = """environment:
  LAB_NAME     name of this lab, first part of its containers' names (default slipway)
  LAB_SUBNET   first three octets of its network (default 10.89.77)
  LAB_BALANCER kind of the balancer on lb1: haproxy (default) or nginx_flag
  LAB_DEBIAN   code name of the Debian release of its hosts (default bookworm)
  LAB_ENGINE   podman (default) or docker
  LAB_PULL     1: try to pull the base image; 0: never; unset: only where debootstrap is missing
  LAB_MIRROR   Debian mirror for debootstrap (default: its own)
"""


def parser() -> argparse.ArgumentParser:
    """All that can be typed."""
    top = argparse.ArgumentParser(
        prog="lab",
        description="Real servers for the demo and the tests: systemd containers reached over SSH.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _with_hosts(commands.add_parser("up", help="make, boot and wait for the hosts; repairs what is missing"))
    down = commands.add_parser("down", help="take the whole lab away")
    down.add_argument("--all", action="store_true", help="also the images, keys and logs")
    commands.add_parser("status", help="show the hosts")
    commands.add_parser("image", help="build the image of the hosts and print its name")
    commands.add_parser("inventory", help="write the inventory and print its path")
    commands.add_parser("kill", help="cut a host's power").add_argument("host", metavar="HOST")
    _with_hosts(commands.add_parser("start", help="boot hosts that were killed"), at_least="+")
    _with_hosts(commands.add_parser("reset", help="make hosts anew, nothing deployed"))
    execute = commands.add_parser("exec", help="run a command as root on a host: lab exec app1 -- systemctl status")
    execute.add_argument("host", metavar="HOST")
    execute.add_argument("argv", metavar="ARGUMENT", nargs="+")
    site = commands.add_parser("site", help="the demo site's repository").add_subparsers(dest="action", required=True)
    site.add_parser("push", help="build it anew and serve it as git://load1/shop.git")
    return top


def _with_hosts(command: argparse.ArgumentParser, at_least: str = "*") -> None:
    command.add_argument("hosts", metavar="HOST", nargs=at_least)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; status 1 after a failure that was understood."""
    options = parser().parse_args(arguments)
    talk = Talk()
    try:
        settings = from_environment(os.environ, Path(__file__).resolve().parents[2])
        lab = Lab(settings, Engine(settings), talk)
        _COMMANDS[options.command](lab, options)
    except LabError as error:
        talk.say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        talk.say("interrupted; `lab up` goes on from here, `lab down` takes all away")
        return 130
    return 0


def _status(lab: Lab, _options: argparse.Namespace) -> None:
    print(table(lab.status()))


def table(lines: Sequence[HostStatus]) -> str:
    """The hosts, one a line."""
    rows = [("HOST", "ADDRESS", "CONTAINER", "SYSTEMD", "SINCE", "GROUPS"), *map(_row, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(widths[n]) for n, cell in enumerate(row)).rstrip() for row in rows)


def _row(line: HostStatus) -> tuple[str, str, str, str, str, str]:
    container = line.container
    state = "absent" if container is None else container.status
    since = container.started_at[:19] if container is not None and container.running else "-"
    return (line.host.name, line.host.address, state, line.system or "-", since, ",".join(line.host.groups))


def _print_image(lab: Lab, _options: argparse.Namespace) -> None:
    print(lab.image())


def _print_inventory(lab: Lab, _options: argparse.Namespace) -> None:
    print(lab.inventory())


def _push(lab: Lab, _options: argparse.Namespace) -> None:
    lab.push_site()


_COMMANDS: dict[str, Callable[[Lab, argparse.Namespace], None]] = {
    "up": lambda lab, options: lab.up(options.hosts),
    "down": lambda lab, options: lab.down(everything=options.all),
    "status": _status,
    "image": _print_image,
    "inventory": _print_inventory,
    "kill": lambda lab, options: lab.kill(options.host),
    "start": lambda lab, options: lab.start(options.hosts),
    "reset": lambda lab, options: lab.reset(options.hosts),
    "exec": lambda lab, options: lab.execute(options.host, options.argv),
    "site": _push,
}

if __name__ == "__main__":
    sys.exit(main())
