# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` do all their own set-up, and can be run again cheaply.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all soak check format docs bench lock-python clean

BIN := .venv/bin

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## the host's packages and .venv, with a working .venv/bin/zaffre
	@scripts/setup

demo: setup ## build Zaffre Linux's container host, boot it, prove what it promises
	@scripts/demo

test: ## pure tests, those with real tools, those that boot a machine: all but the long ones
	@scripts/setup tests
	@$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder $(PYTEST_FLAGS)

test-all: ## the long tests too: kubelet from nothing, RPM and customised hosts, an upgrade, a node that follows releases
	@scripts/setup tests
	@$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder --long $(PYTEST_FLAGS)

soak: ## cut the power 20 times and more while a host updates itself, each time at another point; takes an hour
	@scripts/setup tests
	@ZAFFRE_SOAK_SEEDS=$${ZAFFRE_SOAK_SEEDS:-20} $(BIN)/pytest --log-cli-level=INFO tests/boot/test_boot_powercut.py $(PYTEST_FLAGS)

check: setup ## lint, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini tests bench
	$(BIN)/lint-imports --no-cache

format: setup ## put the code into the house's form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup ## write docs/reference.md from the models
	@$(BIN)/zaffre schema --markdown >docs/reference.md

bench: setup ## measure size, builds, boots and the server beside mkosi, mmdebstrap, a stock Debian and its cloud image
	@$(BIN)/python bench/run.py

lock-python: setup ## choose new exact versions of the Python dependencies
	@scripts/lock-python

clean: ## remove what was made in this folder (the store and the keys are elsewhere and stay)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist out
	find src tests -name __pycache__ -type d -exec rm -rf {} +
