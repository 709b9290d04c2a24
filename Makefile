# The two commands of a new user: `make repro` and `make test`.
ifndef PYTHON
PYTHON := $(shell command -v python3.11 || command -v python3)
endif
VENV ?= .venv
BIN := $(VENV)/bin
SCALE ?=
TARGET ?=
SOURCE ?=
BUDGET ?=
SECTION ?=

export PYTHONPATH := $(CURDIR)/src
export PATH := $(abspath $(BIN)):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help install repro test check study server figure clean lock

help: ## What there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(VENV)/.installed ## Make the virtual environment from the pinned versions

$(VENV)/.installed: requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	{ echo "make: $(PYTHON) is no Python 3.11: install it, or name it: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

repro: install ## Run the pipeline: SCALE=smoke|default|thesis, TARGET=hits|surrogate|a survey, SOURCE=a HiTS folder
	@astroreel configure $(if $(SCALE),--scale $(SCALE)) $(if $(TARGET),--target $(TARGET)) $(if $(SOURCE),--source "$(SOURCE)")
	@dvc repro
	@test -f mlflow.db || astroreel registry publish
	@echo "Report (scale $$(sed -n 's/^scale: *//p' params.yaml)): $(CURDIR)/reports/index.html"

test: install check ## Check style and types, then run every test
	@pytest

check: install ## Style and types
	@ruff check .
	@ruff format --check .
	@mypy

study: install ## Measure the long tables: BUDGET=quick|full, SECTION=one of them; says its cost first
	@astroreel study $(if $(SECTION),--section $(SECTION)) $(if $(BUDGET),--budget $(BUDGET))

server: install ## Serve runs and models on http://127.0.0.1:5000, and deploy what is promoted there
	@astroreel server

figure: install ## Draw the README's figure from the last run
	@python -c "from pathlib import Path; from astroreel.evaluation import figures, results; \
	figures.write_readme_figure(Path('docs/figures/real_recall.svg'), results.load_evaluation(Path('data/evaluation.json')))"

lock: ## Pin what the virtual environment holds
	@$(BIN)/python -m pip freeze --all --exclude-editable --exclude astroreel --exclude pip | sed 's/^torch==.*/torch==2.13.0/' > requirements.lock

clean: ## Remove what a run leaves, but not the environment
	@rm -rf data models runs reports/index.html mlflow.db* mlartifacts
