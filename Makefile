# `make` lists what there is. Only Python 3.11+, git and make are needed; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
# Waiting threads that spin would take the cores from the threads that decode.
export OMP_WAIT_POLICY := PASSIVE
# Params of params.yaml, as a pattern; metrics of some stages begin with the same words.
PARAMS := (sample|data|task|split|encoder|features|head|loss|calibrate|decide|uncertainty)\.|train\.(?!images|groups)|(conformal|quality|ood)\.(alpha|share)$$
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro test experiment crossval data keep-split verify leaderboard show queue promote ui lint lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment and install what requirements.lock pins

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

repro: $(READY) ## run the whole chain on what params.yaml names (the embedded sample, at first)
	dvc repro --quiet sample
	python -m derm check
	dvc repro
	@# In a fresh clone dvc.lock already names this state, so DVC skips `track`; MLflow here does not know it yet.
	python -m stages.track
	@echo "report: plots/report/index.html    all runs side by side: make ui"

test: $(READY) lint ## style, types and tests
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## style and types only
	ruff check .
	ruff format --check .
	basedpyright

experiment: $(READY) ## run a recipe: make experiment RECIPE=name SET="key=value ..."
	python -m experiments run --recipe "$(RECIPE)" --set '$(SET)'

crossval: $(READY) ## run a recipe on every fold: make crossval RECIPE=name SET="key=value ..."
	python -m experiments crossval --recipe "$(RECIPE)" --set '$(SET)'

data: $(READY) ## use your own dataset: make data ROOT=folder (more: python -m experiments data --help)
	python -m experiments data "$(ROOT)"
	python -m derm check

keep-split: $(READY) ## keep every image in its part while images are added
	python -m experiments keep-split

verify: $(READY) ## compute the committed state anew in an empty clone: same bytes, same numbers, or what differs
	python -m experiments verify

leaderboard: $(READY) ## every experiment ranked on val: make leaderboard METRIC=melanoma.auc (ON_TEST=yes: on test)
	@python -m experiments leaderboard $(if $(METRIC),--metric "$(METRIC)") $(if $(filter yes,$(ON_TEST)),--on-test)

show: $(READY) ## DVC's table of experiments: what each changed, and its headline numbers on val, best first
	@dvc exp show --no-pager --only-changed --hide-workspace --sort-by val.decision.balanced_accuracy --sort-order desc \
		--drop '^(?!Experiment$$|Created$$|State$$|$(PARAMS)|val\.(decision\.balanced_accuracy|macro_auc|melanoma\.auc|nll|ece)$$)'

queue: $(READY) ## work off what `dvc exp run --queue` has queued, to its end, whatever is killed on the way
	@python -m experiments queue

promote: $(READY) ## make an experiment's model the champion, unless it is worse: make promote EXPERIMENT=name (FOLDS=label)
	@python -m experiments promote "$(EXPERIMENT)" $(if $(FOLDS),--folds "$(FOLDS)")

ui: $(READY) ## every experiment side by side, in MLflow
	python -m experiments ui

lock: ## write requirements.lock anew from requirements.txt (needs uv)
	uv pip compile --universal --python-version 3.11 requirements.txt -o requirements.lock --custom-compile-command "make lock"

clean: ## remove the virtual environment and caches; results, the MLflow store and what waits for it stay
	rm -rf $(VENV) .derm/adapt .derm/embeddings .derm/verify .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
