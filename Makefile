# `make demo` and `make test` set up what they need; nothing is installed again while the requirements are unchanged.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TOOLKIT := .venv-toolkit
PEERS := .venv-peers
PRETRAINED := .venv-pretrained
CLIENTS := .venv-clients
LOCKS := .venv-locks
SPARK := .venv-spark
BASES := .bases
# Versions of PyTorch in AWS's training images: that with SMDDP, and the newest (pipeline/aws/deep_learning_containers.py).
TORCHES := 2.5.1 2.10.0
IMAGES := processing inference training spark
TESTS = $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder \
	$(if $(SEED),--randomly-seed=$(SEED))
REQUIREMENTS := requirements.txt requirements/local.txt requirements/dev.txt requirements/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-long quick check golden documents screenshots setup test-chaos test-toolkit setup-toolkit setup-peers setup-pretrained \
	test-browser test-images test-bases setup-bases test-clients setup-clients test-spark setup-spark locks clean

help: ## This list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "make %-14s %s\n", $$1, $$2 }'

demo: setup ## Run the whole pipeline on synthetic bins in the local cloud
	$(BIN)/python -m pipeline demo

# In another order each time; a run prints the command that repeats its order: make test SEED=123. The tests of a module
# share fixtures, so they run in one process; modules begin in the order of the seed, the longest ones first.
test: setup ## Run the tests, in another order each time (SEED=123 repeats an order)
	$(TESTS) -m "not long"

test-long: setup ## Run what make test leaves out: trainings under faults, deployments, whole accounts
	$(TESTS) -m long

# Under a minute: what a commit needs. `make check`, `make test` and `make test-long` are what a merge needs.
quick: setup ## Lint, types, words, and the unit tests of changed files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.words
	$(BIN)/python -m tests.quick

test-toolkit: setup-toolkit ## Run training under AWS's own SageMaker training toolkit (needs a C compiler)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(TOOLKIT)/bin/python -m pytest tests/toolkit

# SDK v2 and PyAthena, and the aws CLI, awswrangler and SDK v3 once more; `make test` has these three too.
test-clients: setup-clients ## Call the local cloud as the aws CLI, awswrangler, PyAthena and the SageMaker SDKs do
	TEST_CLIENTS=$(CLIENTS)/bin/python $(BIN)/python -m pytest tests/clients

# Training and evaluation with the packages of their images: PyTorch as in AWS's base images, and over it the lock. It
# takes 2 GB of disk where PyTorch's own index is reachable, which has builds for CPUs, and else 14 GB.
test-bases: setup-bases ## Run the tests of training and evaluation on the PyTorch of AWS's training images
	for torch in $(TORCHES); do \
		PATH="$(CURDIR)/$(BIN):$$PATH" $(BASES)/torch-$$torch/bin/python -m pytest --numprocesses logical \
			--maxprocesses 4 --dist loadscope tests/bases tests/unit/steps/train tests/unit/steps/evaluate tests/unit/steps/model || exit 1; \
	done

# A cluster of processes on this machine, with the packages of the image: PySpark and Java take 0.8 GB of disk.
test-spark: setup-spark ## Run the code for Spark on clusters of two workers
	TEST_SPARK=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(SPARK)/bin/python -m pytest --timeout 1200 tests/spark

# One after another, since each needs the machine: about four minutes per run.
test-chaos: setup ## Run the whole pipeline under throttling, no capacity, spot interruptions and 503s, by three seeds
	TEST_CHAOS=1 $(BIN)/python -m pytest --timeout 7200 tests/chaos

# One after another, since the pages belong to one local cloud. CHROMIUM names a browser in another place.
test-browser: setup ## Drive the console with Chromium (Debian: apt-get install chromium)
	TEST_BROWSER=1 $(BIN)/python -m pytest tests/browser

screenshots: setup ## Write docs/pictures/console-*.png again: the demo, then its pages in Chromium
	$(BIN)/python -m tests.browser.screenshots

# As root on Debian, with debootstrap and buildah installed.
test-images: setup ## Build two images without Docker, and test the serving image
	TEST_IMAGES=1 $(BIN)/python -m pytest --timeout 1200 tests/images

# The packages of each image with all their dependencies, by version and hash. A universal lock fits each Python that a
# base image may have; torch with its dependencies, also SymPy at the version that torch pins, comes from the base of
# the training image.
locks: $(LOCKS)/.installed ## Write the images' requirements.lock again, after a change to their pins
	for image in $(IMAGES); do \
		$(LOCKS)/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
			--no-emit-package torch --no-emit-package torchvision --no-emit-package sympy --no-emit-package mpmath \
			--no-annotate --custom-compile-command "make locks" --constraints requirements/constraints.txt \
			--output-file containers/$$image/requirements.lock containers/$$image/requirements.txt || exit 1; \
	done
	$(LOCKS)/bin/uv pip compile --quiet --no-config --no-deps --universal --python-version 3.11 --generate-hashes \
		--no-annotate --custom-compile-command "make locks" --constraints requirements/constraints.txt \
		--output-file containers/spark/sources.lock containers/spark/sources.txt

$(LOCKS)/.installed: requirements/locks.txt
	test -x $(LOCKS)/bin/python || $(PYTHON) -m venv $(LOCKS)
	$(LOCKS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

check: setup ## Lint, types, import rules, words, and the settings of all profiles
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.words
	for profile in local demo dev prod; do $(BIN)/python -m pipeline --profile $$profile check --offline || exit 1; done

golden: setup ## Write the compiled definitions again; the commit shows the change
	$(BIN)/python -m tests.golden

documents: setup ## Write docs/settings.md, docs/cli.md and docs/pictures again
	$(BIN)/python -m tests.documents

setup: $(VENV)/.installed ## Create .venv with all packages

$(VENV)/.installed: $(REQUIREMENTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/python -m pip check
	touch $@

setup-toolkit: setup $(TOOLKIT)/.installed

setup-peers: setup $(PEERS)/.installed

setup-pretrained: setup $(PRETRAINED)/.installed

setup-clients: setup $(CLIENTS)/.installed

# These environments see the packages of .venv after their own, so shared packages are installed once.
$(TOOLKIT)/.installed: requirements/toolkit.txt
	$(call layered,$(TOOLKIT),$<)
	$(TOOLKIT)/bin/python -c "import gethostname, sagemaker_pytorch_container.training"
	touch $@

$(PEERS)/.installed: requirements/peers.txt
	$(call layered,$(PEERS),$<)
	touch $@

$(PRETRAINED)/.installed: requirements/pretrained.txt requirements/constraints.txt
	$(call layered,$(PRETRAINED),$< --constraint requirements/constraints.txt)
	touch $@

$(CLIENTS)/.installed: requirements/clients.txt
	$(call layered,$(CLIENTS),$<)
	$(CLIENTS)/bin/python -c "import sagemaker.estimator, sagemaker.workflow.pipeline, pyathena"
	touch $@

setup-bases: setup $(TORCHES:%=$(BASES)/torch-%/.installed)

# The packages of .venv come last, for the tests and the local S3 server; a process with BASE_IMAGE_ALONE=1 does not see
# them, like one in the image.
$(BASES)/torch-%/.installed: requirements/bases/torch-%.txt containers/training/requirements.lock
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 \
		--extra-index-url https://download.pytorch.org/whl/cpu -r $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
		-r containers/training/requirements.lock
	$(call before,$(@D),BASE_IMAGE_ALONE)
	touch $@

setup-spark: setup $(SPARK)/.installed

# The image's packages by its locks, as its Dockerfile installs them. Those of .venv come last, for the tests and the
# local S3 server; a process with IMAGE_ALONE=1 does not see them.
$(SPARK)/.installed: containers/spark/requirements.lock containers/spark/sources.lock
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
		-r containers/spark/requirements.lock
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-binary pyspark \
		--no-build-isolation --require-hashes -r containers/spark/sources.lock
	$(call before,$(@D),IMAGE_ALONE)
	touch $@

# Packages of .venv are behind those of environment $(1), unless the variable $(2) is set.
define before
	echo "import os, sys; os.environ.get('$(2)') or sys.path.append('$$($(BIN)/python -c \
		"import sysconfig; print(sysconfig.get_path('purelib'))")')" \
		> "$$($(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/development.pth"
endef

define layered
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$($(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/development.pth"
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $(2)
endef

clean: ## Delete the local cloud
	rm -rf .local
