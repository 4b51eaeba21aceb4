# Two commands: `make reproduce` and `make test`. Settings: make reproduce PROFILE=smoke CHAPTERS=resolution
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What was written behind the target, as NAME=value; kdlib checks names and values.
SETTINGS = $(filter-out PYTHON=%,$(MAKEOVERRIDES))

.PHONY: help setup reproduce plan run status data test lab clean
.DEFAULT_GOAL := help

help:  ## this list
	@echo "make reproduce   train what is missing, execute the notebooks, build the book"
	@echo "make plan        say what that would train, and about how long it would take"
	@echo "make run         train only"
	@echo "make status      what exists already"
	@echo "make data        get, verify and prepare DATASET; without it, the list of data sets"
	@echo "make lab         JupyterLab on the book"
	@echo "make test        all tests"
	@echo "make setup       install into .venv; every command does it first if it is needed"
	@echo "make clean       remove results; records and caches stay in .kdlib"
	@echo
	@echo "settings: PROFILE=smoke|laptop|gpu|paper  CHAPTERS=resolution,adaptive  DATASET=jhmdb21  DATA=folder"
	@echo "          DEVICE=cpu|cuda  JOBS=2  SEEDS=5  STORE=folder  RESULTS=folder  SIZE=64"
	@echo "example:  make reproduce PROFILE=smoke CHAPTERS=resolution"

reproduce plan run status data: setup
	@$(BIN)/python -m kdlib $@ $(SETTINGS)

test: setup
	@$(BIN)/python -m pytest -n 2

lab: setup
	@$(BIN)/python -m jupyterlab --notebook-dir book

clean:
	rm -rf results/smoke results/laptop results/gpu results/paper

setup: $(VENV)/ready

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "kdlib needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	@echo "setting up $(VENV) (about 6 GB with torch's CUDA libraries; once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
