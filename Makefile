# make          prints what there is
# Everything is installed into .venv here; a second run needs no network.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BACKENDS ?=
# Tests of the harness wait for programs much of the time: three workers keep two cores busy.
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# BACKENDS=torch or all: further backends, at the versions of constraints.txt.
EXTRAS := $(foreach name,$(if $(filter all,$(BACKENDS)),torch jax,$(BACKENDS)),$(VENV)/.$(name))

.PHONY: help install demo check quick-tests test all-tests proofs agents baselines lint clean

help:  ## print this list
	@echo "ptycho: physics-informed neural ptychography, and the harness that develops it"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'
	@echo "  make test BACKENDS=torch  the same with PyTorch too (BACKENDS=all: and with JAX)"

install: $(STAMP)  ## make .venv and install everything, pinned (first time: network)

$(STAMP): pyproject.toml constraints.txt scripts/tools/make_venv.sh
	@sh scripts/tools/make_venv.sh $(VENV)
	@touch $(STAMP)

$(VENV)/.torch $(VENV)/.jax: $(VENV)/.%: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $*
	@touch $@

demo: $(STAMP)  ## simulate, train, reconstruct, refine; then the harness lands a fix; ends with a page
	@$(BIN)/python demo/run.py

# tests/conftest.py keeps a file's tests on one worker and puts the files with long tests first.
PYTEST := $(BIN)/python -m pytest -n $(JOBS)
# Lint runs beside them: mypy alone would leave a core idle for half a minute.

check: $(STAMP)  ## lint, types, layers, and the quick tests that train nothing
	@$(MAKE) --no-print-directory -j2 lint quick-tests

test: $(STAMP) $(EXTRAS)  ## lint, types, layers, and all tests but the proofs (JOBS=3 at a time)
	@$(MAKE) --no-print-directory -j2 lint all-tests

quick-tests:
	@$(PYTEST) -m "not slow and not training and not proof"

all-tests:
	@$(PYTEST)

proofs: $(STAMP)  ## kills, attacks, 500 cycles, fuzz, quality, long tests: hours; writes tables
	@$(BIN)/python scripts/benchmarks/proofs.py

agents: $(STAMP)  ## install agent programs for the tests marked agents (.agent-programs/; network)
	@$(BIN)/python scripts/tools/agent_programs.py install

baselines:  ## install pty-chi and ptypy for scripts/benchmarks/versus_ptychi.py (.venv-baselines/)
	@sh scripts/tools/make_baselines.sh .venv-baselines

lint: $(STAMP)  ## ruff, mypy, import-linter
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

clean:  ## remove what was made here (.venv, demo-output, caches)
	rm -rf $(VENV) demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
