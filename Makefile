# What a developer and CI run. Each target installs what it needs.
#   make demo      everything at work, with simulated devices and people   (ARGS="--headless")
#   make test      all tests, over real servers
#   make check     formatting, lint, types, layers, the rule book
#   make pictures  every page of the console into docs/pictures
#   make wheel     build the wheel and try it in a clean environment
#   make bench     BENCH=chain runs benchmarks/chain.py
#   make kafka     Apache Kafka for tests and benchmarks, through Maven
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

.PHONY: demo test check pictures wheel kafka bench bench-peers format migration servers broker clean

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

pictures: $(VENV)/.dev servers
	$(BIN)/python -m tests.pictures

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
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev,kafka]'
	@touch $@ $(VENV)/.demo

# A server that cannot be had is no error here: the demo uses another broker, and tests say what to do.
broker:
	@PATH="$$PATH:/usr/sbin"; command -v mosquitto >/dev/null || $(MAKE) --no-print-directory apt-mosquitto || \
		echo "mosquitto could not be installed: apt-get install mosquitto"

servers: broker
	@command -v chromium-headless-shell >/dev/null || \
		{ command -v chromium && ! apt-cache show chromium-headless-shell; } >/dev/null 2>&1 || \
		$(MAKE) --no-print-directory apt-chromium-headless-shell || \
		$(MAKE) --no-print-directory apt-chromium || \
		echo "chromium could not be installed: apt-get install chromium"
	@compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || $(MAKE) --no-print-directory apt-postgresql || \
		echo "PostgreSQL could not be installed: apt-get install postgresql"
	@$(MAKE) --no-print-directory kafka || echo "Apache Kafka could not be had: make kafka says why"

# Its jars, and a data folder that is ready to be copied: to make one takes as long as to start.
kafka: .kafka/formatted/meta.properties

.kafka/formatted/meta.properties: tests/kafka/pom.xml
	@command -v java >/dev/null || $(MAKE) --no-print-directory apt-default-jre-headless || \
		echo "Java could not be installed: apt-get install default-jre-headless"
	@command -v mvn >/dev/null || $(MAKE) --no-print-directory apt-maven || \
		echo "Maven could not be installed: apt-get install maven"
	rm -rf .kafka
	mvn --quiet --batch-mode --file tests/kafka/pom.xml dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.kafka
	printf '%s\n' process.roles=broker,controller node.id=1 controller.quorum.voters=1@127.0.0.1:1 \
		listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1 controller.listener.names=CONTROLLER \
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT \
		log.dirs=$(CURDIR)/.kafka/formatted > .kafka/format.properties
	java -cp '.kafka/*' -Dorg.slf4j.simpleLogger.defaultLogLevel=warn kafka.tools.StorageTool format \
		--cluster-id prevenant-tests-000000 --config .kafka/format.properties

apt-%:
	@command -v apt-get >/dev/null
	@echo "installing $* with apt"
	@$(SUDO) $(APT) update && $(SUDO) $(APT) install -y --no-install-recommends $*

clean:
	rm -rf $(VENV) dist var
