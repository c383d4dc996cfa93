# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a whole: up, down, and what is done to one host."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from . import inventory, keys, plan, process, site
from .engine import IMAGE_LABEL, Container, Engine, create_arguments
from .errors import LabError
from .image import ensure_image
from .locking import alone
from .settings import Host, Settings
from .shares import share_fairly
from .talk import Talk

_READY_LIMIT_S = 90.0
_T = TypeVar("_T")
_R = TypeVar("_R")


def _listens(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1):
            return True
    except OSError:
        return False


@dataclass(frozen=True)
class HostStatus:
    """One line of `status`."""

    host: Host
    container: Container | None
    system: str
    """What systemd says: running, degraded (and which units), or empty where nothing runs."""


class Lab:
    """What the commands do, in the words of one lab."""

    def __init__(self, settings: Settings, engine: Engine, talk: Talk) -> None:
        self._settings = settings
        self._engine = engine
        self._talk = talk

    # -- whole -------------------------------------------------------------------------------------------------------

    def image(self) -> str:
        """Build the image when it is missing; return its name."""
        return self._image()

    def up(self, names: Sequence[str]) -> None:
        """Bring the named hosts (all when none is named) to the state: there, booted, reached over SSH."""
        hosts = self._settings.chosen(names)
        with self._alone():
            self._up(hosts)

    def _up(self, hosts: Sequence[Host]) -> None:
        begun = time.monotonic()
        image = self._image()
        made = keys.ensure_keys(self._settings)
        self._ensure_network()
        self._write_inventory(made)
        containers = self._engine.containers(lab=self._settings.name)
        plans = plan.plan_up(self._settings, hosts, containers, image)
        files = keys.archive(made)
        if made.fresh:
            self._renew_keys(containers, files)
        stale = [one.host.name for one in plans if one.stale]
        if stale:
            names = " ".join(stale)
            self._talk.say(f"{names}: kept, but made by an older lab; `lab reset {names}` renews, nothing deployed")
        self._each([one for one in plans if one.changed], lambda one: self._apply(one, image, files))
        share_fairly()
        self._each(hosts, self._wait_ready)
        self._talk.say(f"ready in {time.monotonic() - begun:.1f} s: {', '.join(host.name for host in hosts)}")
        if any(host.name == site.HOST for host in hosts):
            site.push(self._settings, self._engine, self._talk)

    def down(self, *, everything: bool) -> None:
        """Take all of this lab away; with everything, the images, keys and logs too, unless another lab needs them."""
        with self._alone():
            removed = [container.name for container in self._engine.containers(lab=self._settings.name)]
            self._each(removed, self._remove)
            if self._engine.network_subnet() is not None:
                self._engine.run("network", "rm", self._settings.name)
                self._talk.say(f"network {self._settings.name} removed")
            self._close_connections(self._settings.hosts)
            shutil.rmtree(inventory.control_folder(self._settings), ignore_errors=True)
            shutil.rmtree(self._settings.state, ignore_errors=True)
            if everything:
                self._remove_shared()
        self._talk.say(f"{self._settings.name}: {len(removed)} hosts removed, nothing of it is left")

    def reset(self, names: Sequence[str]) -> None:
        """Make the named hosts (all when none is named) anew: as after the first `up`, nothing deployed."""
        hosts = self._settings.chosen(names)
        with self._alone():
            there = {container.name for container in self._engine.containers(lab=self._settings.name)}
            self._each([host.container for host in hosts if host.container in there], self._remove)
            self._close_connections(hosts)
            self._up(hosts)

    def status(self) -> tuple[HostStatus, ...]:
        """What is there, host by host."""
        seen = {container.name: container for container in self._engine.containers(lab=self._settings.name)}
        return tuple(self._each(self._settings.hosts, lambda host: self._status(host, seen.get(host.container))))

    # -- one host ----------------------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """Cut one host's power: no process of it gets a word in. It stays dead until `start`."""
        host = self._settings.host(name)
        seen = {one.name: one for one in self._engine.containers(lab=self._settings.name)}.get(host.container)
        if seen is None:
            raise LabError(f"{name} does not exist; `lab up` makes it")
        if not seen.running:
            self._talk.say(f"{name} is dead already ({seen.status})")
            return
        self._engine.run("kill", "--signal=KILL", host.container)
        self._talk.say(f"{name} is killed; `lab start {name}` boots it again with the same files")

    def start(self, names: Sequence[str]) -> None:
        """Boot hosts that were killed, with their files as they were, and wait until they are reached."""
        hosts = self._settings.chosen(names)
        seen = {container.name for container in self._engine.containers(lab=self._settings.name)}
        missing = [host.name for host in hosts if host.container not in seen]
        if missing:
            raise LabError(f"{', '.join(missing)} does not exist; `lab up` makes it")
        for host in hosts:
            self._engine.run("start", host.container)
        self._each(hosts, self._wait_ready)

    def execute(self, name: str, command: Sequence[str]) -> None:
        """Become the given command, run as root on one host. Does not return."""
        host = self._settings.host(name)
        terminal = ("--tty",) if os.isatty(0) and os.isatty(1) else ()
        argv = self._engine.argv("exec", "--interactive", *terminal, host.container, *command)
        os.execvpe(argv[0], argv, {**os.environ, **self._engine.environment})

    def push_site(self) -> bool:
        """Build the demo site's repository anew and serve it."""
        return site.push(self._settings, self._engine, self._talk)

    def inventory(self) -> str:
        """Write the inventory; return its path."""
        return str(self._write_inventory(keys.ensure_keys(self._settings)))

    # -- parts -------------------------------------------------------------------------------------------------------

    def _ensure_network(self) -> None:
        subnet = self._engine.network_subnet()
        if subnet is None:
            self._create_network()
            self._talk.say(f"network {self._settings.name} is {self._settings.network}")
        elif subnet != self._settings.network:
            raise LabError(
                f"network {self._settings.name} is {subnet}, wanted {self._settings.network}; it was left as it is. "
                "Give LAB_SUBNET its value, or remove that lab: `lab down`"
            )

    def _create_network(self) -> None:
        try:
            self._engine.create_network()
        except LabError as error:
            remedy = "If the subnet is taken, choose another: LAB_SUBNET, three octets"
            raise LabError(f"the network {self._settings.network} can't be made. {remedy}. {error}") from error

    def _write_inventory(self, made: keys.Keys) -> str:
        host_key = made.host.with_suffix(".pub").read_text(encoding="utf-8")
        return str(inventory.write(self._settings, made, host_key))

    def _apply(self, one: plan.HostPlan, image: str, files: bytes) -> None:
        host = one.host
        if one.remove:
            self._remove(host.container)
        if one.create:
            self._engine.run(*create_arguments(self._settings, host, image))
            self._engine.run("cp", "-", f"{host.container}:/etc/ssh", stdin=files)
        self._engine.run("start", host.container)
        self._talk.say(f"{host.name} {host.address}: {'created and ' if one.create else ''}started ({one.reason})")

    def _renew_keys(self, containers: Iterable[Container], files: bytes) -> None:
        """Lay new keys into hosts that have older ones (the folder of the keys was removed under a living lab)."""
        for container in containers:
            self._engine.run("cp", "-", f"{container.name}:/etc/ssh", stdin=files)
            if container.running:
                self._engine.run("exec", container.name, "systemctl", "reload-or-restart", "ssh.service")
            self._talk.say(f"{container.name} has the new keys")

    def _remove(self, container: str) -> None:
        self._engine.remove(container)
        self._talk.say(f"{container} removed")

    def _wait_ready(self, host: Host) -> None:
        """Wait until the host's systemd, asked over SSH as the deploy user, says that the boot is over."""
        begun = time.monotonic()
        last = ""
        while time.monotonic() - begun < _READY_LIMIT_S:
            if _listens(host.address):
                asked = self._ssh(host, "systemctl is-system-running --wait; sudo -n true && echo sudo")
                words = asked.stdout.split()
                if words[-1:] == ["sudo"] and words[0] in {"running", "degraded"}:
                    self._report_ready(host, words[0], time.monotonic() - begun)
                    return
                last = (asked.stderr.strip() or asked.stdout.strip())[-300:]
            time.sleep(0.2)
        seen = last or "nothing listens on port 22"
        raise LabError(
            f"{host.name} ({host.address}) was not ready within {_READY_LIMIT_S:g} s: {seen}. Look with "
            f" `{self._settings.engine} logs {host.container}` and `lab exec {host.name} -- journalctl -b`"
        )

    def _report_ready(self, host: Host, state: str, seconds: float) -> None:
        if state == "degraded":
            state += f" ({self._failed_units(host)} failed)"
        self._talk.say(f"{host.name} {host.address}: {state} after {seconds:.1f} s")

    def _failed_units(self, host: Host) -> str:
        listed = self._engine.run(
            "exec", host.container, "systemctl", "list-units", "--failed", "--plain", "--no-legend"
        )
        return ", ".join(line.split()[0] for line in listed.splitlines() if line.strip())

    def _ssh(self, host: Host, command: str) -> process.Completed:
        made = keys.ensure_keys(self._settings)
        return process.run(
            [
                "ssh",
                "-F/dev/null",
                *inventory.ssh_arguments(self._settings),
                f"-i{made.user}",
                f"{keys.USER}@{host.address}",
                command,
            ],
            timeout_s=_READY_LIMIT_S,
        )

    def _status(self, host: Host, container: Container | None) -> HostStatus:
        if container is None or not container.running:
            return HostStatus(host, container, "")
        state = self._engine.try_run("exec", host.container, "systemctl", "is-system-running").stdout.strip()
        return HostStatus(host, container, f"{state}: {self._failed_units(host)}" if state == "degraded" else state)

    def _close_connections(self, hosts: Iterable[Host]) -> None:
        """End the SSH connections that Ansible keeps open: their hosts are gone."""
        for host in hosts:
            path = inventory.control_socket(self._settings, host.address)
            if path.exists():
                process.run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", host.address])

    def _remove_shared(self) -> None:
        others = {container.lab for container in self._engine.containers()} - {self._settings.name}
        if others:
            self._talk.say(f"the images stay: lab {', '.join(sorted(others))} runs from them")
        else:
            self._remove_unused_images()
        if not any((self._settings.cache / other).exists() for other in others):
            shutil.rmtree(self._settings.cache, ignore_errors=True)

    def _remove_unused_images(self) -> None:
        for name in self._engine.images():
            removed = self._engine.try_run("rmi", name, timeout_s=120)
            # Somebody may run containers of their own from it.
            self._talk.say(
                f"image {name} {'removed' if removed.returncode == 0 else f'stays: {removed.stderr.strip()}'}"
            )
        # A build that was broken off leaves its last step without a name.
        self._engine.run("image", "prune", "--force", "--filter", f"label={IMAGE_LABEL}", timeout_s=120)

    def _each(self, items: Iterable[_T], work: Callable[[_T], _R]) -> list[_R]:
        """Do it for all at once; the first failure is raised after all have ended."""
        items = list(items)
        if not items:
            return []
        with ThreadPoolExecutor(max_workers=len(items)) as pool:
            futures = [pool.submit(work, item) for item in items]
        return [future.result() for future in futures]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with alone(self._settings.cache / f"{self._settings.name}.lock", self._talk):
            yield

    def _image(self) -> str:
        # All labs of this checkout build into one place: the second finds what the first has built.
        with alone(self._settings.cache / "image.lock", self._talk):
            return ensure_image(self._settings, self._engine, self._talk, os.environ)
