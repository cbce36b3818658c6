# The only door to every task: CI, hooks and people call the same targets. Each is safe to repeat.
# Everything that is built goes to .venv/ and target/; `make clean` removes both.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
PY      := $(BIN)/python
SECONDS_MAX ?= 60
ARGS    ?=

# The extension is always built the same way, so that clippy, tests and maturin share one cache.
export PYO3_BUILD_EXTENSION_MODULE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYO3_PYTHON := $(CURDIR)/$(PY)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

RUST_SOURCES := Cargo.toml $(wildcard Cargo.lock) $(shell find rust -name target -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print 2>/dev/null)
EXTENSION := $(VENV)/.extension
TOOLS     := $(VENV)/.tools

.PHONY: all
all: format build lint test  ## format, build, lint, test (what a bare `make` does)

.PHONY: help
help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(EXTENSION)  ## the virtual environment with pinned tools, and the extension in it
	@if [ -d .git ] && command -v pre-commit >/dev/null; then pre-commit install >/dev/null; fi

$(VENV)/.created:
	scripts/make-venv "$(PYTHON)" "$(VENV)"
	@touch $@

$(TOOLS): pyproject.toml | $(VENV)/.created
	$(PY) -m pip install --quiet "pip>=25.1"
	$(PY) -m pip install --quiet --group dev
	@touch $@

$(EXTENSION): $(RUST_SOURCES) pyproject.toml $(TOOLS)
	$(BIN)/maturin develop --release --quiet
	@touch $@

.PHONY: build
build: $(EXTENSION)  ## compile the extension into the virtual environment

.PHONY: wheel
wheel: $(TOOLS)  ## one abi3 wheel for Python 3.11 and later, in target/wheels
	$(BIN)/maturin build --release
	@ls -1t target/wheels/*.whl | head -1

.PHONY: system
system:  ## on Debian as root: install PostgreSQL and what else the tests use, if it is missing
	@scripts/install-debian --if-root

.PHONY: format
format: $(TOOLS)  ## rewrite Python and Rust sources in the one format
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format --quiet .
	cargo fmt --all

.PHONY: lint
lint: lint-python lint-rust  ## ruff, mypy, stubtest, rustfmt, clippy

.PHONY: lint-python
lint-python: $(EXTENSION)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(PY) -m mypy.stubtest pywire._rust --allowlist .mypy-stubtest-allowlist

.PHONY: lint-rust
lint-rust: $(TOOLS)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

.PHONY: test
test: $(EXTENSION) system test-rust  ## every test, with everything they need set up first
	$(BIN)/pytest -m "not bench" $(ARGS)

.PHONY: test-unit
test-unit: $(EXTENSION)  ## the quick ones: no server, no socket to anywhere
	$(BIN)/pytest -m "not integration and not conformance and not slow and not bench" $(ARGS)

.PHONY: test-rust
test-rust: $(TOOLS)  ## the tests of the Rust crates
	cargo test --locked --quiet --lib --tests -p pywire-wire -p pywire-relay

.PHONY: test-integration
test-integration: $(EXTENSION) system  ## against real PostgreSQL servers
	$(BIN)/pytest -m "integration and not bench" $(ARGS)

.PHONY: conformance
conformance: $(EXTENSION) system  ## real drivers, with and without pywire
	$(BIN)/pytest -m conformance $(ARGS)

.PHONY: fuzz
fuzz:  ## cargo-fuzz on the protocol core, SECONDS_MAX seconds a target (needs a nightly toolchain)
	cd rust/wire && for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run "$$target" -- -max_total_time=$(SECONDS_MAX); done

.PHONY: bench
bench: $(EXTENSION) system  ## compare with direct, HAProxy and PgBouncer, interleaved
	@PATH="$$PATH:/usr/sbin" command -v haproxy >/dev/null || scripts/install-debian --if-root haproxy
	$(PY) -m benches $(ARGS)

.PHONY: demo
demo: $(EXTENSION)  ## a primary and a standby, pgbench through pywire, switchovers, a verdict
	$(BIN)/pywire demo $(ARGS)

.PHONY: cov
cov: $(EXTENSION) system  ## branch coverage of the Python tests, in htmlcov/
	$(PY) -m coverage run -m pytest -m "not bench and not conformance" $(ARGS)
	$(PY) -m coverage html --quiet
	$(PY) -m coverage report --skip-covered | tail -1

.PHONY: docs
docs: $(EXTENSION)  ## rewrite the reference pages and examples that come from the code
	$(PY) docs/generate.py

.PHONY: clean
clean:  ## remove what was built
	rm -rf $(VENV) target dist .cache htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find pywire tests -name __pycache__ -prune -exec rm -rf {} +
	rm -f pywire/_rust*.so
