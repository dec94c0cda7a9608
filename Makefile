# `make help` lists the targets. Every target sets up its environment by itself when it is missing or stale.

SCALE     ?=
SEEDS     ?=
JOBS      ?=
DATA      ?=
DATA_ROOT ?=
DEVICES   ?= 1
ARGS      ?=
CLAIM     ?= ablations
SWEEP     ?= mini
PIP_ARGS  ?=
KILLS     ?= 50
N         ?= 500
SEED      ?= 0

# The newest of these that is there; say PYTHON=... for another (3.11 or later).
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(shell $(name) -c 'import sys, venv, ensurepip; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))

VENV   := .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready
# The lock's hashes are those of the default package index; another one serves other files.
OTHER_INDEX := $(filter -i -f --index-url% --extra-index-url% --find-links%,$(PIP_ARGS))

.DEFAULT_GOAL := help
.PHONY: help setup reproduce-table reproduce reproduce-paper test test-fast check fuzz chaos audit baselines bench-data bench-lrn bench-step bench-recipes bench-prepare bench-tracking sync report watch dashboard dashboard-offline figures lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'
	@echo
	@echo "  Variables of reproduce:       CLAIM=relu SCALE=mini SEEDS=5 JOBS=<cores or GPUs> DATA=fractals DATA_ROOT= DEVICES=1 ARGS=\"any overrides\""
	@echo "  Variables of setup:           PIP_ARGS=\"options for pip\" PYTHON=<python 3.11 or later>"

setup: $(READY) ## make .venv from requirements.lock (every other target does it when needed)

$(READY): requirements.lock
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later with venv was found; install one, or say make PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) (several GB with CUDA; a few minutes)"
ifeq ($(OTHER_INDEX),)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes $(PIP_ARGS) -r requirements.lock
else
	@echo "PIP_ARGS names another package index: exact versions as locked, but its files have other hashes, which are not checked"
	@sed -E '/^ +--hash=/d; s/ *\\$$//' requirements.lock > $(VENV)/constraints.txt
	@# CUDA's packages are left to torch to ask for: a CPU build asks for none.
	@grep -vE '^(nvidia|cuda|triton)' $(VENV)/constraints.txt > $(VENV)/requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c $(VENV)/constraints.txt -r $(VENV)/requirements.txt
endif
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

reproduce-table: $(READY) ## train every variant of the paper's ablation table and print the table
reproduce: $(READY) ## one claim of experiments/ with its verdict (CLAIM=relu SCALE=mini or paper)
reproduce-paper: $(READY) ## every claim of the paper, the cheapest first: reports/claims.md
reproduce-table: override CLAIM = ablations
reproduce-paper: override CLAIM = all
reproduce-table reproduce reproduce-paper:
	@$(RUN) src/reproduce.py experiment=$(CLAIM) $(if $(SCALE),scale=$(SCALE)) $(if $(SEEDS),seeds=$(SEEDS)) \
	    $(if $(JOBS),jobs=$(JOBS)) $(if $(DATA),data=$(DATA)) $(if $(DATA_ROOT),"data.root='$(DATA_ROOT)'") $(if $(filter-out 1,$(DEVICES)),trainer=ddp trainer.devices=$(DEVICES)) $(ARGS)

test: $(READY) check ## style, rooms, types and the whole test suite
	$(RUN) -m pytest --numprocesses=auto --dist=worksteal

test-fast: $(READY) check ## style, rooms, types and the tests that neither start programs nor train
	$(RUN) -m pytest --numprocesses=auto --dist=worksteal -m "not slow"

check: $(READY) ## style, rooms and types alone
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	PYTHONPATH=src $(VENV)/bin/lint-imports --no-cache
	$(RUN) -m mypy

fuzz: $(READY) ## random bad command lines: each refused in a line, nothing left (N=500 SEED=0)
	$(RUN) tests/bad_command_lines.py --count $(N) --seed $(SEED)

chaos: $(READY) ## a sweep under random kills against one left alone (KILLS=50 SEED=0)
	$(RUN) tests/chaos.py --kills $(KILLS) --seed $(SEED)

audit: $(READY) ## look the locked packages up among the known vulnerabilities (needs the network)
	@$(RUN) -m pip_audit --strict --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off \
	    > $(VENV)/audit.txt 2>&1 && { cat $(VENV)/audit.txt; exit 0; }; \
	if grep -q "^Found .* known vulnerabilit" $(VENV)/audit.txt; then cat $(VENV)/audit.txt >&2; else \
	    echo "error: the index of known vulnerabilities did not answer for every package: $$(tail -n 1 $(VENV)/audit.txt)" >&2; fi; exit 1

baselines: $(READY) ## what a linear classifier and nearest neighbours make of the embedded data
	$(RUN) benchmarks/baselines.py

bench-lrn: $(READY) ## time the normalization against nn.LocalResponseNorm
	$(RUN) benchmarks/local_response_norm.py

bench-data: $(READY) ## images/s of the data path against its peers, which go into .peers (ARGS="--rounds 3")
	$(RUN) benchmarks/data.py $(ARGS)

bench-step: $(READY) ## time a whole training step against stock PyTorch (ARGS="--batch 16")
	$(RUN) benchmarks/training_step.py $(ARGS)

bench-recipes: $(READY) ## train each preset with its recipe on a small budget: tens of minutes (ARGS="--only caffe")
	$(RUN) benchmarks/recipes.py $(ARGS)

bench-prepare: $(READY) ## time preparing photographs against decoding them with torchvision.io
	$(RUN) benchmarks/prepare.py $(ARGS)

report: $(READY) ## the page over whatever has been run, in one file: reports/index.html (SWEEP=mini)
	@$(RUN) src/report.py sweep=$(SWEEP)

watch: $(READY) ## the same page on 127.0.0.1 while a sweep is under way (SWEEP=mini)
	@$(RUN) src/watch.py sweep=$(SWEEP)

sync: $(READY) ## upload to W&B what runs left on the disk
	@$(RUN) src/sync.py

dashboard: $(READY) ## make or update the W&B workspace and report of a sweep (SWEEP=mini CLAIM=ablations)
	@$(RUN) src/dashboard.py sweep=$(SWEEP) experiment=$(CLAIM)

dashboard-offline: $(READY) ## watch a sweep in W&B's terminal dashboard, without an account (SWEEP=mini)
	@$(RUN) src/dashboard.py sweep=$(SWEEP) terminal=true

bench-tracking: $(READY) ## what W&B costs a run: at its start, a step, at its end
	$(RUN) benchmarks/tracking.py

figures: $(READY) ## make the README's image of the data anew, and the page over each of docs/results/
	$(RUN) docs/make_figures.py

lock: $(READY) ## resolve pyproject.toml anew into requirements.lock (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --custom-compile-command "make lock" --output-file requirements.lock

clean: ## remove the environment; data and runs stay
	rm -rf $(VENV)
