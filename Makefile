# `make demo` and `make test` set up what they need; nothing is installed again while the requirements stand.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := requirements.txt requirements/local.txt requirements/dev.txt requirements/constraints.txt

.PHONY: demo test check setup clean

demo: setup
	$(BIN)/python -m pipeline demo

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pipeline --profile demo check
	$(BIN)/python -m pipeline --profile prod check

setup: $(VENV)/.installed

$(VENV)/.installed: $(REQUIREMENTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/python -m pip check
	touch $@

clean:
	rm -rf .local
