# Lookout. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

RELAXED := --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-untyped-decorators \
	--allow-any-generics --no-warn-return-any --disable-error-code union-attr --disable-error-code var-annotated
VENV := .venv/bin
# For what runs without the environment: any Python 3.11 or newer that starts (a pyenv shim may exist and not start).
SOME_PYTHON := $(shell for python in $(VENV)/python python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import tomllib' 2>/dev/null && echo $$python && break; done)
SERVICE_LIST := $(SOME_PYTHON) scripts/service_list.py
# A folder with a hyphen makes no module name that mypy's overrides for tests could match, so it is checked by itself.
MYPY := MYPYPATH=$$($(VENV)/python scripts/service_list.py import-path) $(VENV)/mypy

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp file for the environment: rebuilt when the lock or a member's dependencies change.
.venv/.ready: uv.lock pyproject.toml $(wildcard */pyproject.toml */*/pyproject.toml) scripts/setup-uv
	@uv=$$(scripts/setup-uv) && echo "Setting up Python packages in .venv (the first time takes about a minute) ..." \
		&& "$$uv" sync --frozen --all-packages --quiet && touch $@ && echo "Ready: .venv"

.PHONY: setup
setup: .venv/.ready ## Create the environment (uv, packages)

.PHONY: demo
demo: setup ## Play a morning at a car park, embedded, and check every ticket (KEEP=1 leaves it running)
	@$(VENV)/all-in-one demo $(if $(KEEP),--keep) $(if $(PORT),--port $(PORT))

.PHONY: run
run: setup ## Start everything in one process on http://localhost:8000 (data in .run/)
	@$(VENV)/all-in-one serve

.PHONY: test
test: setup ## Run every test; starts its own RabbitMQ, PostgreSQL and S3 server (ARGS="-k name" selects)
	@$(VENV)/python -m testkit.servers --prepare
	@# Integration tests mostly wait for servers, so three workers suit two cores.
	@$(VENV)/pytest -n $(or $(WORKERS),3) --dist loadfile $(ARGS)

.PHONY: test-unit
test-unit: setup ## Run the unit tests: no server, no network, under a minute
	@$(VENV)/pytest -n $(or $(WORKERS),2) --dist loadfile -m "not integration" $(ARGS)

.PHONY: test-integration
test-integration: setup ## Run the tests that need servers, sockets or processes
	@$(VENV)/python -m testkit.servers --prepare
	@$(VENV)/pytest -n $(or $(WORKERS),3) --dist loadfile -m integration $(ARGS)

.PHONY: contract
contract: setup ## Make requests from the OpenAPI documents, for longer than `make test` does (CONTRACT_EXAMPLES=100)
	@CONTRACT_EXAMPLES=$(or $(CONTRACT_EXAMPLES),100) $(VENV)/pytest tests/contract/test_schemathesis.py $(ARGS)

.PHONY: check
check: setup ## Lint, types, import contracts, and drift of proto, migrations, lock and documents
	@$(VENV)/ruff format --check . && $(VENV)/ruff check .
	@$(MYPY) libs $(foreach folder,$(wildcard services/*),$(if $(findstring -,$(folder)),,$(folder))) $(wildcard services/*-*/src) tests scripts/service_list.py scripts/compose_up.py scripts/lint_imports.py scripts/event_docs.py scripts/new_service/__main__.py
	@# mypy's overrides for tests match module names, which a folder with a hyphen does not have.
	@for tests in $(wildcard services/*-*/tests); do $(VENV)/mypy $(RELAXED) $$tests; done
	@$(VENV)/python scripts/lint_imports.py
	@proto/generate --check
	@for package in $$($(SERVICE_LIST) databases); do $(VENV)/python -m kit.migrations check $$package; done
	@$(SERVICE_LIST) compose --check
	@$(VENV)/all-in-one configuration --check docs/configuration.md
	@$(VENV)/python scripts/event_docs.py --check
	@"$$(scripts/setup-uv)" lock --check

.PHONY: format
format: setup ## Format the code and apply the automatic fixes of lint
	@$(VENV)/ruff check --fix-only --quiet . ; $(VENV)/ruff format .

.PHONY: proto
proto: setup ## Generate the contracts' code from proto/lookout
	@proto/generate

.PHONY: new-service
new-service: setup ## Write a new service (NAME=parcels); see docs/adding-a-service.md
	@$(VENV)/python scripts/new_service $(or $(NAME),$(error say which one: make new-service NAME=parcels))

.PHONY: check-new-service
check-new-service: setup ## Write a service in a copy of the repository, check it and run its test
	@scripts/check-new-service

.PHONY: compose-file
compose-file: ## Write the services' part of docker-compose.yml from services/*/pyproject.toml
	@$(SERVICE_LIST) compose --write

.PHONY: docs
docs: setup ## Write the documents that are generated from the code
	@$(VENV)/all-in-one configuration --write docs/configuration.md
	@$(VENV)/python scripts/event_docs.py --write

.PHONY: bench
bench: setup ## Measure: accept, POST to ticket, bus, plates, chaos, gateway, embedded, hostile clients; tables and .bench/*.json (or make bench-accept, …)
	@$(VENV)/python -m testkit.servers --prepare
	@for what in accept ticket bus plates chaos gateway embedded hostile; do $(VENV)/python tests/load/bench.py $$what; done

.PHONY: $(addprefix bench-,accept ticket bus plates chaos gateway embedded hostile)
$(addprefix bench-,accept ticket bus plates chaos gateway embedded hostile): bench-%: setup
	@$(VENV)/python -m testkit.servers --prepare
	@$(VENV)/python tests/load/bench.py $*

.PHONY: attack
attack: setup ## Attack a Lookout that is started for it, on this machine, and print what held (ARGS="--mode distributed strips" selects)
	@PYTHONPATH=tests:scripts $(VENV)/python -m attack $(ARGS)

.PHONY: train-plates
train-plates: ## Train the plate networks again (PHOTOGRAPHS=folder of YOLO boxes, MINUTES=60 each; needs fonts, see training/)
	@services/plate-ocr/training/train $(PHOTOGRAPHS) .training $(or $(MINUTES),60)

.PHONY: clean
clean: ## Remove generated files and the environment
	rm -rf .venv .bench .demo .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

-include deploy/compose.mk
