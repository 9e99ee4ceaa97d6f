# What a developer and CI run. Each target installs what it needs.
#   make demo      everything at work, with simulated devices and people   (ARGS="--headless")
#   make test      all tests, over real servers
#   make check     formatting, lint, types, layers, the rule book
#   make wheel     build the wheel and try it in a clean environment
#   make bench     BENCH=chain runs benchmarks/chain.py
#   make bench-peers installs what benchmarks compare with
#   make migration NAME="Give shifts a name" writes it from the tables that the code declares

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
BENCH ?= chain
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120

.PHONY: demo test check wheel bench bench-peers format migration servers broker clean

demo: $(VENV)/.demo broker
	@$(BIN)/prevenant demo $(ARGS)

# The processes that share the suite have no core left for threads of NumPy, which would wait for each other.
test: export OMP_NUM_THREADS := 1
# Every process that a test starts would compile the whole project again, which takes a quarter of its start.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.dev servers
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal --cov --cov-report=term --cov-fail-under=88 $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/prevenant rules check --strict
	$(BIN)/prevenant rules test

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(VENV)/.dev broker
	rm -rf dist && $(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python -m tests.wheel_trial dist/*.whl

bench: $(VENV)/.dev broker
	$(BIN)/python -m benchmarks.$(BENCH) $(ARGS)

bench-peers: $(VENV)/.dev servers
	@command -v mosquitto_sub >/dev/null || $(MAKE) --no-print-directory apt-mosquitto-clients
	@command -v npm >/dev/null || $(MAKE) --no-print-directory apt-npm
	$(BIN)/pip install --quiet --disable-pip-version-check simpleeval rule-engine common-expression-language
	npm install --silent --no-save --no-audit --no-fund --prefix .peers node-red@4

migration: $(VENV)/.dev
	$(BIN)/python -m tests.new_migration "$(NAME)"
	$(BIN)/ruff format prevenant/migrations/versions
	$(BIN)/ruff check --fix prevenant/migrations/versions

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "installing python3-venv"; $(SUDO) $(APT) update && $(SUDO) $(APT) install -y python3-venv; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@ $(VENV)/.demo

# A server that cannot be had is no error here: the demo uses another broker, and tests say what to do.
broker:
	@PATH="$$PATH:/usr/sbin"; command -v mosquitto >/dev/null || $(MAKE) --no-print-directory apt-mosquitto || \
		echo "mosquitto could not be installed: apt-get install mosquitto"

servers: broker
	@compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || $(MAKE) --no-print-directory apt-postgresql || \
		echo "PostgreSQL could not be installed: apt-get install postgresql"

apt-%:
	@command -v apt-get >/dev/null
	@echo "installing $* with apt"
	@$(SUDO) $(APT) update && $(SUDO) $(APT) install -y --no-install-recommends $*

clean:
	rm -rf $(VENV) dist var
