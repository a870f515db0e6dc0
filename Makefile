# Everything that needs no server is quick after the first `make setup`; JVM parts are cached for all clones in
# $DARKROOM_CACHE (default ~/.cache/darkroom).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --silent

PORT ?= 8000
DATA ?= var
SEEDS ?= 100
STRIKES ?= 100
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
BIN := .venv/bin
# What needs no server runs on both cores, and so do ports and Kafka, each half with servers of its own; all the rest, one
# after the other, has the machine for itself.
PROOFS := tests/audit tests/hostile $(addprefix tests/chaos/test_,failpoints.py faults.py nemesis.py overload.py three_brokers.py)
PURE_TESTS := $(addprefix tests/,golden http properties simulation specification unit)
PORT_TESTS := tests/kafka tests/ports

.PHONY: help setup setup-dev demo up test contracts simulate chaos failpoints overload planted proofs security lint types imports bench bench-growth bench-smoke gallery check clean \
	python-3.11 jars pins

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: python-3.11 ## Fetch and install what the stack needs (first time: minutes, needs the network)
	@$(MAKE) -j3 jars .venv-triton/.ready

setup-dev: setup ## The same and what tests and checks need
	@$(MAKE) .venv/.dev

demo: setup ## One photograph through the whole pipeline on a stack of its own
	@$(BIN)/darkroom demo --start --data var/demo

up: setup ## Serve on http://127.0.0.1:$(PORT) with data in $(DATA) until Ctrl-C
	@exec $(BIN)/darkroom up --port $(PORT) --data $(DATA)

test: setup-dev ## The whole test suite against the real servers
	@failed=; for together in "$(PURE_TESTS)" "$(PORT_TESTS)"; do \
	    $(BIN)/python -m pytest -n 2 --dist loadfile $$together || failed=1; done; \
	  $(BIN)/python -m pytest --durations=25 --durations-min=10 \
	    $(addprefix --ignore=,$(PURE_TESTS) $(PORT_TESTS) $(PROOFS)) || failed=1; test -z "$$failed"

proofs: setup-dev ## Tests that take their time: hostile input, faults of every kind, failpoints, three brokers, the auditor
	@$(BIN)/python -m pytest $(PROOFS)

failpoints: setup-dev ## Every failpoint struck on a running stack by a kill and by a failure, then judged
	@$(BIN)/python -m tests.chaos.failpoint_sweep

security: setup-dev ## What bandit finds in the product, and known weaknesses of the pins where a service answers
	@$(BIN)/bandit -q -c pyproject.toml -r schemas ingest processors projections api infra
	@$(BIN)/bandit -q -s B101,B311 -r infra/triton/models infra/triton/onnx_models infra/triton/training
	@$(BIN)/python -m tests.advisories

contracts: setup-dev ## Every endpoint of the five documents, and a table of what was checked
	@$(BIN)/python -m pytest tests/contracts

simulate: setup-dev ## The whole pipeline in one process and virtual time, SEEDS=100 lives of it under faults
	@$(BIN)/python -m tests.simulation.play --seeds $(SEEDS)

chaos: setup-dev ## The real stack under load and STRIKES=100 seeded faults, judged by what clients were told
	@$(BIN)/python -m tests.chaos --strikes $(STRIKES)

overload: setup-dev ## Ten times the load that the stack sustains, for two minutes
	@$(BIN)/python -m tests.chaos.overload

planted: setup-dev ## Plant bugs one at a time in a copy and see each of them caught
	@$(BIN)/python -m tests.planted

lint: setup-dev ## Style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup-dev ## Types of code and tests
	@$(BIN)/mypy

imports: setup-dev ## The import law
	@$(BIN)/lint-imports

bench-smoke: setup-dev ## Short benchmark: ratios to bare loops on this machine
	@$(BIN)/python -m tests.bench.smoke

bench: setup-dev ## Every pair beside a bare component, five rounds; ONLY=submits,queries for some
	@$(BIN)/python -m tests.bench --only "$(ONLY)"

bench-growth: setup-dev ## What grows: accounts, keys and ended jobs, three rounds; takes up to an hour
	@$(BIN)/python -m tests.bench --growth --rounds 3 --only "$(ONLY)"

gallery: setup-dev ## A contact sheet of every engine under var/gallery; fails where a measured figure misses its bound
	@$(BIN)/python -m tests.gallery

check: lint types imports ## All checks that need no server

pins: ## Pin the requirements anew (needs uv)
	@cd requirements && for name in runtime local dev; do \
	  uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q $$name.in -o $$name.txt; done
	@cd requirements && \
	  uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --no-deps triton.in -o triton.txt

clean: ## Remove the environments and the local data
	rm -rf .venv .venv-triton var

python-3.11:
	@test -n "$(PYTHON)" || { echo "darkroom: Python 3.11 is not on the PATH: install it, or name it with" \
	  "make PYTHON=/path/to/python3.11 (Triton's models run on exactly that version)."; exit 2; }

# Each stamp is written last, so that a set-up that was cut off goes on where it stopped.
.venv/.ready: requirements/runtime.txt requirements/local.txt pyproject.toml
	@echo "Installing Python packages ..."
	@infra/local/environment .venv "$(PYTHON)" -r requirements/runtime.txt -r requirements/local.txt
	@infra/local/environment .venv "$(PYTHON)" --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.ready requirements/dev.txt
	@echo "Installing what tests and checks need ..."
	@infra/local/environment .venv "$(PYTHON)" -r requirements/dev.txt
	@touch $@

.venv-triton/.ready: requirements/triton.txt
	@echo "Installing Triton ..."
	@infra/local/environment .venv-triton "$(PYTHON)" --no-deps -r requirements/triton.txt
	@touch $@

# Looked at each time, in a fifth of a second: the cache is not ours alone.
jars: .venv/.ready
	@$(BIN)/python -m infra.local.jars
