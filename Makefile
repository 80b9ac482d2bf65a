# The menu. Each line is one script or command; nothing is hidden here.
.PHONY: help setup fmt lint test test-fast proto up down status demo

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: ## Install what is missing
	./scripts/setup

fmt: ## Format and fix what can be fixed
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .

lint: ## Every check that needs no stack
	./scripts/lint

test: ## Everything, with a stack of its own
	./scripts/test

test-fast: ## Lint and unit tests
	./scripts/test --fast

proto: ## Generate the protobuf modules
	.venv/bin/python scripts/gen_proto

up: ## Start the local stack
	.venv/bin/slipway up

down: ## Stop the local stack
	.venv/bin/slipway down

status: ## Show the local stack
	.venv/bin/slipway status

demo: ## The loop on a real stream
	./scripts/demo
