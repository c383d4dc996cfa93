# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback C(deployment_log) in real runs of ansible-playbook."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._writer import read

TOP = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")

# A known mark for each way in.
VARIABLE = "mark-of-a-variable-7f3a"
EXTRA = "mark-of-an-extra-variable-91c2"
FACT = "mark-of-a-dsn-55e0"
HIDDEN = "mark-behind-no-log-c4d8"
VAULTED = "mark-out-of-the-vault-08ab"
MARKS = (VARIABLE, EXTRA, FACT, HIDDEN, VAULTED)

INVENTORY = f"""\
all:
  vars:
    ansible_connection: local
    ansible_python_interpreter: {sys.executable}
    db_password: {VARIABLE}
  children:
    app:
      hosts:
        app1:
        app2:
        app3:
    away:
      hosts:
        away1:
          ansible_connection: ssh
          ansible_host: 127.0.0.1
          ansible_port: 1
"""
CONFIG = """\
[defaults]
callbacks_enabled = slipway.django.deployment_log
inventory = hosts.yml
vault_password_file = vault-password
[callback_deployment_log]
path = log
"""


@dataclass(frozen=True)
class Run:
    """A run that has ended, and its log."""

    status: int
    output: str
    directory: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        content = read((self.directory / "events.jsonl").read_bytes())
        assert content.trouble is None
        assert content.head == self.summary["head"]["hash"]
        return list(content.records)

    @property
    def summary(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.directory / "summary.json").read_text())
        return document

    def of(self, event: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == event]


class Project:
    """A user's project with a playbook of one test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "ansible.cfg").write_text(CONFIG)
        (path / "hosts.yml").write_text(INVENTORY)
        (path / "vault-password").write_text("not a secret of anybody")

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
            "ANSIBLE_HOME": str(self.path / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }

    def start(
        self, playbook: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        (self.path / "deploy.yml").write_text(playbook)
        return subprocess.Popen(
            [str(PLAYBOOK), "deploy.yml", *arguments],
            cwd=self.path,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str]) -> Run:
        try:
            output, _nothing = process.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _nothing = process.communicate()
            pytest.fail(f"the run did not end: {output}")
        return Run(process.returncode, output, (self.path / "log" / "latest").resolve())

    def run(self, playbook: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Run:
        return self.end(self.start(playbook, arguments, environment))

    def vault(self, plaintext: str, name: str) -> str:
        completed = subprocess.run(
            [str(PLAYBOOK.with_name("ansible-vault")), "encrypt_string", plaintext, "--name", name],
            cwd=self.path,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return completed.stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


SECRETS = f"""\
- name: Fail in each way that shows a secret
  hosts: app1
  gather_facts: false
  vars_files: [vaulted.yml]
  vars:
    deployment_phase: rollout
    site_environment:
      DATABASE_URL: "postgres://shop:{FACT}@db1/shop"
  tasks:
    - name: Hidden
      ansible.builtin.fail:
        msg: "{HIDDEN}"
      no_log: true
      ignore_errors: true

    - name: Hidden in a loop
      ansible.builtin.command: "sh -c 'echo {{{{ item }}}}; false'"
      loop: ["{HIDDEN}"]
      no_log: true
      ignore_errors: true

    - name: "Named after {{{{ db_password }}}} and {{{{ api_token }}}}"
      ansible.builtin.fail:
        msg: "{{{{ db_password }}}} {{{{ api_token }}}} {{{{ site_environment.DATABASE_URL }}}} {{{{ ordinary_name }}}}"
      ignore_errors: true

    - name: Shown by a program
      ansible.builtin.command: "sh -c 'echo {{{{ db_password }}}} >&2; exit 3'"
      ignore_errors: true

    - name: In an error of a template
      ansible.builtin.debug:
        msg: "{{{{ (db_password ~ api_token) | int(base='x') }}}}"
      ignore_errors: true

    - name: In a loop
      ansible.builtin.fail:
        msg: "{{{{ item }}}}"
      loop: ["{{{{ db_password }}}}", "{{{{ api_token | b64encode }}}}", "{{{{ db_password | urlencode }}}}"]
      ignore_errors: true

    - name: At last
      ansible.builtin.fail:
        msg: "{{{{ db_password }}}}"
      no_log: true
"""


@pytest.mark.timeout(180)
def test_no_secret_is_in_any_file_of_the_log(project: Project) -> None:
    (project.path / "vaulted.yml").write_text(project.vault(VAULTED, "ordinary_name"))
    (project.path / "extra.json").write_text(json.dumps({"api_token": EXTRA}))
    run = project.run(SECRETS, "-vvv", "-e", "@extra.json", environment={"DEPLOYMENT_LOG_DETAIL": "all"})
    assert run.status == 2
    assert len(run.of("task.result")) == 7, run.output
    files = [path for path in (project.path / "log").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        text = path.read_text()
        assert [mark for mark in MARKS if mark in text] == [], path
        assert "redacted" in text
        assert path.stat().st_mode & 0o007 == 0
    log_lines = run.output[run.output.index("DEPLOYMENT LOG") :]
    assert [mark for mark in MARKS if mark in log_lines] == []
    assert "app1: At last: censored, the task has no_log" in log_lines
    # The names of the tasks are told, so somebody can look further.
    assert {failure["task"] for failure in run.summary["failures"]} >= {"Hidden", "Shown by a program", "At last"}


ROLLOUT = """\
- name: Open
  hosts: localhost
  gather_facts: false
  vars:
    deployment_phase: open
  tasks:
    - name: Take the lease
      slipway.django.deployment:
        state: opened
        root: "{{ playbook_dir }}/root"
        site: shop
        version: v2
        commit: 3f2a9c1d4e5f
        release: 3f2a9c1d4e5f-0a1b2c3d
        hosts: "{{ groups.app }}"
        actor: anna
      register: opened

- name: Roll
  hosts: app
  serial: 1
  gather_facts: false
  vars:
    deployment_phase: rollout
  tasks:
    - name: Drain
      ansible.builtin.command: "true"

    - name: Look
      vars:
        deployment_phase: gate
      block:
        - name: Gate
          ansible.builtin.command: "false"
          register: gate
          retries: 1
          delay: 0
          until: gate.rc == 0
          when: inventory_hostname == "app2"
      rescue:
        - name: Rescue
          ansible.builtin.command: "true"

- name: Lose a host
  hosts: away
  gather_facts: false
  ignore_unreachable: true
  vars:
    deployment_phase: watch
  tasks:
    - name: Reach it
      ansible.builtin.ping:

- name: Close
  hosts: localhost
  gather_facts: false
  vars:
    deployment_phase: close
  tasks:
    - name: Write the verdict
      slipway.django.deployment:
        state: closed
        root: "{{ playbook_dir }}/root"
        site: shop
        id: "{{ opened.deployment.id }}"
        token: "{{ opened.deployment.token }}"
        verdict: completed_with_errors
"""


@pytest.mark.timeout(180)
def test_a_deployment_in_batches_with_a_rescue_a_retry_and_a_lost_host(project: Project) -> None:
    (project.path / "root").mkdir()
    run = project.run(ROLLOUT)
    assert run.status == 0, run.output
    assert "WARNING" not in run.output.replace("[WARNING]: Found variable using reserved name", "")
    deployment = run.of("deployment.opened")[0]["deployment_id"]
    assert {record["deployment_id"] for record in run.of("task.result")} == {None, deployment}
    assert (project.path / "log" / "by-deployment" / deployment / run.directory.name).resolve() == run.directory
    rolls = [record["play"] for record in run.of("play.started") if record["play"]["name"] == "Roll"]
    assert [(play["n"], play["batch"]) for play in rolls] == [(2, 1), (2, 2), (2, 3)]
    drains = [record for record in run.of("task.result") if record["task"]["name"] == "Drain"]
    assert [(record["host"], record["phase"], record["task"]["n"]) for record in drains] == [
        (host, "rollout", 2) for host in ("app1", "app2", "app3")
    ]
    gate = next(record for record in run.of("task.result") if record["task"]["name"] == "Gate")
    assert (gate["host"], gate["status"], gate["phase"], gate["rescuable"]) == ("app2", "failed", "gate", True)
    assert run.of("task.retry")[0]["host"] == "app2"
    lost = next(record for record in run.of("task.result") if record["status"] == "unreachable")
    assert (lost["host"], lost["ignored"]) == ("away1", True)
    assert [phase["name"] for phase in run.summary["phases"]] == ["other", "open", "rollout", "gate", "watch", "close"]
    assert (run.summary["verdict"], run.summary["status"]) == ("completed_with_errors", "succeeded")
    shown = run.output[run.output.index("DEPLOYMENT LOG") :]
    assert f"release   v2 (3f2a9c1d4e5f-0a1b2c3d), {deployment}" in shown
    # The words of a command's failure are not the same in all versions of ansible-core.
    assert re.search(r"app2: Gate: .*non-zero return code.* \(a rescue followed\)$", shown, re.MULTILINE)
    assert "away1: Reach it: " in shown
    assert f"log       {run.directory}/events.jsonl" in shown


@pytest.mark.timeout(180)
def test_check_mode_is_told(project: Project) -> None:
    (project.path / "root").mkdir()
    run = project.run(ROLLOUT, "--check", "--diff")
    assert run.of("run.started")[0]["check_mode"] is True
    assert "(check mode: nothing was changed)" in run.output
    assert list((project.path / "root").iterdir()) == []


WAITING = """\
- name: Wait
  hosts: app1
  gather_facts: false
  vars:
    deployment_phase: watch
  tasks:
    - name: Begin
      ansible.builtin.command: "true"

    - name: Linger
      ansible.builtin.command: sleep 30
"""


def lingering(project: Project, **arguments: Any) -> subprocess.Popen[str]:
    """Start a run and return when its log says that the second task is near."""
    process = project.start(WAITING, **arguments)
    deadline = time.monotonic() + 60
    events = project.path / "log" / "latest" / "events.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if events.exists() and '"name":"Begin"' in events.read_text():
            # A fork for the task that lingers; an early signal would be fine too.
            time.sleep(1)
            return process
        time.sleep(0.05)
    raise AssertionError(f"the run did not come that far: {process.communicate()[0]}")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_leaves_a_last_word_and_ends_the_run_as_before(project: Project, number: signal.Signals) -> None:
    process = lingering(project)
    process.send_signal(number)
    run = project.end(process)
    # As without the log: 99 for an interrupted run, or the signal itself.
    assert run.status in (99, 130, -number)
    assert [record["by"] for record in run.of("run.interrupted")] == [number.name]
    assert run.records[-1]["event"] == "run.interrupted"
    assert (run.summary["status"], run.summary["verdict"]) == ("interrupted", "interrupted")
    assert "deployment log" not in run.output


@pytest.mark.timeout(180)
def test_a_run_killed_with_sigkill_is_told_by_the_next(project: Project) -> None:
    process = lingering(project)
    os.killpg(process.pid, signal.SIGKILL)
    dead = project.end(process).directory
    run = project.run("- {name: Nothing, hosts: app1, gather_facts: false}\n")
    assert run.status == 0, run.output
    assert f"note      run {dead.name} died without a word in phase watch, last seen" in run.output
    assert run.of("log.note")[0]["msg"].startswith(f"run {dead.name} died")
    content = read((dead / "events.jsonl").read_bytes())
    assert content.trouble is None
    assert content.records[-1]["event"] == "run.abandoned"


@pytest.mark.timeout(180)
def test_a_log_that_can_not_be_written_is_one_warning_and_no_more(project: Project) -> None:
    (project.path / "log").write_text("a file stands in the way")
    (project.path / "root").mkdir()
    (project.path / "deploy.yml").write_text(ROLLOUT)
    done = subprocess.run(
        [str(PLAYBOOK), "deploy.yml"],
        cwd=project.path,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("The deployment log has ended, the deployment goes on") == 1
    assert "DEPLOYMENT LOG" not in done.stdout


@pytest.mark.timeout(180)
def test_a_play_without_hosts_is_recorded(project: Project) -> None:
    run = project.run("- {name: Nobody, hosts: nobody_at_all, gather_facts: false}\n")
    assert run.of("play.no_hosts")[0]["msg"] == "a play found no host to run on"
    assert "note      a play found no host to run on" in run.output


@pytest.mark.timeout(180)
def test_without_being_enabled_it_does_nothing(project: Project) -> None:
    (project.path / "deploy.yml").write_text("- {name: Nothing, hosts: app1, gather_facts: false}\n")
    subprocess.run(
        [str(PLAYBOOK), "deploy.yml"],
        cwd=project.path,
        env={**project.environment, "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.tree_of_nobody"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert not (project.path / "log").exists()
