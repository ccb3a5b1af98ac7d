# The whole system on this machine. Settings: see the table in README.md, or `make help`.

.DEFAULT_GOAL := help
.PHONY: help up down status logs deploy clean test

# Compiled at the first call; cargo says so while it takes time.
LOCAL_STACK = cargo run --quiet --package local-stack --

help: orchestrator ## Show what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 18
	@echo
	@$(LOCAL_STACK) --help | sed -n '/^Settings/,$$p'

orchestrator:
	$(if $(wildcard target/debug/local-stack target/*/debug/local-stack),,\
	  @echo 'Compiling the orchestrator first (about a minute)' && cargo build --package local-stack)
.PHONY: orchestrator

up: orchestrator ## Set everything up, deploy, and print the API's URL
	@$(LOCAL_STACK) up

down: orchestrator ## Stop everything; the data stays
	@$(LOCAL_STACK) down

status: orchestrator ## Show what is running
	@$(LOCAL_STACK) status || true

logs: orchestrator ## List the logs; with NAME=kafka (or a function's name) follow one
	@$(LOCAL_STACK) logs $(if $(NAME),--follow $(NAME))

deploy: orchestrator ## Deploy everything again with SAM
	@$(LOCAL_STACK) deploy

clean: orchestrator ## Stop everything and remove the data
	@$(LOCAL_STACK) clean
