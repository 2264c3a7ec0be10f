# Every target works on a fresh clone with python3, pip and make only.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/uv-$(UV_VERSION)/bin/uv
PY := .venv/bin/python
export UV_PYTHON_DOWNLOADS := never
# The certificates that this machine trusts, as pip does: company networks have their own.
export UV_SYSTEM_CERTS := true
# Bytecode of what the tools install is worth its disk; bytecode of our tree is not needed.
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup run test lint format bench e2e conformance ledger audits hostile fuzz soak lock proto clean

help:            ## list the targets
	@grep -hE '^[a-z0-9]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(UV):
	@echo "setup: installing uv $(UV_VERSION) into .tools/"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .tools/uv-$(UV_VERSION) uv==$(UV_VERSION) 2>.tools-pip.log \
	  || { cat .tools-pip.log; rm -f .tools-pip.log; echo "setup: pip could not install uv==$(UV_VERSION); is a package index reachable?"; exit 1; }
	@rm -f .tools-pip.log

.venv/.ready: $(UV) pyproject.toml requirements/dev.txt
	@echo "setup: making .venv from requirements/dev.txt (the first time takes about two minutes)"
	@test -x $(PY) || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python $(PY) --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

setup: .venv/.ready      ## make .venv with portcast in it

run: .venv/.ready        ## run the gateway: HTTP on 8000, devices on 8001, 8002, 8003
	@.venv/bin/portcast serve

test: .venv/.ready       ## every test, on asyncio and uvloop, then the browser's when there is one
	@$(PY) scripts/test.py

lint: .venv/.ready       ## format check, rules, types
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

format: .venv/.ready     ## write the format
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

bench: .venv/.ready      ## speed and memory beside the tutorial's code and other servers, in one run
	@$(PY) -m benchmarks --install-peers
	@$(PY) -m benchmarks

e2e: .venv/.ready        ## the live page in a real Chromium
	@$(PY) scripts/test.py e2e

conformance: .venv/.ready ## the suites of the Centrifuge SDKs, in Python and JavaScript
	@$(PY) scripts/test.py conformance

audits: .venv/.ready     ## bandit on the source, schemathesis on the HTTP API
	@$(PY) scripts/test.py audits

hostile: .venv/.ready    ## attack tools and suites of others that take more than a minute
	@$(PY) scripts/test.py hostile

ledger: .venv/.ready     ## 100 000 commands under cuts, reconnects and timeouts (PORTCAST_SEED=n for another run)
	@PORTCAST_COMMANDS=100000 $(PY) -m pytest -s tests/integration/test_command_ledger.py

fuzz: .venv/.ready       ## ten minutes of fuzzing with atheris; FUZZ_SECONDS=60 for one, FUZZ=websocket for one target
	@nice $(PY) -m fuzzing $(or $(FUZZ_SECONDS),600) $(FUZZ)

soak: .venv/.ready       ## half an hour of bad connections, and nothing of them stays; SOAK_MINUTES=3, SOAK_LOOP=asyncio
	@nice $(PY) tests/faults/soak.py $(or $(SOAK_MINUTES),30) $(or $(SOAK_LOOP),uvloop)

lock: $(UV)              ## renew requirements/dev.txt (hashes, no index addresses)
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --group dev --group e2e --output-file requirements/dev.txt pyproject.toml

proto: $(UV)             ## renew client_pb2.py and .pyi from client.proto
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .tools/proto
	@$(UV) pip install --quiet --python .tools/proto --group proto
	@.tools/proto/bin/python -m grpc_tools.protoc -I src --python_out=src --pyi_out=src portcast/centrifuge/client.proto

clean:                   ## remove what the targets made
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache
