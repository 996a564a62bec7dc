# Thin targets: README.md spells out the same steps as plain pip commands.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# make bench: a folder with other programs to compare with, and options (tests/benchmarks/README.md)
PEERS ?=
BENCH ?=
export PYTHONSAFEPATH := 1

.PHONY: demo test check slow bench clean

demo: $(VENV)/.demo
	$(BIN)/blindsight simulate

test: $(VENV)/.test
	$(MAKE) check

check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/coverage erase
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --cov --cov-report=
	$(BIN)/coverage report --skip-covered

slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/.test
	PYTHONPATH=.:$(PEERS) $(BIN)/python -m tests.benchmarks.encryption $(BENCH)

clean:
	rm -rf $(VENV) .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[simulation]"
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@
