# Every target first makes .venv from the lock when it is missing or older than the lock. Nothing is installed outside .venv.
# Needs Python 3.11 or newer, a C compiler and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Which of the crashes on chain `make explore` tries: others each day.
PART ?= $(shell date +%j)

.DEFAULT_GOAL := help
.PHONY: help demo demo-onchain test check fix bench bench-peers profile explore interop interop-chain models mutants lock clean

help:
	@echo 'make demo     three real nodes and a chain: open, pay, crash, close, account (JSON=1 for a program)'
	@echo 'make demo-onchain  four nodes on their worst day: forced closes, kill -9, a cheating peer, ten blocks undone'
	@echo 'make test     the default tests'
	@echo 'make check    format, lint, types, layers, tidiness, tables of requirements and hazards'
	@echo 'make fix      format and fix what can be fixed'
	@echo 'make explore  every order and crash of the scenarios, random worlds, power cuts, 200 rounds of kill -9: up to 40 minutes (PART=3: other crashes on chain)'
	@echo 'make interop  the same life with LND and LDK: builds them first, needs Go and Rust (PEER=lnd, ONLY=part of a name,'
	@echo '               LONG=1: 50 rounds of each restart, 10,000 payments)'
	@echo 'make interop-chain  LND as it is shipped on our chain service, mixed work for ten minutes (MINUTES=)'
	@echo 'make models   try every schedule of the small models of the rules'
	@echo 'make mutants  take out one guard after the other: each must be missed (ONLY=part of a name)'
	@echo 'make bench    how fast and how big; make profile: where the time goes; make bench-peers: beside LND and LDK'
	@echo 'make lock     pin requirements/*.in again; make clean: remove what was made'

# Two stamps: a changed lock makes the environment anew, a changed pyproject.toml only installs leyden again.
$(VENV)/locked: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "leyden needs Python 3.11 or newer; say which with make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/installed: $(VENV)/locked pyproject.toml
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/installed
	$(BIN)/python -m leyden.demo $(if $(JSON),--json)

demo-onchain: $(VENV)/installed
	$(BIN)/python -m leyden.demo --onchain $(if $(JSON),--json)

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q -p no:xdist tests/test_tidy.py
	$(BIN)/python tools/check_requirements.py --no-open
	$(BIN)/python -m tools.check_hazards --no-missing

fix: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

explore: $(VENV)/installed
	$(BIN)/python -m models
	$(BIN)/python -m leyden.sim explore --seconds 240
	$(BIN)/python -m leyden.sim explore --onchain --share 5 --part $(PART) --seconds 30
	$(BIN)/python -m leyden.sim random --seeds 0..8000
	$(BIN)/python -m leyden.sim random --onchain --seeds 0..4000
	$(BIN)/python -m leyden.sim power --images 20000
	$(BIN)/python -m leyden.demo.kills --rounds 200 --delay-ms 0 50

interop: $(VENV)/installed
	$(BIN)/python -m interop $(if $(PEER),--peer $(PEER)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(LONG),--rounds 50 --payments 10000)

interop-chain: $(VENV)/installed
	$(BIN)/python -m interop.acceptance --minutes $(or $(MINUTES),10)

models: $(VENV)/installed
	$(BIN)/python -m models

mutants: $(VENV)/installed
	$(BIN)/python -m tests.mutants $(if $(ONLY),--only "$(ONLY)")

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks

bench-peers: $(VENV)/installed
	$(BIN)/python -m benchmarks.peers

profile: $(VENV)/installed
	$(BIN)/python -m benchmarks --profile

COMPILE := pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

lock: $(VENV)/installed
	for name in base dev fuzz; do \
		(cd requirements && CUSTOM_COMPILE_COMMAND='make lock' ../$(BIN)/$(COMPILE) --output-file $$name.txt $$name.in) || exit 1; \
	done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests tools interop -name __pycache__ -type d -prune -exec rm -rf {} +
