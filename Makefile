# make run    everything from nothing to the table of accuracies, on the embedded data set
# make test   the checks that every change must pass      make test-all   the slow ones too
# make bench  the measured comparisons of docs/performance.md, on this machine
# make browse a page to look at the results, on 127.0.0.1
# make report the same page as a folder that opens without a server
# make ui     the MLflow UI on the results, on 127.0.0.1
PYTHON ?= python3
CORES ?= all
PORT ?= 5000
BROWSE_PORT ?= 5002
# Further arguments for Snakemake, such as --configfile config/published.yaml
ARGS ?=
# Further arguments for the benchmarks, such as --only search
BENCH_ARGS ?=
# Two test files at a time: most wait for one process. In the order of tests/conftest.py, where
# xdist would keep the files of few tests, which run whole workflows, for the end.
PYTEST_ARGS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
# A card that the driver can see: its libraries come from a lock of their own.
GPU ?= $(shell nvidia-smi --list-gpus >/dev/null 2>&1 && echo yes)
# uv, configured as pip is; or pip, where uv cannot be had.
INSTALL := $(BIN)/python envs/install.py
# tensorflow-cpu, and TensorFlow with all for GPUs, lie in the same folder.
GPU_LIBRARIES = $(if $(GPU),$(BIN)/python -m pip uninstall --quiet --yes tensorflow-cpu tensorflow && \
	$(INSTALL) --no-deps --require-hashes -r envs/requirements-gpu.lock)

.PHONY: run test test-all bench check format browse report ui reference lock
.DELETE_ON_ERROR:
# Nothing is compiled when it is installed, but when it is first imported, and kept.
unexport PYTHONDONTWRITEBYTECODE

run: $(VENV)/run.stamp
	$(BIN)/gallerist unlock $(ARGS)
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) --logger-gallerist-no-table $(ARGS)
	$(BIN)/gallerist summary $(ARGS)

browse: $(VENV)/run.stamp
	$(BIN)/gallerist browse --port $(BROWSE_PORT) $(ARGS)

ui: $(VENV)/run.stamp
	$(BIN)/gallerist ui --port $(PORT) $(ARGS)

report: $(VENV)/run.stamp
	$(BIN)/gallerist browse --export results/report $(ARGS)

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

test-all: $(VENV)/dev.stamp
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(VENV)/dev.stamp
	PYTHONPATH=scripts $(BIN)/python -m benchmarks $(BENCH_ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check -l 100 Snakefile rules
	$(BIN)/mypy
	$(BIN)/snakemake --lint

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt -l 100 Snakefile rules

reference: $(VENV)/run.stamp
	PYTHONPATH=scripts $(BIN)/python -m gallerist.config.reference > config/README.md
	PYTHONPATH=scripts $(BIN)/python -m gallerist.config.schema > config/schema.json

lock: $(VENV)/dev.stamp
	$(BIN)/python envs/lock.py
	$(BIN)/python envs/platforms.py --resolve

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"Gallerist needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}. Name another one: make PYTHON=python3.12")'
	@$(PYTHON) envs/platforms.py
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: envs/requirements.lock pyproject.toml | $(BIN)/python
	$(INSTALL) --no-deps --require-hashes -r envs/requirements.lock
	$(GPU_LIBRARIES)
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev.stamp: envs/requirements-dev.lock $(VENV)/run.stamp
	$(INSTALL) --no-deps --require-hashes -r envs/requirements-dev.lock
	$(GPU_LIBRARIES)
	touch $@
