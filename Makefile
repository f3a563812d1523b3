.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# DeepSpeed would otherwise look for a CUDA compiler while it is installed; nothing here needs what it would compile.
export DS_BUILD_OPS := 0
# Tests start hundreds of processes, each of which would compile raysim anew where nothing may be kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test lint types quick check stress bench docs wheel gpu-check clean

# Two workers, each of which takes one file after the other; the long ones come first.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

help:  ## Shows this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## Makes .venv and installs everything into it (about 3 minutes)

# torch comes first and alone, by an exact version: a range may draw a build with gigabytes of CUDA libraries.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else "raysim needs Python 3.11 or 3.12; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,dev]'
	@touch $@

demo: install  ## Installs, runs experiments/quickstart.yaml on real code, says where the report is (about 12 minutes)
	$(BIN)/raysim run experiments/quickstart.yaml --out runs/quickstart

test: install  ## All tests, two files at a time
	$(PYTEST) --durations 25

lint: install types  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright

check: install  ## Lint, types, and the tests that take seconds, side by side
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint quick

quick: install
	$(PYTEST) --hypothesis-profile check -m 'not slow and not stress'

stress: install  ## The long forms: twenty kills of one run, every strategy on Ray, properties on thousands of examples
	$(PYTEST) -m stress
	$(PYTEST) --hypothesis-profile stress -m 'hypothesis and not stress'

bench: install  ## The benchmarks, one JSON line at the end of each
	for script in experiments/benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

docs: install  ## The documentation as a site in build/site; its generated pages are written anew
	for page in configuration tables; do \
		$(BIN)/python docs/generate_$$page.py > docs/.$$page && mv docs/.$$page docs/$$page.md || exit 1; done
	$(BIN)/python docs/examples/fill.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel: install  ## The package as a wheel in dist/
	$(BIN)/python -m build --wheel --no-isolation

gpu-check: install  ## On a machine with a CUDA device: training, DeepSpeed, generation, quickstart; a table for the log
	$(BIN)/python experiments/gpu_check.py

clean:  ## Removes the environment and all runs
	rm -rf $(VENV) runs build dist *.egg-info
