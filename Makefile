# Everything a developer types. `make setup` makes .venv here; all else uses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ROOMS := e4core backends/e4backends kms/e4kms transports/e4transports conformance/e4conformance device/e4device c2/e4c2 cli/e4cli
EXTENSION := $(wildcard backends/fast/*.c backends/fast/*.h backends/fast/CMakeLists.txt)
# some tests only wait for a server
WORKERS ?= $(shell expr `nproc` \* 2)
MEASUREMENTS ?= 1000000
FUZZ_S ?= 60
# compiled once, not by each of the programs that the tests start
unexport PYTHONDONTWRITEBYTECODE
export OQS_INSTALL_PATH ?= $(wildcard $(CURDIR)/.cache/liboqs-0.13.0-e4)

.PHONY: setup demo serve test sanitize timing fuzz lint format bench docs reference reports mutate servers liboqs fips-provider clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt $(EXTENSION)
	@echo "installing into $(VENV), which takes some minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

demo: setup
	$(BIN)/e4 demo $(SUITE:%=--suite %)

serve: setup
	$(BIN)/e4 serve

servers:
	@scripts/servers

# The library of the suites pq, pq-falcon and pq-slh, built once into .cache; without it they are absent.
liboqs: servers
	@scripts/liboqs

# OpenSSL's FIPS provider, built once into .cache; without it the tests that need one are left out.
fips-provider: servers
	@scripts/fips-provider

test: setup servers liboqs
	PATH="$$PATH:/usr/sbin" $(BIN)/python -m pytest -rs -n $(WORKERS) --dist worksteal

# The C extension under AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: setup servers
	backends/fast/sanitize.sh $(BIN)/python

# Does the time of its portable path depend on secrets? On a quiet machine; more measurements see smaller leaks.
timing: setup servers
	@cmake -S backends/fast -B build/fast -DE4_FAST_TESTS=ON -DPython_EXECUTABLE=$(abspath $(BIN)/python) > /dev/null
	@cmake --build build/fast --target timing > /dev/null
	build/fast/timing $(MEASUREMENTS)

# Every parser of bytes from outside, for FUZZ_S seconds in all; TARGETS="state api" takes some of them.
fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	FUZZ_S=$(FUZZ_S) $(BIN)/python -m fuzz $(TARGETS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests bench fuzz
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup servers liboqs
	PATH="$$PATH:/usr/sbin" $(BIN)/python bench/run.py import protect suites rotate rewrap c2

docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# The reference pages, and the description of the gRPC API.
reference: setup
	$(BIN)/python scripts/reference.py

# What the conformance kit says of our own suites, drivers and ports, on this machine.
reports: setup servers liboqs
	PATH="$$PATH:/usr/sbin" $(BIN)/python -m pytest tests/conformance/reports.py
	$(BIN)/python scripts/reference.py

# Are the kit's requirements of suites themselves tested? A sample of SECONDS; who survives is printed, to be looked at.
mutate: setup servers liboqs
	PATH="$$PATH:/usr/sbin" $(BIN)/python -m scripts.mutate $(or $(SECONDS),300) $(or $(SEED),1)

clean:
	rm -rf $(VENV) build docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
