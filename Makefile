# `make demo` and `make test` set up what they need; nothing is installed again while the requirements stand.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TOOLKIT := .venv-toolkit
REQUIREMENTS := requirements.txt requirements/local.txt requirements/dev.txt requirements/constraints.txt

.PHONY: demo test check setup test-toolkit setup-toolkit clean

demo: setup
	$(BIN)/python -m pipeline demo

test: setup
	$(BIN)/python -m pytest

# The training container's contract under AWS's own training toolkit.
test-toolkit: setup-toolkit
	PATH="$(CURDIR)/$(BIN):$$PATH" $(TOOLKIT)/bin/python -m pytest tests/toolkit

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

setup-toolkit: setup $(TOOLKIT)/.installed

# The packages of .venv come after its own, so what both have is installed once.
$(TOOLKIT)/.installed: requirements/toolkit.txt
	test -x $(TOOLKIT)/bin/python || $(PYTHON) -m venv $(TOOLKIT)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$($(TOOLKIT)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/development.pth"
	$(TOOLKIT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/toolkit.txt
	$(TOOLKIT)/bin/python -c "import gethostname, sagemaker_pytorch_container.training"
	touch $@

clean:
	rm -rf .local
