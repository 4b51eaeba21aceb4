# Two commands: `make reproduce` and `make test`. Settings: make reproduce PROFILE=smoke CHAPTERS=resolution
PYTHON ?= python3

# Settings reach Python as they were written, behind the target or before `make` (SEEDS=3 make plan):
# as KDLIB_SEEDS and so on in the environment. $(value ...) keeps make from expanding them, and no
# shell reads them. kdlib.cli.make checks their names and values.
override GIVEN := $(foreach _,$(.VARIABLES),$(if $(findstring command,$(origin $_)),$_))
override SETTINGS := PROFILE CHAPTERS DATASET DATA DEVICE JOBS SEEDS STORE RESULTS SIZE
$(foreach _,PYTHON $(SETTINGS),$(eval export KDLIB_$_ := $$(value $_)))
export KDLIB_GIVEN := $(filter-out PYTHON,$(GIVEN))
# Under their own names make would export them expanded.
unexport PYTHON $(SETTINGS) $(GIVEN) _

.PHONY: help setup reproduce plan run status data test test-fast lab clean
.DEFAULT_GOAL := help

help:  ## this list
	@echo "make reproduce   train what is missing, execute the notebooks, build the book"
	@echo "make plan        say what that would train, and about how long it would take"
	@echo "make run         train only"
	@echo "make status      what exists already"
	@echo "make data        get, verify and prepare DATASET; without it, the list of data sets"
	@echo "make lab         JupyterLab on the book"
	@echo "make test        all tests"
	@echo "make test-fast   those that take seconds"
	@echo "make setup       install into .venv; every command does it first if it is needed"
	@echo "make clean       remove results; records and caches stay in .kdlib"
	@echo
	@echo "beside these, .venv/bin/kdlib classify VIDEO and export KEY; .venv/bin/kdlib --help says more"
	@echo
	@echo "settings: PROFILE=smoke|laptop|gpu|paper  CHAPTERS=resolution,adaptive  DATASET=jhmdb21  DATA=folder"
	@echo "          DEVICE=cpu|cuda  JOBS=2  SEEDS=5  STORE=folder  RESULTS=folder  SIZE=64"
	@echo "example:  make reproduce PROFILE=smoke CHAPTERS=resolution"

reproduce plan run status data: setup
	@.venv/bin/python -m kdlib.cli.make $@

test: setup
	@.venv/bin/python -m pytest -n 2 --dist worksteal

test-fast: setup
	@.venv/bin/python -m pytest -n 2 --dist worksteal -m "not slow"

lab: setup
	@.venv/bin/python -m jupyterlab --notebook-dir book

clean:
	rm -rf results/smoke results/laptop results/gpu results/paper

setup: .venv/ready

.venv/ready: requirements.lock requirements-uv.lock pyproject.toml
	@"$$KDLIB_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "kdlib needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	@echo "setting up .venv (about 6 GB with torch's CUDA libraries; once)"
	@"$$KDLIB_PYTHON" -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
	@touch $@
