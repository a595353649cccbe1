# Each target installs its dependencies. It needs Python 3.11 or newer, make and a package index.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run
DEV_STAMP := $(VENV)/.dev
# More than cores, because many tests wait for processes, sockets and browsers.
JOBS ?= $(shell echo $$((1 + 2 * $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1))))
TRIALS ?= tests/journeys tests/trials tests/tags/engines/test_engine_process.py tests/tags/engines/test_memory_of_all_processes.py tests/senders/test_faults.py tests/gateway/delivery/test_hanging_requests.py tests/gateway/delivery/test_isolated_conversions.py tests/gateway/delivery/test_isolated_failures.py tests/gateway/delivery/test_revoked_credentials.py tests/gateway/delivery/test_streams_of_events.py tests/http/test_connection_limit.py tests/http/test_http_trailers.py tests/http/test_incoming.py tests/stores/test_sqlite_kills.py tests/stores/test_sqlite_pruning.py tests/console/test_no_input_raises.py tests/console/tags/test_persons_everywhere.py tests/formats/test_consent_everywhere.py tests/gateway/ingest/test_denials_in_rejected_copies.py tests/gateway/what_if/test_what_if_is_a_real_run.py tests/upgrades tests/tags/vendors tests/tags/run/test_tag_only_events.py tests/redaction/tags/test_known_secrets.py tests/redaction/test_scrubbing.py tests/http/test_against_openapi.py tests/consent/test_matrix.py tests/tags/engines/test_out_of_memory.py tests/packaging

# Tests start hundreds of processes. Without bytecode on disk, each would compile its imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test chromium php cached check format lint types layers house cover bench torture mutate postgres oracle axe generate screenshots docs dist lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Twite needs Python 3.11 or newer. Install it, or set its path: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "This Python cannot create a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# The requirement files contain all packages with their hashes. Without --no-deps, an older pip looks for extras
# ("coverage[toml]") in the latest release, and refuses it because it has no hash.
$(RUN_STAMP): requirements/run.txt pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Setting up $(VENV) (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r requirements/run.txt
	@# The package itself is on the path by this one line: no build backend is needed to run it.
	@echo "$(CURDIR)/src" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/twite.pth"
	@# A path with a blank cannot stand after "#!".
	@printf '#!/bin/sh\nexec "%s" -m twite "$$@"\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/twite
	@chmod +x $(BIN)/twite
	@touch $@

# Segment's SDK for Python exists twice: an older version, which many shops run, is in a folder of its own.
$(DEV_STAMP): requirements/dev.txt requirements/sdk.txt $(RUN_STAMP)
	@echo "Setting up the tools of the tests (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes --upgrade --target $(VENV)/sdk -r requirements/sdk.txt
	@touch $@

demo: $(RUN_STAMP)  ## run a gateway, an X emulator and a small shop on loopback: about 1,000 orders
	@$(BIN)/python -m twite demo $(ARGS)

test: $(DEV_STAMP) chromium php cached  ## run all tests, in parallel
	@$(BIN)/python -m pytest --forks=$(JOBS) -rs $(ARGS)

check: lint types layers test  ## run all checks for a commit

lint: $(DEV_STAMP)  ## check style and the rules of CONTRIBUTING.md
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=tests $(BIN)/python -m pytest --noconftest tests/contributing/test_house_rules.py

types: $(DEV_STAMP)  ## check types with mypy
	@$(BIN)/mypy

layers: $(DEV_STAMP)  ## check imports between the layers
	@$(BIN)/lint-imports

house: $(DEV_STAMP)  ## print sizes, names and calls of the code beside those of a commit (ARGS=COMMIT)
	@$(BIN)/python tests/contributing/house.py $(ARGS)

format: $(DEV_STAMP)  ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

chromium:
	@sh tests/browser/chromium.sh

php:
	@sh tests/journeys/php.sh

cover: $(DEV_STAMP) chromium php  ## run the tests with branch coverage
	@$(BIN)/python -m pytest --forks=$(JOBS) --cov --cov-report=term-missing:skip-covered $(ARGS)

.venv-bench/.done: requirements/bench.txt $(RUN_STAMP)
	@"$(PYTHON)" -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bench.txt
	@touch $@

bench: $(DEV_STAMP) .venv-bench/.done  ## measure performance on this machine, in comparison with other programs
	@$(BIN)/python -m bench $(ARGS)

# Trials that measure time run alone, after the others. One trial: make torture TRIALS=tests/trials/test_poison.py
torture: $(DEV_STAMP)  ## run the long trials of all guarantees, and print their figures (hours; one: TRIALS=FILE)
	@rm -f torture.jsonl
	@export TWITE_TRIAL=1 TWITE_FIGURES=torture.jsonl; ended=0; \
		$(BIN)/python -m pytest --forks=$(JOBS) -m "not alone" $(TRIALS) $(ARGS) || ended=$$?; \
		$(BIN)/python -m pytest -m alone $(TRIALS) $(ARGS) || { [ $$? = 5 ] || ended=1; }; \
		$(BIN)/python tests/trials/figures.py torture.jsonl; [ $$ended = 0 ] || [ $$ended = 5 ]

# Short forms of two of these run in `make test`.
postgres:  ## run the long trials of several gateways on PostgreSQL: kills, failovers, cuts (an hour)
	@$(MAKE) --no-print-directory torture TRIALS="tests/trials/test_several_gateways.py tests/trials/test_same_keys.py tests/trials/test_network_partitions.py tests/trials/test_postgres_cuts.py"

mutate: $(DEV_STAMP)  ## change critical code, and list changes that no test notices (one file: ARGS=x/oauth1.py)
	@$(BIN)/python tests/mutate.py $(ARGS)

NODE_PACKAGES := requirements/node/package.json requirements/node/package-lock.json

.node/.done: $(NODE_PACKAGES)
	@command -v npm > /dev/null || { echo "The first-party script and the tests of consent strings and accessibility need node and npm" >&2; exit 1; }
	@mkdir -p .node && cp $(NODE_PACKAGES) .node
	@npm ci --prefix .node --no-audit --no-fund --loglevel=error $(NPM_OPTIONS)
	@touch $@

# The tests that need these packages run where npm has them in its cache. Elsewhere they are skipped.
cached:
	@if command -v npm > /dev/null; then \
		$(MAKE) --no-print-directory .node/.done NPM_OPTIONS=--offline > /dev/null 2>&1 || rm -rf .node; fi

oracle: $(DEV_STAMP) .node/.done  ## compare the decoding of consent strings with the packages of the IAB
	@TWITE_ORACLE=10000 $(BIN)/python -m pytest -s tests/consent/test_against_the_iab.py $(ARGS)

axe: $(DEV_STAMP) chromium .node/.done  ## check the accessibility of the console with axe-core
	@$(BIN)/python -m pytest tests/browser/test_console.py $(ARGS)

generate: $(DEV_STAMP) .node/.done  ## write generated files: twite.min.js, openapi.json, commands.schema.json, PostgreSQL's statements, the findings in doctor.md
	@$(BIN)/python tests/diagnostics_page.py
	@cd src/twite/http/script && $(CURDIR)/.node/node_modules/.bin/terser twite.js --compress --mangle --output twite.min.js
	@PYTHONPATH=tests $(BIN)/python tests/openapi_document.py
	@PYTHONPATH=tests $(BIN)/python tests/command_schemas.py
	@$(BIN)/python tests/postgres_statements.py

screenshots: $(DEV_STAMP) chromium  ## make the screenshots of the console in docs/
	@$(BIN)/python tests/browser/screenshots.py

.venv-docs/.done: requirements/docs.txt $(RUN_STAMP)
	@"$(PYTHON)" -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r requirements/docs.txt
	@touch $@

docs: .venv-docs/.done  ## check the spelling, and build the documentation as a site, in site/
	@.venv-docs/bin/typos --config docs/site/typos.toml docs src deploy sgtm *.md
	@.venv-docs/bin/python docs/site/build.py

dist: $(DEV_STAMP)  ## build the wheel, twite.pyz and the Debian package into dist/
	@$(BIN)/python deploy/packages $(ARGS)

lock: $(DEV_STAMP)  ## resolve the requirement files again
	@for set in "run pyproject.toml --extra postgres" "otel pyproject.toml --extra postgres --extra otel -c requirements/run.txt" "sql pyproject.toml --extra postgres --extra sql -c requirements/run.txt" "storage pyproject.toml --extra postgres --extra storage -c requirements/run.txt" "mcp pyproject.toml --extra postgres --extra mcp -c requirements/run.txt" "dev pyproject.toml --extra postgres --extra mcp --extra otel --extra parquet --extra sql --extra storage requirements/dev.in -c requirements/run.txt" "build requirements/build.in -c requirements/dev.txt" "sdk requirements/sdk.in" "bench requirements/bench.in" "docs requirements/docs.in"; do \
		set -- $$set; out=$$1; shift; \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
			--no-emit-index-url --no-emit-find-links --no-header "$$@" -o requirements/$$out.txt; done
	@npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund --silent --prefix requirements/node

clean:  ## remove generated files and environments
	@rm -rf $(VENV) .venv-bench .venv-docs site dist .node torture.jsonl .mypy_cache .ruff_cache .hypothesis
