# `make demo` and `make test` set up what they need; nothing is installed again while the requirements stand.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TOOLKIT := .venv-toolkit
PEERS := .venv-peers
REQUIREMENTS := requirements.txt requirements/local.txt requirements/dev.txt requirements/constraints.txt

.PHONY: demo test check golden setup test-toolkit setup-toolkit setup-peers clean

demo: setup
	$(BIN)/python -m pipeline demo

# A module's tests share what they set up, so they run in one process.
test: setup
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadscope

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

# Writes anew what the definitions compile to; the commit shows what changed.
golden: setup
	$(BIN)/python -m tests.golden

setup: $(VENV)/.installed

$(VENV)/.installed: $(REQUIREMENTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/python -m pip check
	touch $@

setup-toolkit: setup $(TOOLKIT)/.installed

setup-peers: setup $(PEERS)/.installed

# In both, the packages of .venv come after their own, so what they share is installed once.
$(TOOLKIT)/.installed: requirements/toolkit.txt
	$(call beside,$(TOOLKIT),$<)
	$(TOOLKIT)/bin/python -c "import gethostname, sagemaker_pytorch_container.training"
	touch $@

$(PEERS)/.installed: requirements/peers.txt
	$(call beside,$(PEERS),$<)
	touch $@

define beside
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$($(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/development.pth"
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $(2)
endef

clean:
	rm -rf .local
