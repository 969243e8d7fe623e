# `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz soak lint lock audit losses results coverage sequential schema bench bench-distributed

PYTHON ?= python3
BIN := .venv/bin
QUIET := --quiet --disable-pip-version-check
TORCH_INDEX ?=  # where to take torch from, if not from the index that pip knows
LOSSES := bce asl combined_70 combined_50 combined_30

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 19

setup: $(BIN)/goemotions $(MODELS:%=.venv/%-installed)  ## create .venv; MODELS=mpnet also installs MPNet's weights, TORCH_INDEX=URL takes another build of torch

$(BIN)/goemotions: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or later is needed; name one: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "installing some 150 packages, then torch; the first time this takes minutes"
	$(BIN)/pip install $(QUIET) --no-deps --require-hashes -r requirements.txt
	@# torch has no digest: there are builds for CPUs and for each kind of GPU.
	$(BIN)/pip install $(QUIET) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep -o 'torch==[0-9.]*' pyproject.toml)"
	$(BIN)/pip install $(QUIET) --no-deps --no-build-isolation -e .
	@touch $@

.venv/%-installed: requirements-%.txt $(BIN)/goemotions
	$(BIN)/pip install $(QUIET) --no-deps --require-hashes -r $<
	@touch $@

# DVC needs a user name, and in a container a user id may have none.
export USER ?= $(firstword $(shell id -un 2>/dev/null || id -u))

demo: setup  ## train five losses as DVC experiments on the generated sample, offline after setup
	@$(BIN)/goemotions verify --experiments
	@mkdir -p reports
	@echo "training $(words $(LOSSES)) losses, about a minute each; output in reports/demo-LOSS.log"
	@for loss in $(LOSSES); do \
		$(BIN)/dvc exp remove -q demo-$$loss 2>/dev/null; \
		$(BIN)/dvc exp run --temp -n demo-$$loss -S loss=$$loss -S dataset=sample \
			-S model=deberta-v3-tiny -S teacher=none -S train.rows=null \
			-S train.max_minutes=null evaluate baseline >reports/demo-$$loss.log 2>&1 \
			|| { cat reports/demo-$$loss.log; exit 1; }; \
		grep "^$$loss: test macro-F1" reports/demo-$$loss.log \
			|| echo "$$loss: taken from DVC's cache"; \
	done
	@echo
	@$(BIN)/goemotions compare --only demo- --html reports/comparison.html
	@echo "To look further:"
	@echo "  source .venv/bin/activate"
	@echo "  dvc metrics diff demo-bce demo-asl      two losses, metric by metric"
	@echo "  dvc plots diff demo-bce demo-asl        their curves, as a page"
	@echo "  goemotions serve --experiments demo-bce demo-asl    try them in a browser"
	@echo "  dvc exp run --temp -n minilm-bce -S loss=bce -S model=minilm-l6    the real dataset, from the Hub"

test: setup  ## run the tests
	$(BIN)/pytest -n auto --dist worksteal

fuzz: setup  ## test with 10,000 corrupted files of each kind
	FUZZ=10000 $(BIN)/pytest tests/fuzz

soak: setup  ## kill the pipeline again and again, and compare what it makes; KILLS=200
	$(BIN)/python tools/soak.py $(or $(KILLS),200)

lint: setup  ## check the code with ruff and strict mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lock:  ## write requirements.txt from pyproject.toml; UPGRADE="--upgrade" for the newest versions
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install $(QUIET) uv==0.13.9
	build/lock/bin/uv pip compile $(UPGRADE) --quiet --custom-compile-command "make lock" pyproject.toml \
		--group dev --universal --generate-hashes --no-emit-package torch -o requirements.txt

audit:  ## list known vulnerabilities of the pinned packages, as PyPI knows them
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --disable-pip-version-check -q pip-audit==2.10.1
	@# In two calls: a file either has a digest for each of its packages or for none.
	build/audit/bin/pip-audit --strict --disable-pip -r requirements.txt
	grep -o 'torch==[0-9.]*' pyproject.toml > build/audit/torch.txt
	build/audit/bin/pip-audit --strict --disable-pip --no-deps -r build/audit/torch.txt

bench: setup  ## measure speed beside the usual alternatives, in 45 minutes; TRAINED=FOLDER also scores that model in 8 bits
	$(BIN)/python -m benchmarks $(if $(TRAINED),--trained $(TRAINED))

bench-distributed: setup  ## measure training throughput with one process and with two
	$(BIN)/python -m benchmarks --distributed

losses: setup  ## draw docs/losses.svg: every loss's value and gradient
	$(BIN)/python tools/loss_curves.py docs/losses.svg

results: setup  ## update docs/results.md's tables from docs/results.json; ADD=PREFIX adds experiments, RECIPE=TEXT says what is different about theirs
	$(BIN)/python -m tools.results_table docs/results.json docs/results.md $(if $(ADD),--add $(ADD)) $(if $(RECIPE),--recipe "$(RECIPE)")

coverage: setup  ## recompute the table in docs/statistics.md of how often intervals and verdicts are right
	$(BIN)/python -m tools.coverage docs/statistics.md

sequential: setup  ## recompute the table in docs/statistics.md of sweeps that stop early
	$(BIN)/python -m tools.sequential_errors docs/statistics.md

schema: setup  ## write params.schema.json, for editors, from src/goemotions/config/
	$(BIN)/python tools/write_schema.py
