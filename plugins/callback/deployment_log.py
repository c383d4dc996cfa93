# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns what Ansible hands to a callback into events of our own, nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
name: deployment_log
type: aggregate
short_description: The story of a deployment, written as it happens
version_added: 0.1.0
author: slipway.django contributors (@slipway)
description:
  - Writes one JSON object a line for each thing that happens in a run, into a folder of its own below O(path), and at
    the end a summary, as C(summary.json) and as a few lines on the terminal, with release, verdict, time of each
    phase and failures.
  - Each line is written at once and bears the digest of the line before. So a log that was cut by a crash is readable
    up to there, and a line that was changed, removed or moved is noticed. That the end was cut off, or that all was
    written anew, is noticed only against a head (C(head) in C(summary.json)) that was kept elsewhere.
  - Secrets stay out. Of a result only status, return code, counts, message and what the modules of this collection
    wrote for the log (RV(ignore:deployment_log)) are recorded, and of a task with C(no_log) only its status. Values
    of variables with names such as C(db_password), and vaulted values, are replaced wherever they turn up, and so is
    what looks like a secret. A value of fewer than six characters is not replaced.
  - A play, block, role or task tells its phase by the variable C(deployment_phase), which must not be a template.
  - The log of a run that died without a word is completed by the next run, which also says so.
  - Trouble with the log is a warning. It never ends or delays a deployment.
requirements:
  - to be enabled in the configuration (C(callbacks_enabled = slipway.django.deployment_log))
options:
  path:
    description: Directory of the logs. A relative path in a configuration file starts at that file.
    type: path
    default: ./.slipway/log
    ini:
      - section: callback_deployment_log
        key: path
    env:
      - name: DEPLOYMENT_LOG_PATH
  detail:
    description:
      - Which results are recorded beside failures, retries and what the modules of this collection say.
      - V(failures) are no others, V(changed) are those that changed something, V(all) are all.
    type: str
    default: changed
    choices: [failures, changed, all]
    ini:
      - section: callback_deployment_log
        key: detail
    env:
      - name: DEPLOYMENT_LOG_DETAIL
  durability:
    description:
      - After which events the file is forced to the disk. It protects from a crash of the controller's machine; a
        crash of Ansible alone loses nothing.
      - V(boundary) is after starts and ends of runs and phases, failures, and what the modules of this collection say.
    type: str
    default: boundary
    choices: [none, boundary, event]
    ini:
      - section: callback_deployment_log
        key: durability
    env:
      - name: DEPLOYMENT_LOG_DURABILITY
  file_mode:
    description: Mode of the files, octal. Who may read a file may enter its directory.
    type: str
    default: "0640"
    ini:
      - section: callback_deployment_log
        key: file_mode
    env:
      - name: DEPLOYMENT_LOG_FILE_MODE
"""

import atexit
import functools
import getpass
import os
import platform
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as core_version
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._events import (
    Event,
    HostStarted,
    Interrupted,
    NoHosts,
    Outcome,
    PlayStarted,
    Retried,
    RunFinished,
    RunStarted,
    Status,
    TaskStarted,
)
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._log import RunLog, file_mode

PHASE = "deployment_phase"
# Built-in variables that hold no secrets of their own, or the same ones once more for every host.
NOT_WALKED = frozenset(("hostvars", "groups", "group_names", "vars", "ansible_facts", "omit", "playbook_dir"))

Hook = TypeVar("Hook", bound=Callable[..., None])


def guarded(hook: Hook) -> Hook:
    """Let no error of the log reach the deployment: it is one warning, and then the log is silent."""

    @functools.wraps(hook)
    def call(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        if self.broken:
            return
        try:
            hook(self, *args, **kwargs)
        except Exception as error:  # whatever it is, a log is no reason to leave a site half deployed
            self.broken = True
            self._warn(f"The deployment log has ended, the deployment goes on: {type(error).__name__}: {error}")

    return call  # type: ignore[return-value]


class Interruptions:
    """Writes a last word when SIGINT or SIGTERM ends the run, then lets the former handler act.

    No locks: a handler may interrupt the writing of a record. Then it waits for its turn until
    the record is written; a second signal meanwhile waits for nothing.
    """

    def __init__(self, last_word: Callable[[str], None]) -> None:
        self._last_word = last_word
        self._owner = os.getpid()
        self._busy = False
        self._pending: int | None = None
        self._former: dict[int, Any] = {}

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        for number, former in self._former.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, former)
        self._former = {}

    def busy(self) -> None:
        """A record is being written."""
        self._busy = True

    def free(self) -> None:
        """The record is written. A signal that came meanwhile gets its turn, on the main thread."""
        self._busy = False
        pending, self._pending = self._pending, None
        if pending is not None:
            os.kill(os.getpid(), pending)

    def _handle(self, number: int, frame: Any) -> None:
        if os.getpid() == self._owner:
            if self._busy and self._pending is None:
                self._pending = number
                return
            self._last_word(signal.Signals(number).name)
        self._pass_on(number, frame)

    def _pass_on(self, number: int, frame: Any) -> None:
        former = self._former.get(number, signal.SIG_DFL)
        if callable(former):
            former(number, frame)
        elif former == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


class CallbackModule(CallbackBase):
    """The adapter. What is done with events stands in C(plugin_utils/_deployment_log)."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "slipway.django.deployment_log"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.broken = False
        self._dying = False
        self._log: RunLog | None = None
        self._owner = os.getpid()
        self._interruptions: Interruptions | None = None
        self._seen_hosts: set[tuple[str, str]] = set()
        atexit.register(self._last_word, "the end of the process")

    def _warn(self, text: str) -> None:
        if self._dying:
            # In a signal handler: the display may be locked by what was interrupted.
            os.write(2, f"[WARNING]: {text}\n".encode())
        else:
            self._display.warning(text)

    def _handle(self, event: Event) -> None:
        # A forked worker has a copy of this object, and nothing to say.
        if self._log is None or self._interruptions is None or os.getpid() != self._owner:
            return
        self._interruptions.busy()
        try:
            self._log.handle(event)
        finally:
            self._interruptions.free()

    def _last_word(self, by: str) -> None:
        log = self._log
        if self.broken or log is None or os.getpid() != self._owner or log.recorder.finished:
            return
        self._dying = True
        try:
            log.handle(Interrupted(by))
        except Exception as error:  # on the way out nothing may stand in the way
            self.broken = True
            self._warn(f"The deployment log could not be ended: {error}")

    @guarded
    def v2_playbook_on_start(self, playbook: Any) -> None:
        name = str(getattr(playbook, "_file_name", "") or "playbook")
        arguments = context.CLIARGS
        self._log = RunLog(
            str(self.get_option("path")),
            SystemClock(),
            playbook=name,
            detail=str(self.get_option("detail")),
            durability=str(self.get_option("durability")),
            mode=file_mode(str(self.get_option("file_mode"))),
            warn=self._warn,
        )
        self._interruptions = Interruptions(self._last_word)
        self._interruptions.install()
        self._handle(
            RunStarted(
                playbook=name,
                actor=_actor(),
                controller=platform.node(),
                core_version=core_version,
                check_mode=bool(arguments.get("check")),
                limit=str(arguments.get("subset") or ""),
                tags=tuple(str(tag) for tag in arguments.get("tags") or () if tag != "all"),
                skip_tags=tuple(map(str, arguments.get("skip_tags") or ())),
                start_at_task=str(arguments.get("start_at_task") or ""),
            )
        )

    @guarded
    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._learn_secrets(play)
        own = play.get_vars()
        self._handle(PlayStarted(str(play._uuid), str(play.get_name()), _static(own.get(PHASE))))

    def _learn_secrets(self, play: Any) -> None:
        """Know the values of secret variables of this play's hosts before its first result."""
        manager = play.get_variable_manager()
        if self._log is None or manager is None:
            return
        redactor = self._log.recorder.redactor
        redactor.register_variables(dict(manager.extra_vars))
        redactor.register_all(_vaulted(manager.extra_vars))
        inventory = manager._inventory
        for host in inventory.get_hosts(play.hosts) if inventory is not None else ():
            known = (str(play._uuid), host.get_name())
            if known in self._seen_hosts:
                continue
            self._seen_hosts.add(known)
            variables = manager.get_vars(play=play, host=host, include_hostvars=False)
            walked = {name: value for name, value in variables.items() if name not in NOT_WALKED}
            redactor.register_variables(walked)
            redactor.register_all(_vaulted(walked))

    @guarded
    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - given by name
        self._task_started(task)

    @guarded
    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._task_started(task)

    @guarded
    def v2_playbook_on_cleanup_task_start(self, task: Any) -> None:
        self._task_started(task)

    def _task_started(self, task: Any) -> None:
        role = getattr(task, "_role", None)
        self._handle(
            TaskStarted(
                key=str(task._uuid),
                name=str(task.get_name()),
                action=str(task.action),
                role=None if role is None else str(role.get_name()),
                path=task.get_path(),
                phase=_static(task.get_vars().get(PHASE)),
            )
        )

    @guarded
    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._handle(HostStarted(str(host.get_name()), str(task._uuid)))

    @guarded
    def v2_runner_on_ok(self, result: Any) -> None:
        self._outcome(result, Status.OK)

    @guarded
    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._outcome(result, Status.FAILED, ignored=bool(ignore_errors))

    @guarded
    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._outcome(result, Status.UNREACHABLE, ignored=bool(getattr(_task(result), "ignore_unreachable", False)))

    @guarded
    def v2_runner_on_skipped(self, result: Any) -> None:
        self._outcome(result, Status.SKIPPED)

    @guarded
    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._outcome(result, Status.OK, item=True)

    @guarded
    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._outcome(result, Status.FAILED, item=True)

    @guarded
    def v2_runner_item_on_skipped(self, result: Any) -> None:
        self._outcome(result, Status.SKIPPED, item=True)

    @guarded
    def v2_runner_retry(self, result: Any) -> None:
        content = _content(result)
        self._handle(
            Retried(
                _host(result),
                str(_task(result)._uuid),
                _int(content.get("attempts")) or 0,
                _int(content.get("retries")),
            )
        )

    @guarded
    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._handle(NoHosts("a play found no host to run on"))

    @guarded
    def v2_playbook_on_no_hosts_remaining(self) -> None:
        self._handle(NoHosts("no host is left for the play"))

    @guarded
    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._log is None or self._interruptions is None:
            return
        self._handle(RunFinished({str(host): dict(stats.summarize(host)) for host in sorted(stats.processed)}))
        self._interruptions.restore()
        text = self._log.close()
        self._log = None
        self._display.display(text)

    def _outcome(self, result: Any, status: Status, *, ignored: bool = False, item: bool = False) -> None:
        content = _content(result)
        task = _task(result)
        if status is Status.OK and content.get("changed"):
            status = Status.CHANGED
        delegate = getattr(task, "delegate_to", None)
        self._handle(
            Outcome(
                host=_host(result),
                task=str(task._uuid),
                status=status,
                name=str(task.get_name()),
                msg=_msg(content),
                rc=_int(content.get("rc")),
                attempts=_int(content.get("attempts")),
                delegate=_static(delegate),
                ignored=ignored,
                rescuable=_rescuable(task),
                no_log=bool(content.get("_ansible_no_log")) or bool(getattr(task, "no_log", False)),
                item=item,
                facts=_facts(content),
            )
        )


# Since 2.19 a result has public names; the private ones go away in 2.23.
def _content(result: Any) -> Mapping[str, Any]:
    found = getattr(result, "result", None)
    content: Mapping[str, Any] = found if isinstance(found, Mapping) else result._result
    return content


def _task(result: Any) -> Any:
    task = getattr(result, "task", None)
    return task if task is not None else result._task


def _host(result: Any) -> str:
    host = getattr(result, "host", None)
    return str((host if host is not None else result._host).get_name())


def _int(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _static(value: Any) -> str | None:
    """A text that is no template; templates are not rendered for callbacks."""
    return str(value) if isinstance(value, str) and value and "{{" not in value else None


def _msg(content: Mapping[str, Any]) -> str:
    """The message of a result; a list of lines, as C(debug) and C(assert) may give, is joined."""
    msg = content.get("msg")
    if isinstance(msg, (list, tuple)):
        return "\n".join(map(str, msg))
    return "" if msg is None else str(msg)


def _facts(content: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What our modules wrote for the log. A loop's rounds bring their own, so its end brings none."""
    facts = content.get("deployment_log")
    return (facts,) if isinstance(facts, Mapping) else ()


def _rescuable(task: Any) -> bool:
    """Whether a C(rescue) stands around the task. Whether it really rescued is in Ansible's counts."""
    block = getattr(task, "_parent", None)
    while block is not None:
        if getattr(block, "rescue", None):
            return True
        block = getattr(block, "_parent", None)
    return False


def _vaulted(value: Any, depth: int = 0) -> Iterator[str]:
    """Texts that came out of a vault, whatever their names are."""
    if depth > 6:
        return
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _vaulted(inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _vaulted(inner, depth + 1)
    elif _is_vaulted(value):
        yield str(value)


def _is_vaulted(value: Any) -> bool:
    # A value that is encrypted by itself: EncryptedString since 2.19, AnsibleVaultEncryptedUnicode before.
    if hasattr(value, "_ciphertext"):
        return True
    return _VaultedValue is not None and isinstance(value, str) and _VaultedValue.is_tagged_on(value)


try:
    # A value from a file that is encrypted as a whole, since 2.19. No public name for it exists.
    from ansible.parsing.vault import VaultedValue as _VaultedValue
except ImportError:
    _VaultedValue = None


def _actor() -> str:
    """Who started the run on this machine. Whom AWX ran it for stands in what the deployment says."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
