# `make demo` and `make test` set up what they need; nothing is installed again while the requirements stand.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TOOLKIT := .venv-toolkit
PEERS := .venv-peers
LOCKS := .venv-locks
IMAGES := processing inference training
REQUIREMENTS := requirements.txt requirements/local.txt requirements/dev.txt requirements/constraints.txt

.PHONY: demo test check golden setup test-toolkit setup-toolkit setup-peers test-images locks clean

demo: setup
	$(BIN)/python -m pipeline demo

# In another order each time; what a run prints repeats it: make test SEED=123. A module's tests share what they set up,
# so they run in one process; and modules begin in the order of the seed, not the one with the most tests first.
test: setup
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder \
		$(if $(SEED),--randomly-seed=$(SEED))

# The training container's contract under AWS's own training toolkit.
test-toolkit: setup-toolkit
	PATH="$(CURDIR)/$(BIN):$$PATH" $(TOOLKIT)/bin/python -m pytest tests/toolkit

# Two of the images, really built, without a Docker engine; as root, with debootstrap and buildah installed.
test-images: setup
	TEST_IMAGES=1 $(BIN)/python -m pytest --timeout 1200 tests/images

# What the images install: every package that the pins of requirements.txt want, by version and by hash. A universal
# lock fits each Python that a base image may bring; torch and what comes with it, also SymPy at the version that torch
# pins, is the training base's own.
locks: $(LOCKS)/.installed
	for image in $(IMAGES); do \
		$(LOCKS)/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
			--no-emit-package torch --no-emit-package torchvision --no-emit-package sympy --no-emit-package mpmath \
			--no-annotate --custom-compile-command "make locks" --constraints requirements/constraints.txt \
			--output-file containers/$$image/requirements.lock containers/$$image/requirements.txt || exit 1; \
	done

$(LOCKS)/.installed: requirements/locks.txt
	test -x $(LOCKS)/bin/python || $(PYTHON) -m venv $(LOCKS)
	$(LOCKS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pipeline --profile demo check --offline
	$(BIN)/python -m pipeline --profile prod check --offline

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
