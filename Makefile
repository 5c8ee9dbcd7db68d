# `make help` lists the targets. Each does its own set-up: a Python (3.10 to 3.13, with venv) and make are enough.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

# The folder of the databases, as their licences allow you to hold them, and which to take: HUMAN="ckplus disfa kdef mmi";
# if empty, those of people that are there (docs/databases.md).
ROOT ?= data
HUMAN ?=
# What readers leave to you, as OPTIONS="disfa.intensity=2 fer2013.labels=ferplus-majority".
OPTIONS ?=
# Shares of the images that validate and test, where a database has no split of its own; the training classes' balance.
VAL ?= 0.13
TEST ?= 0.13
BALANCE ?= none
FOLDS ?= 5
# Crops of the human network's training images: random as Caffe's, or five (and their mirror images) as the papers'.
TRAIN_CROPS ?= random
PEOPLE := data/registered/people
NAME ?= human
LMDB := data/lmdb/$(NAME)
MAKE_DATA = $(RUN) tools/make_data.py $(ROOT) $(if $(HUMAN),--databases $(HUMAN)) --registered $(PEOPLE) --lmdb $(LMDB) \
	$(OPTIONS:%=--option %) --val $(VAL) --test $(TEST) --balance $(BALANCE)
RUN_DIR := runs/$(NAME)
# The characters: FERG-DB, as its authors let you have it, or what tools/render_rig.py wrote.
FERG ?= data/FERG_DB_256
FRAMES := $(notdir $(abspath $(FERG)))
FRAMES_ARE := $(if $(wildcard $(FERG)/frames.parquet),rig,ferg)
# Rendered frames have a split of their own; FERG-DB's are divided into blocks (docs/decisions.md).
SPLIT ?= $(if $(filter rig,$(FRAMES_ARE)),own,blocks)
CHAR ?=
FINETUNE ?= fc6-map
# How make finetune crops images: five (the papers', with their mirror images), mirrored, centre; or random, anew in every
# epoch. What stays as it is is computed for fixed crops once, unless ONCE is empty.
CROPS ?= five
ONCE ?= yes
# One's own training where there is one, else the model that comes with the repository.
MODEL ?= $(or $(wildcard $(RUN_DIR)/$(NAME).caffemodel),models/human.caffemodel)
STORE ?= stores/$(NAME)-val
EPOCHS ?= 50
DROP_EVERY ?= 10
DEVICE ?= auto
PRECISION ?= fp32
# The full form of make reproduce trains what the papers' accuracies need, too; people's answers lie in VOTES.
FULL ?=
VOTES ?= data/votes
REPRODUCE = $(RUN) tools/reproduce.py --people $(LMDB) --registered $(PEOPLE) --model $(MODEL) \
	--frames data/registered/$(FRAMES) --stage $(FINETUNE) --division $(SPLIT) --votes $(VOTES) --device $(DEVICE) \
	$(if $(findstring command,$(origin EPOCHS)),--epochs $(EPOCHS)) $(if $(findstring command,$(origin PRECISION)),--precision $(PRECISION)) $(if $(FULL),--full)
TOP ?= 10
SHEET ?= sheet.png

.DEFAULT_GOAL := help
.PHONY: help setup test check format lint data train-human cross-validate train-character finetune has-character features retrieve demo reproduce tables figures bench clean

help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv and install everything in it

# A virtual environment sees the system's packages only where a torch of the accepted range is among them: its wheel on
# the registry is a CUDA build of several gigabytes, so an installed one is kept.
$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV) $$($(PYTHON) .ci/has_torch.py && echo --system-site-packages)
	@if $(RUN) .ci/has_torch.py; then echo "keeping the installed torch"; \
	else $(RUN) -m pip install --quiet $$(grep '^torch==' requirements.txt); fi
	grep -v '^torch==' requirements.txt > $(VENV)/requirements.txt
	$(RUN) -m pip install --quiet -r $(VENV)/requirements.txt
	$(RUN) -m pip install --quiet --no-deps --editable .
	@touch $@

# Each core runs test files of its own, so that threads of their libraries would only get in each other's way.
test: $(READY)  ## run all tests, on all cores
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile

check: lint test  ## ruff and all tests

lint: $(READY)  ## ruff: lint and format, without changing anything
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: $(READY)  ## let ruff format the code
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

data: $(READY)  ## register the databases HUMAN=… in ROOT=… and build their LMDBs; says what was found; resumes
	$(MAKE_DATA)

$(LMDB)/build.json: | $(READY)
	$(MAKE_DATA)

# Whoever names databases gets their LMDBs looked after; without, those at hand are taken.
train-human: $(if $(findstring command,$(origin ROOT) $(origin HUMAN)),data,$(LMDB)/build.json)  ## train the human network on HUMAN=… in ROOT=… (EPOCHS, DROP_EVERY, DEVICE, PRECISION); resumes
	$(RUN) tools/train.py --solver solvers/human.prototxt --data $(LMDB) --out $(RUN_DIR) --resume \
		--crops $(TRAIN_CROPS) --epochs $(EPOCHS) --drop-every $(DROP_EVERY) --device $(DEVICE) --precision $(PRECISION)

cross-validate: $(READY)  ## train and test by FOLDS=5, each person in one, on HUMAN=… in ROOT=…; options as above; resumes
	$(MAKE_DATA) --no-lmdb
	$(RUN) tools/cross_validate.py $(addprefix $(PEOPLE)/,$(or $(HUMAN),*)) --out work/cross-validation/$(NAME) \
		--folds $(FOLDS) --val $(VAL) --balance $(BALANCE) \
		--crops $(TRAIN_CROPS) --epochs $(EPOCHS) --drop-every $(DROP_EVERY) --device $(DEVICE) --precision $(PRECISION)

train-character: data/lmdb/$(FRAMES)/build.json  ## train the character network on FERG=… (FERG-DB); options as above; resumes
	$(RUN) tools/train.py --solver solvers/character.prototxt --deploy prototxt/character_deploy.prototxt \
		--data data/lmdb/$(FRAMES) --out runs/character --resume \
		--epochs $(EPOCHS) --drop-every $(DROP_EVERY) --device $(DEVICE) --precision $(PRECISION)

finetune: has-character data/lmdb/$(FRAMES)-$(CHAR)/build.json  ## fine-tune MODEL for CHAR=mery; FINETUNE=fc6-map, fc7, fc6-fc7 or fc6-new; resumes
	$(RUN) tools/train.py --solver solvers/finetune.prototxt --deploy prototxt/finetune_deploy.prototxt \
		--stage $(FINETUNE) --weights $(MODEL) --tuned-only \
		--crops $(or $(CROPS),random) $(if $(filter-out random,$(CROPS)),$(if $(ONCE),--once)) \
		--data data/lmdb/$(FRAMES)-$(CHAR) --out runs/$(CHAR)-$(FINETUNE) --resume \
		--epochs $(EPOCHS) --drop-every $(DROP_EVERY) --device $(DEVICE) --precision $(PRECISION)

has-character:
	@test -n "$(CHAR)" || { echo "error: name a character: make finetune CHAR=mery"; exit 2; }

data/registered/$(FRAMES)/manifest.parquet: | $(READY)
	@test -d "$(FERG)" || { echo "error: no character frames at $(FERG) (FERG=…): its authors give FERG-DB on" \
		"request (https://grail.cs.washington.edu/projects/deepexpr/ferg-2d-db.html); make demo needs none"; exit 2; }
	$(RUN) tools/register.py --database $(FRAMES_ARE) $(FERG) data/registered/$(FRAMES)

data/lmdb/$(FRAMES)/build.json: data/registered/$(FRAMES)/manifest.parquet | $(READY)
	$(RUN) tools/build_lmdb.py --split $(SPLIT) data/registered/$(FRAMES) data/lmdb/$(FRAMES)

data/lmdb/$(FRAMES)-$(CHAR)/build.json: data/registered/$(FRAMES)/manifest.parquet | $(READY)
	$(RUN) tools/build_lmdb.py --split $(SPLIT) --character $(CHAR) data/registered/$(FRAMES) data/lmdb/$(FRAMES)-$(CHAR)

features: $(STORE)/meta.json  ## FC6 of the validation images, into STORE

$(STORE)/meta.json: $(MODEL) $(LMDB)/build.json | $(READY)
	$(RUN) tools/extract_features.py $(MODEL) $(LMDB)/val_lmdb $(STORE) --device $(DEVICE)

retrieve: $(STORE)/meta.json  ## rank STORE for the photograph QUERY=… and draw SHEET
	@test -n "$(QUERY)" || { echo "error: name a photograph: make retrieve QUERY=photo.jpg"; exit 2; }
	$(RUN) tools/retrieve.py "$(QUERY)" --model $(MODEL) --store $(STORE) --top $(TOP) --sheet $(SHEET)

demo: $(READY)  ## all of DeepExpr without data, on rendered people and characters; ends with a report; resumes
	@$(RUN) tools/demo.py

reproduce: $(READY)  ## the papers' tables and figures of the data at hand (make demo, or one's own); FULL=1 trains for hours; resumes
	@$(REPRODUCE)

tables: $(READY)  ## the tables of make reproduce alone
	@$(REPRODUCE) --kinds table

figures: $(READY)  ## the figures of make reproduce alone
	@$(REPRODUCE) --kinds figure

# The search is measured on the features at hand, and on rendered frames where those are too few.
bench: $(READY)  ## measure the engine, registration and LMDBs, rendering, the search (FAISS, SciPy) and video, against baselines
	$(RUN) benchmarks/networks.py --device $(DEVICE)
	$(RUN) benchmarks/databases.py
	$(RUN) benchmarks/rendering.py
	$(RUN) benchmarks/retrieval.py --stores $(patsubst %/meta.json,%,$(wildcard stores/*/meta.json))
	$(RUN) benchmarks/video.py

clean:  ## remove caches (never data, runs or stores)
	rm -rf .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
