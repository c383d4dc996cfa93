# Thin names for the commands in CONTRIBUTING.md.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# One thing after another, also under `make -j`: there are two cores. `make test` says what may go side by side.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif

PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
STAMP := .venv/.stamp
COLLECTIONS := .cache/collections
LINK := $(COLLECTIONS)/ansible_collections/slipway/django

# The checkout is the collection, and nothing is read from or written to the home folder.
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/$(COLLECTIONS)
export ANSIBLE_HOME := $(CURDIR)/.cache/ansible
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 20

# --- set-up ---------------------------------------------------------------------------------------------------------

.PHONY: venv lock system-packages clean
venv: $(STAMP) $(LINK) ## .venv with the pinned development dependencies, and the collection's link

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || lab/bin/system-packages python3-venv
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the development dependencies into .venv (half a minute)"
	$(PIP) install $$($(BIN)/python tools/lock.py bootstrap)
	$(PIP) install --group dev
	touch $@

# ansible_collections/slipway/django, as Ansible looks for it.
$(LINK):
	mkdir -p $(@D)
	ln -sfn ../../../.. $@

lock: venv ## pin in pyproject.toml what the chosen dependencies bring
	$(BIN)/python tools/lock.py write

system-packages: ## the Debian packages of the lab and the tests (root or sudo)
	lab/bin/system-packages

clean: ## all that make made, but for the lab
	rm -rf .venv .cache .ansible .hypothesis .pytest_cache dist docs/site tests/output

# --- lint -----------------------------------------------------------------------------------------------------------

.PHONY: lint yamllint ruff mypy ansible-lint docs-lint changelog-lint sanity format
lint: yamllint ruff mypy ansible-lint docs-lint changelog-lint sanity ## all gates but the tests

yamllint: venv
	yamllint --strict .

ruff: venv
	ruff check .
	ruff format --check .

format: venv ## what ruff can mend by itself
	ruff check --fix .
	ruff format .

mypy: venv
	mypy -p ansible_collections.slipway.django.plugins
	mypy --python-version 3.11 -p ansible_collections.slipway.django.tests -p slipway_lab -p shopload
	mypy --python-version 3.11 tools benchmarks

ansible-lint: venv
	ansible-lint --strict

docs-lint: venv
	antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .

changelog-lint: venv
	antsibull-changelog lint

sanity: venv
	$(BIN)/python tools/ansible_test.py sanity

# --- test -----------------------------------------------------------------------------------------------------------

.PHONY: test-unit
# Many tests kill a writer between two fsyncs: on a disk that others use that takes minutes, in memory seconds. Programs
# must be allowed to run there, as they are not in Docker's /dev/shm.
MEMORY = $(shell probe=/dev/shm/slipway-$$$$; cp /bin/true $$probe && $$probe && echo /dev/shm; rm -f $$probe)
test-unit: venv ## unit tests, below a minute
	PYTEST_DEBUG_TEMPROOT=$(or $(MEMORY),/tmp) pytest -n 2 --dist worksteal tests/unit

# Most of the time is spent waiting for SSH: two labs, one after the other's work, keep both cores busy. What asserts
# figures of a load comes last in its row. Molecule wants servers that nothing was provisioned on: it comes first.
TOGETHER = $(MAKE) -j 2 SIDE_BY_SIDE=1
SECOND_LAB = LAB_NAME=$(or $(LAB_NAME),slipway)-2 LAB_SUBNET=$(or $(SECOND_SUBNET),10.89.78)
# What is marked long is run by `make proof`: the parts of it are in Molecule's and the integration tests.
FIRST_ROW = check_and_refusals configuration preflight lease broken_release zero_loss_control
SECOND_ROW = secrets zero_loss

.PHONY: test test-first-row test-second-row test-molecule test-integration test-e2e proof
test: ## all of it: lint, unit, and on servers of the lab Molecule, integration, end to end
	$(MAKE) system-packages
	$(MAKE) -j 3 SIDE_BY_SIDE=1 --output-sync=target lab-image lint
	$(MAKE) test-unit
	$(TOGETHER) test-first-row test-second-row

test-first-row: venv
	tools/with-lab $(MAKE) SIDE_BY_SIDE= test-molecule test-e2e E2E="$(FIRST_ROW)" MARKED="not long"

test-second-row: venv
	$(SECOND_LAB) tools/with-lab $(MAKE) SIDE_BY_SIDE= test-integration test-e2e E2E="$(SECOND_ROW)" MARKED="not long"

# Molecule remembers from an interrupted run that its servers are prepared, and these may be other servers.
test-molecule: venv system-packages ## each role on servers of the lab
	rm -rf "$$ANSIBLE_HOME"/tmp/molecule.*
	tools/with-lab molecule test --all --no-command-borders

test-integration: venv system-packages ## modules against the real programs
	tools/with-lab pytest -n $(or $(JOBS),2) --dist loadfile --durations 30 --timeout 300 -m "$(MARKED)" tests/integration

test-e2e: venv system-packages ## whole deployments, good and broken; E2E="lease secrets" names some of them
	tools/with-lab pytest --durations 30 --timeout 1200 -m "$(MARKED)" $(or $(E2E:%=tests/e2e/test_%.py),tests/e2e)

proof: venv system-packages ## the long campaigns, whose results lie in docs/proof
	tools/with-lab sh -c 'pytest --timeout 1200 -m long tests/integration tests/e2e && pytest --timeout 7200 tests/proof'

.PHONY: benchmark-backup
benchmark-backup: venv system-packages ## CPU seconds of a backup against pg_dump and postgresql_db
	benchmarks/backup/run --write benchmarks/backup/results.md

.PHONY: benchmark-migrations
benchmark-migrations: venv system-packages ## CPU seconds of judging migrations against manage.py and a linter
	benchmarks/migrations/run --write benchmarks/migrations/results.md

.PHONY: benchmark-zero-loss
benchmark-zero-loss: venv system-packages ## requests lost by a deployment and by the runbooks' ways, on servers of the lab
	tools/with-lab benchmarks/zero_loss/run --write benchmarks/zero_loss/results.md

.PHONY: benchmark-gate
benchmark-gate: venv ## wall time and CPU seconds of 20 HTTP checks against tasks of uri
	benchmarks/gate/run --write benchmarks/gate/results.md

# --- lab and demo ---------------------------------------------------------------------------------------------------

.PHONY: lab-image lab-up lab-down lab-status demo demo-down
lab-image: system-packages ## what the lab's servers are made from; two minutes, once
	lab/bin/lab image

lab-up: system-packages ## six servers: balancer, three application servers, database, load
	lab/bin/lab up

lab-down: ## stop and remove the lab's servers
	lab/bin/lab down

lab-status: ## what runs, and whether it answers
	lab/bin/lab status

demo: venv system-packages ## set up everything and deploy v1, then v2 under load
	lab/bin/demo

demo-down: ## remove all that the demo made
	lab/bin/demo down

# --- build ----------------------------------------------------------------------------------------------------------

.PHONY: build docs
build: venv ## the collection's archive, in dist
	ansible-galaxy collection build --force --output-path dist

docs: venv ## HTML pages of all modules, roles and the callback, in docs/site
	rm -rf docs/site && mkdir -p -m 0700 docs/site
	antsibull-docs sphinx-init --lenient --use-current --dest-dir docs/site slipway.django
	docs/site/build.sh
	@echo "docs/site/build/html/index.html"
