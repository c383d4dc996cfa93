# Thin names for the commands in CONTRIBUTING.md.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# One thing after another, also under `make -j`: the lab exists once and there are two cores.
.NOTPARALLEL:

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
	rm -rf .venv .cache dist docs/site tests/output .ansible

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
	mypy -p ansible_collections.slipway.django.plugins -p ansible_collections.slipway.django.tests

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
test-unit: venv ## unit tests, below a minute
	pytest tests/unit
