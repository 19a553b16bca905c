# make run    one whole cycle through the Dagster graph (CYCLE=cycle2 for the next)
# make test   every test; make test-fast: those that turn no loop; make ui: the Dagster interface
# make lint   style, types, and which part may import which
# make doctor what a cycle needs, of the machine and of each service, and has
# make sweep  ends what a crashed run left running
# make push   copies the cycle to the bucket of FLYWHEEL_BUCKET; make pull: brings it here
# make ablation  what each choice of the recipe does, for docs/ablation.md (about half an hour on two cores)
# make base   trains the bundled base model again (about an hour and a half on two cores)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
CYCLE ?= cycle1
ifeq ($(shell echo "$(CYCLE)" | grep -Ex 'cycle[1-9][0-9]*'),)
$(error CYCLE is cycle1, cycle2 and so on; found "$(CYCLE)")
endif
# Where torch comes from; empty: the index that pip is set to, whose wheel for Linux brings CUDA libraries of several GB.
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export DAGSTER_HOME ?= $(CURDIR)

.PHONY: run test test-fast lint ui base ablation doctor sweep push pull clean

run: $(READY)
	$(BIN)/dagster asset materialize -m assets.definitions --select '*' --partition $(CYCLE) \
		--config-json '{"loggers": {"console": {}}}'
	@$(BIN)/flywheel page $(CYCLE)

test: $(READY)
	$(BIN)/pytest -m "not real" --numprocesses auto
	$(BIN)/pytest -m real --numprocesses 2 --dist loadgroup --no-loadscope-reorder

test-fast: $(READY)
	$(BIN)/pytest -m "not real" --numprocesses auto

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: $(READY)
	$(BIN)/dagster dev

doctor: $(READY)
	@$(BIN)/flywheel doctor

sweep: $(READY)
	@$(BIN)/flywheel sweep

push pull: $(READY)
	@$(BIN)/flywheel $@ $(CYCLE)

base: $(READY)
	$(BIN)/python -m flywheel.compute.programs.pretrain --work data/base --output flywheel/files/bundled

# A data folder and a split of their own: choices are not made on the rows that a cycle is judged on.
ablation: export FLYWHEEL_DATA := $(CURDIR)/data/ablation
ablation: export FLYWHEEL_BASE := bundled
ablation: $(READY)
	$(BIN)/dagster asset materialize -m assets.definitions --select '*baseline_eval' --partition cycle1 \
		--config-json '{"ops": {"split": {"config": {"seed": 7}}}, "loggers": {"console": {}}}'
	$(BIN)/python -m benchmarks.ablation $(FLYWHEEL_DATA)

clean:
	rm -rf data .dagster .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An index of torch alone need not have what torch needs: that comes with the rest.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit((v[:2] != (3, 11) or v < (3, 11, 4)) and \
		"Python 3.11.4 or a later 3.11 is needed: make PYTHON=/path/to/python3.11")'
	@echo "creating the environment in $(VENV): a few minutes, most of them for torch and NeMo"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
