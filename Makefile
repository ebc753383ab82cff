# make demo              train and evaluate the keypoint policy on MoveToCorner (about ten minutes on two cores)
# make test              formatting, types and tests
# make demo PYTHON=python3.12     another interpreter (3.11, 3.12 or 3.13)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# Asking for another interpreter builds the environment anew.
BASE := $(VENV)/.installed-$(VERSION)
DEV := $(VENV)/.installed-dev-$(VERSION)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2

.PHONY: demo test lint types bench clean

demo: $(BASE)
	$(BIN)/mint-rl bc --env MoveToCorner --out runs/demo --overwrite

test: $(DEV) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(DEV)
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

$(BASE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v else "mint-rl needs Python 3.11 or newer, but $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) -e '.[magical,video]'
	$(PIP) --no-deps magical-il==0.0.1a4
	@touch $@

$(DEV): $(BASE)
	$(PIP) -e '.[magical,video,dev]'
	@touch $@

clean:
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
