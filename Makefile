# Needs Python 3.11 or newer, make, and git; everything else goes into .venv.

SHELL = /bin/sh
PYTEST_ARGS ?=
DEMO_ARGS ?=
RUNS ?= 10000
MINUTES ?= 20
BENCH_ARGS ?=

# The first Python that is new enough; `make setup PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

# Most tests wait for other processes most of the time.
PROCESSES ?= $(shell expr 2 '*' "$$(getconf _NPROCESSORS_ONLN)")

READY = .venv/.ready
RUN = .venv/bin/python -m
SCRIPTS = .ci/readme # Python without the suffix that ruff looks for

.PHONY: help setup format check sql reference test faults soak mutants simulate demo dist bench clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Create .venv with queuectl and the development tools
	@echo ".venv is ready; to use it: . .venv/bin/activate"

format: $(READY) ## Format the code and fix what ruff can fix
	$(RUN) ruff check --fix . $(SCRIPTS)
	$(RUN) ruff format . $(SCRIPTS)

check: $(READY) ## Check format, lint, types and imports, and run the unit tests: seconds
	$(RUN) ruff format --check . $(SCRIPTS)
	$(RUN) ruff check . $(SCRIPTS)
	$(RUN) mypy
	.venv/bin/lint-imports
	$(RUN) pytest tests/unit -q -n auto $(PYTEST_ARGS)

sql: $(READY) ## Compile the statements and the schema ahead of time, after a change to either
	$(RUN) queuectl.adapters.sql.engine.generate

reference: $(READY) ## Make docs/reference.md of the commands, after a change to their help
	$(RUN) queuectl.entrypoints.cli.reference docs/reference.in.md docs/reference.md

test: $(READY) ## Run all tests but the slow ones; PYTEST_ARGS="-k retry -x" is passed on
	$(RUN) pytest -n $(PROCESSES) -m "not slow" $(PYTEST_ARGS)

faults: $(READY) ## Inject every fault of docs/reliability.md, the slow ones too; FAULT=F04 chooses one
	$(RUN) pytest tests/faults -n $(PROCESSES) $(if $(FAULT),--fault $(FAULT)) $(PYTEST_ARGS)

soak: $(READY) ## Work and do harm for MINUTES (20) on each database; nothing may be lost, doubled, stuck or grow
	$(RUN) pytest tests/faults/test_soak.py --soak $(MINUTES) -n 2 -rP $(PYTEST_ARGS)

mutants: $(READY) ## Break queuectl in known ways; the fault suite must notice each
	$(RUN) tests.faults.mutants $(MUTANT)

simulate: $(READY) ## Run RUNS histories of the core under faults, in simulated time; 10000 of each mode unless said
	$(RUN) tests.simulation --runs $(RUNS)

demo: $(READY) ## Run hundreds of real commands through a queue of its own and verify the results
	.venv/bin/python examples/demo.py $(DEMO_ARGS)

dist: $(READY) ## Build the wheel and the source archive into dist/
	rm -rf dist
	$(RUN) build

bench: $(READY) ## Measure queuectl beside its peers, about an hour; BENCH_ARGS="--quick" takes minutes
	$(RUN) benchmarks $(BENCH_ARGS)

clean: ## Remove .venv, caches and build products
	rm -rf .venv benchmarks/.peers benchmarks/.work build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip learnt dependency groups in 25.1, which is newer than what most Pythons bring along.
$(READY): pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "queuectl needs Python 3.11 or newer, and found $$(python3 --version 2>&1)." >&2; \
		echo "Install one, or name it: make setup PYTHON=/path/to/python" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "queuectl needs Python 3.11 or newer; $(PYTHON) is not." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: its venv module is missing." >&2; \
		echo "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || { \
		echo "creating .venv"; "$(PYTHON)" -m venv --clear .venv; }
	@echo "installing queuectl and the development tools into .venv"
	@$(RUN) pip install --quiet --upgrade "pip>=25.1"
	@$(RUN) pip install --quiet --editable . --group dev
	@touch $@
