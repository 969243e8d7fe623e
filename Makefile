# `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz soak lint audit losses results bench bench-distributed

PYTHON ?= python3
BIN := .venv/bin
QUIET := --quiet --disable-pip-version-check
LOSSES := bce asl combined_70 combined_50 combined_30

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 19

setup: $(BIN)/goemotions  ## make .venv from the exact pins in requirements.txt

$(BIN)/goemotions: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or later is needed; name one: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "installing torch, then some 150 packages; the first time this takes minutes"
	@# torch first and alone: its choice of build must not depend on the other packages.
	$(BIN)/pip install $(QUIET) "$$(grep -o '^torch==[^ ]*' requirements.txt)"
	$(BIN)/pip install $(QUIET) -r requirements.txt
	$(BIN)/pip install $(QUIET) --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## five losses as DVC experiments on the generated sample, in minutes, offline
	@for loss in $(LOSSES); do \
		echo "== demo-$$loss, of the losses $(LOSSES)"; \
		$(BIN)/dvc exp remove -q demo-$$loss 2>/dev/null; \
		$(BIN)/dvc exp run --temp -n demo-$$loss -S loss=$$loss \
			-S dataset=sample -S model=deberta-v3-tiny evaluate baseline || exit 1; \
	done
	@echo
	@$(BIN)/goemotions compare --only demo- --html reports/comparison.html
	@echo "To look further:"
	@echo "  source .venv/bin/activate"
	@echo "  dvc metrics diff demo-bce demo-asl      two losses, metric by metric"
	@echo "  dvc plots diff demo-bce demo-asl        their curves, as a page"
	@echo "  dvc exp run -S loss=bce -S model=minilm-l6    the real dataset, from the Hub"

test: setup  ## run the tests
	$(BIN)/pytest -n auto --dist loadgroup

fuzz: setup  ## 10,000 spoiled files of each kind
	FUZZ=10000 $(BIN)/pytest tests/fuzz

soak: setup  ## kill the pipeline again and again, and compare what it makes; KILLS=200
	$(BIN)/python tests/soak.py $(or $(KILLS),200)

lint: setup  ## ruff and strict mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

audit:  ## known vulnerabilities of the pinned packages, as PyPI knows them
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --disable-pip-version-check -q pip-audit==2.10.1
	build/audit/bin/pip-audit --strict --disable-pip --no-deps -r requirements.txt

bench: setup  ## speed beside transformers' usual training and inference; long on a CPU
	$(BIN)/python -m goemotions.bench

bench-distributed: setup  ## training throughput with one process and with two
	$(BIN)/python -m goemotions.bench --distributed

losses: setup  ## docs/losses.svg: every loss's value and gradient
	$(BIN)/python -m goemotions.comparison.loss_curves docs/losses.svg

results: setup  ## docs/results.md's table from docs/results.json
	$(BIN)/python -m goemotions.comparison.results docs/results.json docs/results.md
