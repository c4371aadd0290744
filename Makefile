# `make crawl` and `make test` set up what they need: nothing has to be installed first but Python 3.11 and make.

SHELL := /bin/sh
BIN := .venv/bin
# Where the sample crawl writes, and how deep it goes: the calendar of the site has no end.
SAMPLE := --output crawl-output --limit 100 --depth 5 --subdomains

# With it, each of the hundreds of processes that the tests start would compile what has not been installed: all of ours.
unexport PYTHONDONTWRITEBYTECODE

# A file of tests stays in one process, so that its servers are started once. In the order of the folders: by number of
# tests the three random runs of faults, four minutes that mostly wait, would come last and alone.
PARALLEL := --numprocesses 3 --dist loadfile --no-loadscope-reorder

# Rendering as root works only without Chromium's sandbox, which has to be a decision.
define UNSANDBOXED
if [ "$$(id -u)" = 0 ] && [ -z "$$CRAWL_ALLOW_UNSANDBOXED" ]; then \
	echo "warning: running as root, so Chromium runs without its sandbox; crawl only what you trust" >&2; \
	export CRAWL_ALLOW_UNSANDBOXED=1; \
fi
endef

.DEFAULT_GOAL := help
.PHONY: help setup setup-test crawl serve up test test-fast chaos lint types bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Examples:'
	@echo '  make crawl'
	@echo '  make crawl URL=https://example.com ARGS="--limit 50 --no-render"'

# --- set-up: a stamp per finished step, so that a second call does nothing ---------------------------------------

$(BIN)/python:
	@python=$$(tools/find-python) && "$$python" -m tools.setup venv

.venv/.base: requirements/build.txt requirements/base.txt pyproject.toml | $(BIN)/python
	@$(BIN)/python -m tools.setup base && touch $@

.venv/.dev: requirements/dev.txt .venv/.base
	@$(BIN)/python -m tools.setup dev && touch $@

.venv/.chromium: .venv/.base
	@$(BIN)/python -m tools.setup chromium && touch $@

.venv/.servers: requirements/servers.txt .venv/.dev
	@$(BIN)/python -m tools.setup servers && touch $@

.venv-bench/.done: requirements/bench.txt | $(BIN)/python
	@$(BIN)/python -m tools.setup bench && touch $@

setup: .venv/.base .venv/.chromium ## install what the crawler needs: .venv and a Chromium

setup-test: setup .venv/.dev .venv/.servers ## install what the tests need on top: tools, Postgres, Redis

# --- use ---------------------------------------------------------------------------------------------------------

crawl: setup ## crawl URL with ARGS; without URL the bundled sample site, into crawl-output/
	@$(UNSANDBOXED); \
	if [ -n "$$URL" ]; then \
		exec $(BIN)/crawl run "$$URL" $(ARGS); \
	else \
		exec $(BIN)/python -m tests.site -- $(BIN)/crawl run '{url}' $(SAMPLE) $(ARGS); \
	fi

serve: setup ## run the API, the crawler and the scheduler in one process
	@$(UNSANDBOXED); exec $(BIN)/crawl serve $(ARGS)

up: ## run everything in containers (docker compose)
	@docker compose version >/dev/null 2>&1 || { echo "up: docker compose is needed; without it use \`make serve\`" >&2; exit 1; }
	@test -f .env || { echo "up: copy .env.example to .env and set the secrets in it" >&2; exit 1; }
	docker compose up --build --detach --wait

# --- checks ------------------------------------------------------------------------------------------------------

test: setup-test ## run every test on real Postgres, Redis and Chromium
	@$(UNSANDBOXED); $(BIN)/pytest $(PARALLEL) $(ARGS)

test-fast: .venv/.dev ## run the tests that need neither browser nor servers
	@$(BIN)/pytest $(PARALLEL) -m "not browser and not servers and not netns and not slow" $(ARGS)

chaos: setup-test ## break whole deployments: every fault, then SEEDS=50 random runs (over a minute each)
	@$(UNSANDBOXED); CRAWL_CHAOS_SEEDS=$${SEEDS:-3} $(BIN)/pytest -m chaos --timeout 900 tests/faults $(ARGS)

lint: .venv/.dev ## check style, formatting and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: .venv/.dev ## check the types
	$(BIN)/mypy

bench: setup .venv/.servers .venv-bench/.done ## measure against the limits of the machine and against peers
	@$(UNSANDBOXED); $(BIN)/python -m bench $(ARGS)

clean: ## remove the environments and caches; results and databases stay
	rm -rf .venv .venv-bench build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
