# Every target installs what it needs: pinned, hash-checked, cached in ~/.cache/autoglm (AUTOGLM_CACHE moves it).
SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this text
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Run the examples without a cluster: NATS, operator, four agents, real models (git, Node >= 20, Python 3)
	@hack/need node npm python3
	@models/build demo
	@hack/run node hack/demo/main.ts

.PHONY: up
up: ## Start a real Kubernetes control plane, NATS, operator, ingester and four agents here (Go besides)
	@hack/need node npm python3 go
	@models/build all
	@hack/run node hack/up/main.ts up

.PHONY: down
down: ## Stop what `make up` started and remove its state
	@if [ -e .autoglm ]; then hack/run node hack/up/main.ts down; else echo "nothing is running: there is no .autoglm"; fi

.PHONY: test
test: ## Run all tests: unit, integration on real servers, end to end, chaos (Go besides)
	@hack/test.sh

.PHONY: lint
lint: ## Types, lint with architecture rules, format, unused code
	@hack/run bash -c 'tsc -p . && oxlint --type-aware --deny-warnings && oxfmt --check && knip'

.PHONY: format
format: ## Format the TypeScript sources
	@hack/run oxfmt

.PHONY: generate
generate: ## Regenerate crds/, the chart's copy of them and docs/reference from the schemas
	@hack/run node hack/generate/main.ts

.PHONY: verify
verify: ## Fail when a generated file differs from what the schemas give
	@hack/run node hack/generate/main.ts --check

.PHONY: bench
bench: ## Measure speed as ratios to raw onnxruntime-node and others, side by side in one run (Go besides)
	@hack/need node npm python3 go
	@models/build demo
	@hack/run node hack/bench/main.ts

.PHONY: models
models: ## Make the sample models, training included, and print their quality on held-out data
	@hack/need python3 npm
	@models/build demo
	@models/build train

.PHONY: clean
clean: ## Remove what is built inside the checkout (the cache outside stays)
	@if [ -e .autoglm ]; then $(MAKE) --no-print-directory down; fi
	rm -rf node_modules dist coverage .autoglm
