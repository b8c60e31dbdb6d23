# make run    start the app              make lint   format, lint, types, layers
# make test   lint + every test          make bench  benchmarks (by hand, compare ratios)
# make dist   frozen tree and .deb       make clean  remove what was built
# make accuracy   measure our errors again and put the table into README.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests run in this many processes.
WORKERS ?= 2

.PHONY: run test suite lint format bench dist accuracy clean venv system

run: venv
	$(BIN)/rig-advisor

# The type checker takes as long as a good part of the tests: they run beside each other.
test: venv
	$(MAKE) --no-print-directory -j2 lint suite

suite: venv
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: venv
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest tests/bench -o addopts= -o python_files='bench_*.py' --benchmark-only

accuracy: venv
	$(BIN)/python packaging/update_readme.py

dist: venv
	$(BIN)/python packaging/build.py

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache

venv: system $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# Qt's and llama.cpp's system libraries: installed when root on Debian or Ubuntu, named otherwise.
system:
	@sh packaging/system-packages.sh
