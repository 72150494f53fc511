# Everything a developer types. `make setup` makes .venv here; all else uses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ROOMS := e4core backends/e4backends kms/e4kms transports/e4transports conformance/e4conformance device/e4device c2/e4c2 cli/e4cli
WORKERS ?= auto

.PHONY: setup demo serve test lint format bench docs reference servers clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

demo: setup
	$(BIN)/e4 demo $(SUITE:%=--suite %)

serve: setup
	$(BIN)/e4 serve

servers:
	@scripts/servers

test: setup servers
	PATH="$$PATH:/usr/sbin" $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests bench
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup servers
	PATH="$$PATH:/usr/sbin" $(BIN)/python bench/run.py import protect rotate rewrap

docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "open docs/_build/html/index.html"

reference: setup
	$(BIN)/python scripts/reference.py

clean:
	rm -rf $(VENV) docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
