# Everything a newcomer, a contributor and CI do. Each target makes its own set-up, once.
#
#   make drill       run a whole on-call shift in virtual time
#   make test        every test            make test-fast   the quick ones (<= 3 minutes)
#   make test-deps   the real servers that some tests need (Debian packages; needs root)
#   make check       ruff, pyright strict, import-linter
#   make soak        long tortures at full size
#   make bench       every figure beside its peer -> benchmarks/results.json
#                    (DATA=DIR adds how well labelled storms below DIR are grouped)
#   make docs        the site, into site/, every link checked
#   make dist        sdist and wheel into dist/, the same bytes each time
#   make lock        resolve the dependencies anew into requirements/*.lock

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.base
DEV := $(VENV)/.dev
# Most of the tests' time is waiting for real servers; each file keeps to one process.
SPREAD := -n 3 --dist loadscope
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check install -qq

.PHONY: help
help:  ## show what can be made
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

# The environment is made without pip inside: the machine's own pip fills it (pip >= 22.3), so
# a Debian without python3-venv will do.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "midwatch needs Python >= 3.11; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || \
	  { echo "$(PYTHON) has no pip. On Debian: apt-get install python3-pip" >&2; exit 2; }
	@echo "setting up $(VENV) (once)" >&2
	@$(PYTHON) -m venv --without-pip $(VENV)

# --no-build-isolation: the build tool is the one that the lock pins.
$(BASE): requirements/base.lock pyproject.toml | $(BIN)/python
	@$(PIP) --require-hashes -r requirements/base.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(BASE) requirements/dev.lock
	@echo "installing what the tests need (once)" >&2
	@$(PIP) --require-hashes -r requirements/dev.lock
	@touch $@

.PHONY: setup
setup: $(DEV)

.PHONY: drill
drill: $(BASE)
	@$(BIN)/midwatch drill

# In CI a missing server is a failure, so it is fetched first; elsewhere its tests are skipped
# with a line that says what to install.
.PHONY: test
test: $(DEV) $(if $(filter true,$(CI)),test-deps)
	@$(BIN)/python -m pytest $(SPREAD)

# The list of servers, and how a test asks for one, stands in tests/servers.py.
.PHONY: test-deps
test-deps: $(DEV)
	@$(BIN)/python tests/servers.py install

.PHONY: test-fast
test-fast: $(DEV)
	@$(BIN)/python -m pytest $(SPREAD) -m "not slow"

.PHONY: soak
soak: $(DEV)
	@MIDWATCH_SOAK=1 $(BIN)/python -m pytest -m "soak or slow"

.PHONY: check
check: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache

.PHONY: bench
bench: $(DEV)
	@$(BIN)/python -m benchmarks $(DATA)

.PHONY: docs
docs: $(DEV)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --site-dir site

.PHONY: dist
dist: $(DEV)
	@rm -rf dist && $(BIN)/hatchling build -d dist

.PHONY: lock
lock:
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/python -m pip install --quiet uv
	@for name in base server dev; do \
	  case $$name in \
	    base) extra="--group build" ;; \
	    server) extra="--extra server --extra notify" ;; \
	    dev) extra="--group build --group dev --group docs --all-extras" ;; \
	  esac; \
	  $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate $$extra pyproject.toml -o requirements/$$name.lock; \
	done

.PHONY: clean
clean:
	@rm -rf $(VENV) $(VENV)-lock
