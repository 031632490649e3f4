# `make` alone lists the targets. The first call of any of them makes .venv, later ones start at once.

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
CANDIDATES := python3.11 python3
PYTHON ?= $(shell for python in $(CANDIDATES); do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

.PHONY: help demo demo-train weights test lint clean

help:
	@echo 'make demo        evaluate the weights that ship on simulated frames and draw; into out/demo'
	@echo 'make demo-train  the same with weights that are trained before; into out/demo_train'
	@echo 'make weights     make the weights that ship anew, in some hours; into out/weights'
	@echo 'make test        lint, types and tests'
	@echo 'make lint        ruff and basedpyright'
	@echo 'make clean       remove .venv, caches and demos; runs/, data/ and out/weights stay'
	@echo 'make PYTHON=python3.12 ...   make .venv with this Python (3.10 to 3.13)'

demo: .venv/.installed
	.venv/bin/python tools/demo.py --out out/demo

demo-train: .venv/.installed
	.venv/bin/python tools/demo_train.py --out out/demo_train

weights: .venv/.installed
	OMP_NUM_THREADS=1 .venv/bin/python tools/weights.py --out out/weights

test: lint
	OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 -q

lint: .venv/.installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/basedpyright

clean:
	rm -rf .venv out/demo out/demo_train build *.egg-info .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: without it a half-made .venv is mended, or made anew where it can't run.
.venv/.installed: pyproject.toml constraints.txt
	@if ! .venv/bin/python -c '$(SUPPORTED)' 2>/dev/null \
	|| ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
		"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { \
			echo 'missing: Python 3.10 to 3.13 (name one: make PYTHON=python3.12)' >&2; exit 1; }; \
		"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
			echo 'missing system package: python3-venv' \
				'(install it with: sudo apt-get install python3-venv)' >&2; exit 1; }; \
		"$(PYTHON)" -m venv --clear .venv; \
	fi
	@echo 'installing torch and the other packages into .venv; this takes some minutes'
	@.venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt torch==2.13.0
	@.venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
