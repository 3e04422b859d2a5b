# Included by the Makefile. LOCAL_IMAGES=1: with the base images of deploy/docker/make-images instead of a registry's.
# GPU=1: plates are read on an NVIDIA GPU. METRICS=1: with Prometheus. TAG=revision: start the images of that revision, without a build.
COMPOSE ?= docker compose
COMPOSE_FILES = $(if $(GPU),docker-compose.gpu.yml) $(if $(METRICS),deploy/prometheus/compose.yml)
# Named files are the only ones that compose reads: without any it also reads docker-compose.override.yml.
OVERRIDE_FILE = $(wildcard docker-compose.override.yml)
COMPOSE_OPTIONS = $(if $(strip $(COMPOSE_FILES)),$(foreach f,docker-compose.yml $(COMPOSE_FILES) $(OVERRIDE_FILE),--file $(f)) )--env-file .env $(if $(LOCAL_IMAGES),--env-file deploy/docker/images.env)
export LOOKOUT_REVISION ?= $(shell (git describe --always --exclude="*" --abbrev=8 --dirty 2>/dev/null || echo unknown))
# The images' tag: the revision, so that the images of the one before stay and can be started again.
export LOOKOUT_TAG = $(or $(TAG),$(LOOKOUT_REVISION))
export DOCKER_BUILDKIT = 1

.PHONY: up down images superadmin-password local-images compose-env

up: compose-env ## Start everything distributed: RabbitMQ, PostgreSQL, MinIO and a container per service (SCALE="plate-ocr=2")
	@TAG="$(TAG)" SCALE="$(SCALE)" COMPOSE="$(COMPOSE) $(COMPOSE_OPTIONS)" $(SOME_PYTHON) scripts/compose_up.py

down: compose-env ## Stop what `make up` started and keep the data (VOLUMES=1 deletes them)
	$(COMPOSE) $(COMPOSE_OPTIONS) down --remove-orphans $(if $(VOLUMES),--volumes)

images: compose-env ## Build the images of all services
	$(COMPOSE) $(COMPOSE_OPTIONS) build

superadmin-password: compose-env ## Set the superadmin's password of what `make up` started
	$(COMPOSE) $(COMPOSE_OPTIONS) exec gateway gateway reset-password superadmin

compose-env:
	@$(SOME_PYTHON) deploy/make-env

local-images: ## Build the base images of docker-compose.yml from Debian packages, without an image registry
	deploy/docker/make-images
